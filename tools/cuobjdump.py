"""What the programs that read compiled libraries print: cuobjdump, c++filt and nm."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_NOT_FOR_PEOPLE = re.compile(r"lba::cuda::|lba::|^void |(?<=>) (?=>)|\([^()]*\)$")


def dump_kernels(library: Path) -> tuple[str, str]:
    """Return the machine code and the resource usage of a library's kernels.

    Raises:
        FileNotFoundError: There is no cuobjdump.
    """
    program, environment = find_cuobjdump()
    sass, resource_usage = (
        subprocess.run([program, option, library], check=True, capture_output=True, text=True, env=environment).stdout
        for option in ("--dump-sass", "--dump-resource-usage")
    )
    return sass, resource_usage


def demangle(names: Sequence[str]) -> list[str]:
    """Return what people call kernels, without namespaces and arguments; as they are where there is no c++filt."""
    program = shutil.which("c++filt")
    if program is None:
        return list(names)
    lines = subprocess.run([program], input="\n".join(names), check=True, capture_output=True, text=True).stdout
    return [_NOT_FOR_PEOPLE.sub("", line.replace("(anonymous namespace)::", "")) for line in lines.splitlines()]


def exported_names(library: Path) -> list[str]:
    """Return the names that a library offers to others."""
    done = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True)
    return [line.split()[-1] for line in done.stdout.splitlines()]


def find_cuobjdump() -> tuple[str, dict[str, str]]:
    """Return the program, of a toolkit or of the packages, and an environment in which it finds nvdisasm.

    Raises:
        FileNotFoundError: There is none of both.
    """
    packages = (path for folder in sys.path for path in Path(folder, "nvidia").glob("*/bin"))
    path = os.pathsep.join([os.environ["PATH"], "/usr/local/cuda/bin", *map(str, packages)])
    program = shutil.which("cuobjdump", path=path)
    if program is None or shutil.which("nvdisasm", path=path) is None:
        raise FileNotFoundError(
            "expected cuobjdump and nvdisasm: a CUDA toolkit has them, and the packages nvidia-cuda-cuobjdump and "
            "nvidia-cuda-nvdisasm"
        )
    return program, {**os.environ, "PATH": path}

"""A wheel installed as its users install it: into an empty environment, without a compiler."""

import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from tools.release.run import run

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
OLDEST_ONNXRUNTIME = ("onnxruntime==1.17.3", "numpy<2")
_OLDEST_RUNS_ON = "3.10"
_HAS_COMPILER = "import shutil, sys; sys.exit(any(map(shutil.which, ('c++', 'g++', 'cc', 'clang++', 'cmake'))))"


def find_pythons(versions: Sequence[str] = PYTHONS) -> dict[str, Path]:
    """Return the interpreters of these versions that are on PATH or that pyenv has, by version."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for version in versions:
        places = [*pyenv.glob(f"{version}.*/bin/python{version}"), shutil.which(f"python{version}")]
        usable = [Path(place) for place in places if place]
        if usable:
            found[version] = usable[0]
    return found


def check_installs(wheels: Sequence[Path], versions: Sequence[str], work: Path) -> Path:
    """Install into an environment for each Python, and with the oldest onnxruntime; return one of the environments.

    Raises:
        SystemExit: There is none of these Pythons, or an installation does not work.
    """
    pythons = find_pythons(versions)
    if not pythons:
        raise SystemExit(f"expected one of the Pythons {', '.join(versions)} on PATH or in pyenv, got none")
    for version in versions:
        if version not in pythons:
            print(f"Python {version}: not to be had here, not tried")
    for version, python in pythons.items():
        environment = install(wheels, python, work / version)
        if version == _OLDEST_RUNS_ON:
            install(wheels, python, work / "oldest", OLDEST_ONNXRUNTIME)
    return environment


def install(wheels: Sequence[Path], python: Path, environment: Path, others: Sequence[str] = ()) -> Path:
    """Make an environment with the wheels, and others that are installed first; run the doctor and the demo in it."""
    run(python, "-m", "venv", environment)
    pip = (environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, *others, *wheels)
    start = time.monotonic()
    run(*pip, "--no-deps", "--force-reinstall", *wheels)
    seconds = time.monotonic() - start
    variables = without_compiler(environment)
    run(environment / "bin" / "python", "-c", _HAS_COMPILER, environment=variables)
    command = environment / "bin" / "lba-onnx"
    doctor = json.loads(run(command, "doctor", "--json", environment=variables))
    findings = {check["name"]: check["finding"] for check in doctor["checks"]}
    demo = run(command, "demo", "--output_path", environment / "demo", environment=variables)
    print(f"{findings['platform']}, onnxruntime {findings['onnxruntime']}: installed in {seconds:.1f} s")
    for name in ("wheel", "native library", "CPU path", "CUDA library"):
        print(f"  {name}: {findings[name]}")
    print(*(f"  {line}" for line in demo.splitlines() if "top-1" in line), sep="\n")
    return environment


def without_compiler(environment: Path) -> dict[str, str]:
    """Return the variables of a process that sees the programs of an environment alone."""
    return {"PATH": str(environment / "bin"), "HOME": str(environment)}

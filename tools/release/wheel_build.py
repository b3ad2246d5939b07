"""A wheel built by scikit-build-core from a source tree, with the tag that auditwheel grants."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tools.release.run import run


def build_wheel(
    source: Path, work: Path, definitions: Mapping[str, str | Path], environment: Mapping[str, str] | None = None
) -> Path:
    """Build and return a wheel in the folder `work`; CMake is given the definitions."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(work / "built")]
    options = {"CMAKE_SHARED_LINKER_FLAGS": "-s", **definitions}  # the linker strips, for any platform
    command += [f"-Ccmake.define.{name}={value}" for name, value in options.items()]
    run(*command, "-Cinstall.strip=false", source, environment={**os.environ, **(environment or {})})
    (wheel,) = (work / "built").iterdir()
    return wheel


def repair(wheel: Path, policy: str, output: Path) -> Path:
    """Return the wheel with a tag of the policy, which auditwheel refuses where the library needs more."""
    folder = wheel.parent / "repaired"
    run(sys.executable, "-m", "auditwheel", "repair", "--plat", policy, "--wheel-dir", folder, wheel)
    (repaired,) = folder.iterdir()
    return repaired.rename(output / repaired.name)

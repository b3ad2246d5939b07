"""A wheel built by scikit-build-core from a source tree, with the tag that auditwheel grants."""

import os
import platform
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
    """Return the wheel with a tag of the policy, which auditwheel refuses where the library needs more.

    Of other processors auditwheel takes no policy by name: it finds the oldest one.
    """
    folder = wheel.parent / "repaired"
    asked = policy if policy.endswith(platform.machine()) else "auto"
    command = (sys.executable, "-m", "auditwheel", "repair", "--plat", asked, "--zip-compression-level", "9")
    run(*command, "--wheel-dir", folder, wheel)
    (repaired,) = folder.iterdir()
    if policy not in repaired.name:
        raise SystemExit(f"expected a wheel of {policy}, got {repaired.name}")
    return repaired.rename(output / repaired.name)

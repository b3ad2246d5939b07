"""The wheel of a platform, with the library for its processors."""

import platform
from pathlib import Path

from tools.release.linker import write_linker
from tools.release.targets import Target, write_compiler
from tools.release.wheel_build import build_wheel, repair


def build_cpu_wheel(source: Path, target: Target, work: Path, output: Path) -> Path:
    """Build and return a wheel in the folder `output`: compiled by g++ for this platform, else by zig."""
    is_native = target.system == platform.system() and target.processor == platform.machine()
    definitions = {"LBA_CUDA": "OFF", **(_native(work) if is_native else _foreign(target, work))}
    wheel = build_wheel(source, work, definitions, {"_PYTHON_HOST_PLATFORM": target.host_platform})
    return repair(wheel, target.policy, output) if target.policy else wheel.rename(output / wheel.name)


def _native(work: Path) -> dict[str, str | Path]:
    return {"CMAKE_CXX_LINKER_LAUNCHER": write_linker(work)}


def _foreign(target: Target, work: Path) -> dict[str, str | Path]:
    definitions: dict[str, str | Path] = {
        "CMAKE_CXX_COMPILER": write_compiler(target.triple, work),
        "CMAKE_SYSTEM_NAME": target.system,
        "CMAKE_SYSTEM_PROCESSOR": target.processor,
    }
    if target.system == "Darwin":
        definitions |= {"CMAKE_OSX_SYSROOT": "", "CMAKE_OSX_DEPLOYMENT_TARGET": ""}
    return definitions

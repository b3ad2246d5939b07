"""Runs the C++ tests as aarch64 programs under qemu: the definitions, vectors and hashes in them have to hold there.

python -m tools.release.emulation --build build/aarch64
"""

import argparse
import shutil
from pathlib import Path

from tools.release.run import run
from tools.release.source import ROOT

_PACKAGES = "Debian's packages g++-aarch64-linux-gnu and qemu-user have them"


def main() -> None:
    """Compile and run the tests."""
    parser = argparse.ArgumentParser(prog="python -m tools.release.emulation", description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, required=True, help="a folder to build in, and to build in again")
    parser.add_argument("--compiler", default="aarch64-linux-gnu-g++")
    parser.add_argument("--qemu", default="qemu-aarch64")
    parser.add_argument("--tests", default="", help="part of the names of tests; all by default")
    given = parser.parse_args()
    programs = {name: shutil.which(name) for name in (given.compiler, given.qemu)}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        parser.error(f"expected {' and '.join(missing)} on PATH, got none; {_PACKAGES}")
    configure(given.build, given.compiler, given.qemu)
    targets = [path.stem for path in sorted((ROOT / "custom_ops" / "tests").glob("test_*.cc")) if is_for_arm(path.stem)]
    run("cmake", "--build", given.build, "--target", *(name for name in targets if given.tests in name))
    print(run("ctest", "--test-dir", given.build / "custom_ops", "--output-on-failure", "-R", given.tests))


def configure(build: Path, compiler: str, qemu: str) -> None:
    """Tell CMake to compile for aarch64, statically, so that no C library of aarch64 is needed to run the tests."""
    definitions = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_CXX_FLAGS_RELEASE": "-O1",
        "CMAKE_SYSTEM_NAME": "Linux",
        "CMAKE_SYSTEM_PROCESSOR": "aarch64",
        "CMAKE_CXX_COMPILER": compiler,
        "CMAKE_EXE_LINKER_FLAGS": "-static",
        "CMAKE_CROSSCOMPILING_EMULATOR": shutil.which(qemu),
        "LBA_BUILD_TESTS": "ON",
        "LBA_CUDA": "OFF",
    }
    run("cmake", "-G", "Ninja", "-S", ROOT, "-B", build, *(f"-D{name}={value}" for name, value in definitions.items()))


def is_for_arm(test: str) -> bool:
    """Return whether a test is built off x86: those of the CUDA library's emulation are not."""
    return not test.startswith("test_cuda_")


if __name__ == "__main__":
    main()

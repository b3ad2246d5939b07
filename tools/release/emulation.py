"""Runs the C++ tests as aarch64 programs under qemu: the definitions, vectors and hashes in them have to hold there.

python -m tools.release.emulation
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from tools.release.run import run
from tools.release.source import ROOT
from tools.release.targets import TARGETS, write_compiler


def main() -> None:
    """Compile and run the tests."""
    parser = argparse.ArgumentParser(prog="python -m tools.release.emulation", description=__doc__)
    parser.add_argument("--qemu", default="qemu-aarch64", help="of Debian's package qemu-user")
    parser.add_argument("--build", type=Path, help="a folder to build in, and to build in again (default: a new one)")
    given = parser.parse_args()
    qemu = shutil.which(given.qemu)
    if qemu is None:
        parser.error(f"expected the emulator {given.qemu} on PATH, got none; Debian's package qemu-user has it")
    with tempfile.TemporaryDirectory() as work:
        print(run_tests(Path(qemu), given.build or Path(work)))


def run_tests(qemu: Path, build: Path) -> str:
    """Return what ctest says.

    Raises:
        SystemExit: A test does not compile, or fails.
    """
    target = TARGETS["aarch64"]
    build.mkdir(parents=True, exist_ok=True)
    definitions = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_SYSTEM_NAME": target.system,
        "CMAKE_SYSTEM_PROCESSOR": target.processor,
        "CMAKE_CXX_COMPILER": write_compiler("aarch64-linux-musl", build),
        "CMAKE_EXE_LINKER_FLAGS": "-static",  # so that no C library of aarch64 is needed to run them
        "CMAKE_CROSSCOMPILING_EMULATOR": qemu,
        "LBA_BUILD_TESTS": "ON",
        "LBA_CUDA": "OFF",
    }
    run("cmake", "-G", "Ninja", "-S", ROOT, "-B", build, *(f"-D{name}={value}" for name, value in definitions.items()))
    run("cmake", "--build", build)
    return run("ctest", "--test-dir", build / "custom_ops", "--output-on-failure")


if __name__ == "__main__":
    main()

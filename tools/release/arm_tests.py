"""The C++ tests as aarch64 programs under qemu, with the machine code of the wheel: what is compiled stays as it is."""

from pathlib import Path

from tools.release.arm_python import ArmPython
from tools.release.run import run


def run_arm_tests(source: Path, python: ArmPython) -> None:
    """Link the C++ tests with the objects that a wheel for aarch64 was made of, and run them.

    Args:
        source: Where the wheel was built.
        python: The emulator, and the C library that the tests run with.

    Raises:
        SystemExit: A test fails; its output is part of the message.
    """
    (build,) = source.glob("build/*aarch64")
    emulator = f"{python.qemu};-L;{python.root}"
    run("cmake", "-DLBA_BUILD_TESTS=ON", f"-DCMAKE_CROSSCOMPILING_EMULATOR={emulator}", build)
    run("cmake", "--build", build)
    print(run("ctest", "--test-dir", build / "custom_ops", "--output-on-failure"))

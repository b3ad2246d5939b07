"""The aarch64 wheel installed and run under qemu: the doctor, and a bundle whose outputs x86-64 has computed."""

from pathlib import Path

from tools.release.arm_python import ArmPython
from tools.release.installs import without_compiler
from tools.release.run import run

_IMAGES = 16


def check_arm_install(wheel: Path, environment: Path, python: ArmPython, work: Path) -> None:
    """Install a wheel for aarch64, and compare bits with those of the x86-64 wheel in an environment.

    Args:
        wheel: For aarch64.
        environment: Where the x86-64 wheel is installed, with the demo's outputs in its folder `demo`.
        python: What the wheel is installed for.
        work: A folder that need not be there.

    Raises:
        SystemExit: Something there does not run, or outputs have other bits.
    """
    bundle = write_bundle(wheel, environment, work)
    python.install(wheel)
    print("under qemu:", python.run("-m", "lba_onnx", "doctor"), sep="\n")
    python.run("-m", "lba_onnx", "bundle", "--verify", bundle)
    python.run(bundle / "run.py")
    print(f"aarch64: the demo's converted model gives x86-64's bits on {_IMAGES} images")


def write_bundle(wheel: Path, environment: Path, bundle: Path) -> Path:
    """Write a bundle of the demo's converted model, with golden outputs of this machine and both wheels' libraries."""
    (model,) = (environment / "demo").glob("*.onnx")
    (images,) = environment.glob("lib/python*/site-packages/lba_onnx/demo_data/fashion_test_1000.npz")
    given = ("-i", model, "--data_path", images, "--max_samples", str(_IMAGES), "--library_path", wheel)
    run(environment / "bin" / "lba-onnx", "bundle", *given, "-o", bundle, environment=without_compiler(environment))
    return bundle

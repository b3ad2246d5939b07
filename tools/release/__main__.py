"""python -m tools.release."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.release.arm_install import check_arm_install
from tools.release.arm_python import make_arm_python
from tools.release.arm_tests import run_arm_tests
from tools.release.checks import check_wheel
from tools.release.cpu_wheel import build_cpu_wheel
from tools.release.cuda_wheel import build_cuda_wheel
from tools.release.installs import PYTHONS, check_installs
from tools.release.records import write_sbom, write_sums
from tools.release.run import run
from tools.release.source import export_source
from tools.release.targets import TARGETS

_CUDA = "cuda"


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, check and record what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description="Builds and checks a release.")
    parser.add_argument("--output", type=Path, required=True, help="an empty or new folder")
    parser.add_argument(
        "--wheels",
        nargs="+",
        choices=(*TARGETS, _CUDA),
        default=("x86_64", "aarch64", _CUDA),
        help="which (default: x86_64 aarch64 cuda)",
    )
    parser.add_argument("--pythons", nargs="+", default=PYTHONS, help="install the x86_64 wheel for these")
    parser.add_argument(
        "--emulate",
        action="store_true",
        help="run the aarch64 wheel under qemu, against the bits of the x86_64 wheel, and the C++ tests",
    )
    given = parser.parse_args(arguments)
    if given.emulate and not {"x86_64", "aarch64"} <= set(given.wheels):
        parser.error("--emulate: expected the wheels x86_64 and aarch64, whose bits are compared")
    given.output.mkdir(parents=True, exist_ok=True)
    if any(given.output.iterdir()):
        parser.error(f"expected an empty folder, got {given.output}")
    with tempfile.TemporaryDirectory() as work:
        release(given.output, given.wheels, given.pythons, given.emulate, Path(work))


def release(output: Path, names: Sequence[str], pythons: Sequence[str], is_emulated: bool, work: Path) -> None:
    """Build the wheels of these names into a folder, check them, and write the records."""
    source = export_source(work / "source")
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", output, source)
    wheels = {name: _build(name, source, work / name, output) for name in names}
    for wheel in wheels.values():
        check_wheel(wheel)
    here = [wheel for name, wheel in wheels.items() if name in ("x86_64", _CUDA)]
    if "x86_64" in wheels:
        environment = check_installs(here, pythons, work / "environments")
        write_sbom(environment, output)
        if is_emulated:
            python = make_arm_python(work / "arm")
            check_arm_install(wheels["aarch64"], environment, python, work / "bundle")
            run_arm_tests(source, python)
    write_sums(list(output.iterdir()), output)


def _build(name: str, source: Path, work: Path, output: Path) -> Path:
    work.mkdir()
    if name == _CUDA:
        return build_cuda_wheel(source, work, output)
    return build_cpu_wheel(source, TARGETS[name], work, output)


if __name__ == "__main__":
    main()

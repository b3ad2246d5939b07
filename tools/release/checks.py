"""What a wheel must be before anyone installs it."""

import sys
import zipfile
from pathlib import Path

from tools.release.run import run

MOST_BYTES = {"lba_onnx": 4_000_000, "lba_onnx_cuda": 25_000_000}
_LICENCES = {
    "lba_onnx": ("LICENSE", "LICENSE.fashion-mnist", "NOTICE", "LICENSE.libcxx", "LICENSE.libstdcxx"),
    "lba_onnx_cuda": ("LICENSE", "NOTICE", "LICENSE.libstdcxx"),
}


def check_wheel(wheel: Path) -> None:
    """Print what a wheel is.

    Raises:
        SystemExit: It is too large, lacks a licence, or twine refuses its metadata.
    """
    run(sys.executable, "-m", "twine", "check", "--strict", wheel)
    package = wheel.name.split("-")[0]
    size, most = wheel.stat().st_size, MOST_BYTES[package]
    if size > most:
        raise SystemExit(f"{wheel.name}: expected at most {most} bytes, got {size}")
    with zipfile.ZipFile(wheel) as packed:
        names = {Path(name).name for name in packed.namelist() if "/licenses/" in name}
    missing = [name for name in _LICENCES[package] if name not in names]
    if missing:
        raise SystemExit(f"{wheel.name}: expected the licences {', '.join(missing)} inside, got {sorted(names)}")
    print(f"{wheel.name}: {size} bytes, of at most {most}")
    if "linux" in wheel.name:
        print(run(sys.executable, "-m", "auditwheel", "show", wheel).strip())

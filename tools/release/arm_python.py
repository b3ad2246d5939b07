"""A Python for aarch64 that runs on this machine: Debian 13's, unpacked into a folder, under the qemu of Debian 13.

Debian 12's qemu, 7.2, ends in a segmentation fault when Python imports onnxruntime.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from tools.release.run import run
from tools.release.source import ROOT

_VERSION = "3.13"
_PACKAGES = (
    *(f"python{_VERSION}-minimal", f"libpython{_VERSION}-minimal", f"libpython{_VERSION}-stdlib"),
    *("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8", "libbz2-1.0", "liblzma5"),
    *("libssl3t64", "libzstd1"),
)
_GLIBC = 41  # 2.41 is Debian 13's
_UNPACK = ROOT / "tools" / "unpack_debian_packages"


@dataclass(frozen=True)
class ArmPython:
    """The interpreter, and what is installed for it.

    Attributes:
        qemu: The emulator.
        root: Debian's files for aarch64.
        site: Where packages are installed.
    """

    qemu: Path
    root: Path
    site: Path

    def install(self, wheel: Path) -> None:
        """Install a wheel, and what it depends on as wheels for aarch64."""
        platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in range(17, _GLIBC + 1)]
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--target", self.site)
        run(*pip, *platforms, "--only-binary=:all:", "--python-version", _VERSION, wheel)

    def run(self, *arguments: str | Path) -> str:
        """Run the interpreter with these arguments where no source of the package lies, and return what it wrote.

        Raises:
            SystemExit: It failed; its output is part of the message.
        """
        python = self.root / "usr" / "bin" / f"python{_VERSION}"
        environment = {"PATH": "", "HOME": str(self.root), "PYTHONPATH": str(self.site)}
        return run(self.qemu, "-L", self.root, python, *arguments, folder=self.root, environment=environment)


def make_arm_python(folder: Path) -> ArmPython:
    """Unpack an interpreter for aarch64, and the emulator that runs it here, into a folder."""
    root = folder / "root"
    run(_UNPACK, root, "arm64", *_PACKAGES)
    (root / "lib").symlink_to("usr/lib")  # as Debian's base files have it
    run(_UNPACK, folder / "emulator", _architecture(), "qemu-user")
    return ArmPython(folder / "emulator" / "usr" / "bin" / "qemu-aarch64", root, folder / "site")


def _architecture() -> str:
    return run("dpkg", "--print-architecture").strip()

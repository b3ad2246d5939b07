"""What is installed: a package's version, the tags of its wheel, and its files as the installer wrote them down."""

import base64
import contextlib
import hashlib
import importlib.metadata
from pathlib import Path

from lba_onnx.errors import LibraryError

_OTHER_NAMES = {"onnxruntime": ("onnxruntime-gpu",)}


def find_package(name: str) -> tuple[str, str] | None:
    """Return the name under which a package is installed, and its version; None where it is not."""
    for known in (name, *_OTHER_NAMES.get(name, ())):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return known, importlib.metadata.version(known)
    return None


def package_version(name: str = "lba-onnx") -> str:
    """Return a package's version, under whichever of its names it is installed; "unknown" where it is not."""
    found = find_package(name)
    return "unknown" if found is None else found[1]


def wheel_tags(package: str) -> tuple[str, ...]:
    """Return the tags of the wheel that a package was installed from, such as "py3-none-manylinux_2_17_x86_64".

    Raises:
        importlib.metadata.PackageNotFoundError: The package is not installed.
    """
    lines = (importlib.metadata.distribution(package).read_text("WHEEL") or "").splitlines()
    return tuple(line.removeprefix("Tag:").strip() for line in lines if line.startswith("Tag:"))


def check_recorded(path: Path, package: str) -> bool:
    """Check that a file is as it was installed with a package; return whether the installer wrote its hash down.

    Raises:
        importlib.metadata.PackageNotFoundError: The package is not installed.
        LibraryError: The file is another than the one that was installed.
    """
    for file in importlib.metadata.distribution(package).files or ():
        if file.name != path.name or Path(str(file.locate())).resolve() != path.resolve() or file.hash is None:
            continue
        digest = hashlib.new(file.hash.mode, path.read_bytes()).digest()
        found = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if found != file.hash.value:
            raise LibraryError(
                f"expected {path} as {package} was installed, with {file.hash.mode} {file.hash.value}, got {found}; "
                f"install the package again: pip install --force-reinstall --no-deps {package}"
            )
        return True
    return False

"""Which version of a package is installed, and under which of its names."""

import contextlib
import importlib.metadata

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

"""A session of a bundle: its model with its own library, not the one that is installed."""

from pathlib import Path
from typing import TYPE_CHECKING

from lba_onnx.errors import LibraryError, ModelError
from lba_onnx.shipping.libraries import this_platform
from lba_onnx.shipping.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnxruntime

_SILENT = 4  # whatever onnxruntime logs as an error, it raises too


def open_bundled(folder: Path, model: str, libraries: "Mapping[str, str]") -> "onnxruntime.InferenceSession":
    """Return a session of the model in a bundle.

    Raises:
        LibraryError: There is no library for this platform, or this onnxruntime does not take it.
        ModelError: onnxruntime rejects the model.
    """
    import onnxruntime

    name = libraries.get(this_platform())
    if name is None:
        raise LibraryError(f"{folder}: expected a library for {this_platform()}, got those for {', '.join(libraries)}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT
    path = (folder / name).absolute()
    try:
        options.register_custom_ops_library(str(path))
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise LibraryError(f"onnxruntime does not take {path}: {error}") from error
    try:
        return onnxruntime.InferenceSession(str(folder / model), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"{folder / model}: onnxruntime rejects it: {error}") from error


def session_of(folder: Path, manifest: Manifest) -> "onnxruntime.InferenceSession":
    """Return a session of a bundle."""
    return open_bundled(folder, manifest.model, manifest.libraries)

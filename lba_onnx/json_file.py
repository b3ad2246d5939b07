"""JSON files: written whole or not at all, read with clear errors."""

import errno
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lba_onnx.errors import LbaError


def write_json(path: str | os.PathLike[str], value: Mapping[str, Any]) -> None:
    """Write a JSON object; a file that was there is replaced in one step, or kept where writing fails.

    Raises:
        OSError: The file cannot be written.
        ValueError: A number is not finite.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in one step: nothing half written is ever seen under its name.

    Raises:
        OSError: The file cannot be written.
    """
    target = Path(path)
    if target.exists() and not target.is_file():  # a device, too, would be replaced by a file
        raise OSError(errno.EINVAL, "expected a file to write, got a folder or a device", str(target))
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def read_json(path: str | os.PathLike[str], error_type: type[LbaError]) -> Mapping[str, Any]:
    """Read a JSON object.

    Raises:
        LbaError: Of the given type: the file is missing, or holds something else.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
        raise error_type(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise error_type(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

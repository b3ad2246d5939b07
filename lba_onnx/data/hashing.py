"""The hash of all that a model is fed."""

import hashlib
from typing import Any

import numpy as np

from lba_onnx.data.batch import Batch


class DataHash:
    """SHA-256 of all that a model is fed: per input the bytes in order, then names and the hashes of the inputs."""

    def __init__(self) -> None:
        self._inputs: dict[str, Any] = {}

    def update(self, batch: Batch) -> None:
        """Add a batch."""
        for name, value in batch.feeds.items():
            if name not in self._inputs:
                self._inputs[name] = hashlib.sha256(_header(value))
            _add(self._inputs[name], value)

    def hexdigest(self) -> str:
        """Return the hash so far."""
        lines = (f"{name} {digest.hexdigest()}\n" for name, digest in sorted(self._inputs.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def _header(value: Any) -> bytes:
    return f"{value.dtype}{value.shape[1:]}".encode() if isinstance(value, np.ndarray) else b""


def _add(digest: Any, value: Any) -> None:
    """Add the values of an array; of a list or another value its structure, too."""
    if isinstance(value, (list, tuple)):
        digest.update(f"list {len(value)}".encode())
        for item in value:
            digest.update(f"{_header(item).decode()} {len(item) if _header(item) and item.ndim else ''}".encode())
            _add(digest, item)
    elif isinstance(value, np.ndarray):
        digest.update(repr(value.tolist()).encode() if value.dtype.hasobject else np.ascontiguousarray(value).data)
    else:
        digest.update(repr(value).encode())

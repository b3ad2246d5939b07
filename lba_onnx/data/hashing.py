"""The hash of all that a model is fed."""

import hashlib
from typing import Any

import numpy as np

from lba_onnx.data.batches import Batch


class DataHash:
    """SHA-256 of all that a model is fed: per input the bytes in order, then names and the hashes of the inputs."""

    def __init__(self) -> None:
        self._inputs: dict[str, Any] = {}

    def update(self, batch: Batch) -> None:
        """Add a batch."""
        for name, array in batch.feeds.items():
            header = f"{array.dtype}{array.shape[1:]}".encode()
            digest = self._inputs.setdefault(name, hashlib.sha256(header))
            digest.update(repr(array.tolist()).encode() if array.dtype.hasobject else np.ascontiguousarray(array).data)

    def hexdigest(self) -> str:
        """Return the hash so far."""
        lines = (f"{name} {digest.hexdigest()}\n" for name, digest in sorted(self._inputs.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

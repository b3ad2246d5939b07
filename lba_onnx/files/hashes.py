"""The hash of what a file holds."""

import hashlib
from pathlib import Path

_BLOCK_BYTES = 1 << 20


def file_hash(path: Path) -> str:
    """Return the SHA-256 of what a file holds."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()

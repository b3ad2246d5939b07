"""Reads Fashion-MNIST from its IDX files, as Debian's package dataset-fashion-mnist installs them."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DEFAULT_DATA_PATH = Path("/usr/share/datasets/fashion-mnist")

_IDX_UINT8 = 0x08


@dataclass(frozen=True)
class LabelledImages:
    """One split of the data set.

    Attributes:
        images: float32 [count, 1, 28, 28], the pixels k / 255 (no further normalisation).
        labels: int64 [count], the classes 0 to 9.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


def read_split(data_path: Path, split: str) -> LabelledImages:
    """Reads the split "train" (60,000 images) or "t10k" (the 10,000 test images)."""
    pixels = _read_idx(data_path / f"{split}-images-idx3-ubyte.gz")
    labels = _read_idx(data_path / f"{split}-labels-idx1-ubyte.gz")
    return LabelledImages(pixels[:, np.newaxis].astype(np.float32) / np.float32(255), labels.astype(np.int64))


def _read_idx(path: Path) -> NDArray[np.uint8]:
    content = gzip.decompress(path.read_bytes())
    element_type, rank = content[2], content[3]
    if content[:2] != b"\0\0" or element_type != _IDX_UINT8:
        raise ValueError(f"{path}: expected an IDX file of uint8, got the header {content[:4].hex()}")
    shape = np.frombuffer(content, dtype=">u4", count=rank, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * rank).reshape(tuple(int(size) for size in shape))

"""Reads Fashion-MNIST from its IDX files, as Debian's package dataset-fashion-mnist has them."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.fetch import fetch_debian

PACKAGE = (
    "dataset-fashion-mnist",
    "0.0~git20200523.55506a9-1",
    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
)

_FOLDER = "usr/share/datasets/fashion-mnist"
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


def find_data_path() -> Path:
    """Returns the folder of the four IDX files: the installed package's, else that of the package fetched.

    Raises:
        FetchError: the package is not installed and could not be downloaded.
    """
    installed = Path("/", _FOLDER)
    return installed if installed.exists() else fetch_debian(*PACKAGE) / _FOLDER


def read_split(data_path: Path, split: str, part: slice = slice(None)) -> LabelledImages:
    """Reads the split "train" (60,000 images) or "t10k" (the 10,000 test images), or that part of it."""
    pixels = _read_idx(data_path / f"{split}-images-idx3-ubyte.gz")[part]
    labels = _read_idx(data_path / f"{split}-labels-idx1-ubyte.gz")[part]
    return LabelledImages(pixels[:, np.newaxis].astype(np.float32) / np.float32(255), labels.astype(np.int64))


def _read_idx(path: Path) -> NDArray[np.uint8]:
    content = gzip.decompress(path.read_bytes())
    element_type, rank = content[2], content[3]
    if content[:2] != b"\0\0" or element_type != _IDX_UINT8:
        raise ValueError(f"{path}: expected an IDX file of uint8, got the header {content[:4].hex()}")
    shape = np.frombuffer(content, dtype=">u4", count=rank, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * rank).reshape(tuple(int(size) for size in shape))

"""Data that can be read as often as needed, whatever they came as.

An iterator or a reader that cannot be rewound gives its feeds once: they are written to a temporary folder, an array a
file, and read from there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.arrays import StoredArray, read_whole
from lba_onnx.data.blocks import LABEL_NAMES, open_blocks
from lba_onnx.data.inputs import ModelInput
from lba_onnx.errors import DataError
from lba_onnx.files.leftovers import scratch_folder


@contextmanager
def repeatable(data: Any, inputs: tuple[ModelInput, ...], max_feeds: int | None = None) -> Iterator[Any]:
    """Yield data that `open_blocks` can read again and again; the temporary files live until the block ends.

    Args:
        data: What `open_blocks` takes; data that already are repeatable pass as they are.
        inputs: The model's inputs in order.
        max_feeds: Most feeds to write; None for all.

    Raises:
        DataError: A feed cannot be read, or holds something else than arrays.
    """
    if not _can_be_read_once_only(data):
        yield data
        return
    with scratch_folder() as folder:
        yield _Spool(data, inputs, folder, max_feeds)


def _can_be_read_once_only(data: Any) -> bool:
    if callable(getattr(data, "get_next", None)):
        return not callable(getattr(data, "rewind", None))
    return hasattr(data, "__next__")


class _Spool:
    """Feeds in files; iterating over it reads them from the first on."""

    def __init__(self, data: Any, inputs: tuple[ModelInput, ...], folder: Path, max_feeds: int | None) -> None:
        self._feeds: list[dict[str, Path]] = []
        for block in open_blocks(data, inputs):
            arrays = {name: _whole(value, f"{block.origin}: {name}") for name, value in block.arrays.items()}
            if block.labels is not None:
                arrays[LABEL_NAMES[0]] = block.labels
            index = len(self._feeds)
            self._feeds.append({name: folder / f"{index}_{k}.npy" for k, name in enumerate(arrays)})
            for name, path in self._feeds[-1].items():
                np.save(path, arrays[name], allow_pickle=False)
            if len(self._feeds) == max_feeds:
                break

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for files in self._feeds:
            yield {name: np.load(path, allow_pickle=False) for name, path in files.items()}


def _whole(value: Any, origin: str) -> NDArray[Any]:
    if not isinstance(value, (np.ndarray, StoredArray)) or value.dtype.hasobject:
        got = getattr(value, "dtype", type(value).__name__)
        raise DataError(f"{origin}: expected an array of numbers, got {got}; give data that can be read twice")
    return read_whole(value)

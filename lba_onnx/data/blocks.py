"""Where samples come from: readers, files, folders, iterables and data loaders, all turned into blocks of arrays."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.arrays import Rows, open_npy, open_npz, read_whole
from lba_onnx.errors import DataError

LABEL_NAMES = ("label", "labels")

_FORMS = (
    "an .npz or .npy file, a folder of .npz files or of test_data_set_*/input_*.pb, an object with get_next(), "
    "a mapping from input names to arrays, or an iterable of such mappings"
)


@dataclass(frozen=True)
class Block:
    """Arrays that belong together: a whole file of samples, or one feed.

    Attributes:
        arrays: Input names to arrays, labels left out.
        labels: One label per sample, or None.
        is_stacked: Whether the first axis runs over samples and may be cut anywhere; otherwise the block is one feed.
        origin: File or position, for messages.
    """

    arrays: dict[str, Rows]
    labels: NDArray[Any] | None
    is_stacked: bool
    origin: str


def open_blocks(data: Any, input_names: tuple[str, ...]) -> Iterator[Block]:
    """Return the blocks of data in any of the forms that users have, each read only when it is its turn.

    Args:
        data: A path to an .npz file (input names to arrays whose first axis runs over samples; "label" or "labels" is
            set apart), a path to an .npy file (models with one input), a folder of .npz files or of
            test_data_set_*/input_*.pb, an object with get_next() -> dict | None (rewound first where it can be), a
            mapping of input names to arrays, or an iterable of dicts, tuples or tensors such as a torch DataLoader.
        input_names: The model's inputs in order.

    Raises:
        DataError: The data has none of these forms, or cannot be read.
    """
    if isinstance(data, (str, os.PathLike)):
        return _path_blocks(Path(data), input_names)
    if isinstance(data, np.ndarray):
        return iter([_stacked(_single(input_names, data, "the array"), input_names, "the array")])
    if isinstance(data, Mapping):
        return iter([_stacked(_arrays(data), input_names, "the mapping")])
    if callable(getattr(data, "get_next", None)):
        return _reader_blocks(data, input_names)
    if isinstance(data, Iterable) and not isinstance(data, bytes):
        return _iterable_blocks(data, input_names)
    raise DataError(f"expected data as {_FORMS}, got {type(data).__name__}")


def sample_count(data: Any, max_samples: int | None = None) -> int | None:
    """Return how many samples there are, where an array, a mapping or one file tells it before being read; else None.

    Raises:
        DataError: A file cannot be read.
    """
    arrays: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    if isinstance(data, (str, os.PathLike)) and Path(data).is_file():
        arrays = open_npz(Path(data)) if Path(data).suffix == ".npz" else {}
        arrays = arrays or ({"": open_npy(Path(data))} if Path(data).suffix == ".npy" else {})
    if isinstance(data, np.ndarray):
        arrays = {"": data}
    lengths = {array.shape[0] for array in arrays.values() if getattr(array, "ndim", 0) > 0}
    if len(lengths) != 1:
        return None
    length = int(lengths.pop())
    return length if max_samples is None else min(length, max_samples)


def _path_blocks(path: Path, input_names: tuple[str, ...]) -> Iterator[Block]:
    if path.is_dir():
        return _folder_blocks(path, input_names)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    openers: dict[str, Callable[[Path, tuple[str, ...]], Block]] = {".npz": _npz_block, ".npy": _npy_block}
    if path.suffix not in openers:
        raise DataError(f"{path}: expected data as {_FORMS}")
    return (openers[path.suffix](p, input_names) for p in [path])


def _npz_block(path: Path, input_names: tuple[str, ...]) -> Block:
    return _stacked(dict(open_npz(path)), input_names, str(path))


def _npy_block(path: Path, input_names: tuple[str, ...]) -> Block:
    return _stacked(_single(input_names, open_npy(path), str(path)), input_names, str(path))


def _folder_blocks(folder: Path, input_names: tuple[str, ...]) -> Iterator[Block]:
    files = sorted(folder.glob("*.npz"))
    sets = [folder] if any(folder.glob("input_*.pb")) else sorted(folder.glob("test_data_set_*"), key=_number)
    if bool(files) == bool(sets):
        found = "both" if files else "neither"
        raise DataError(f"{folder}: expected either .npz files or test_data_set_*/input_*.pb, got {found}")
    if files:
        return (_npz_block(path, input_names) for path in files)
    return (_protobuf_block(path, input_names) for path in sets)


def _protobuf_block(folder: Path, input_names: tuple[str, ...]) -> Block:
    files = sorted(folder.glob("input_*.pb"), key=_number)
    if len(files) != len(input_names):
        raise DataError(f"{folder}: expected {len(input_names)} files input_*.pb, got {len(files)}")
    arrays = {name: _read_tensor(path) for name, path in zip(input_names, files, strict=True)}
    return Block(arrays, None, False, str(folder))


def _number(path: Path) -> tuple[int, str]:
    digits = re.findall(r"\d+", path.name)
    return (int(digits[-1]) if digits else -1, path.name)


def _read_tensor(path: Path) -> Rows:
    import onnx

    tensor = onnx.TensorProto()
    try:
        tensor.ParseFromString(path.read_bytes())
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ValueError("its values lie in another file")
        array: NDArray[Any] = onnx.numpy_helper.to_array(tensor)
        return array
    except Exception as error:  # protobuf's own errors among them
        raise DataError(f"{path}: cannot be read as a tensor: {error}") from error


def _reader_blocks(reader: Any, input_names: tuple[str, ...]) -> Iterator[Block]:
    if callable(getattr(reader, "rewind", None)):
        reader.rewind()
    return _iterable_blocks(iter(reader.get_next, None), input_names)


def _iterable_blocks(feeds: Iterable[Any], input_names: tuple[str, ...]) -> Iterator[Block]:
    for index, feed in enumerate(feeds):
        origin = f"feed {index}"
        arrays, labels = _split_labels(_named(feed, input_names, origin), input_names, origin)
        yield Block(arrays, labels, False, origin)


def _named(feed: Any, input_names: tuple[str, ...], origin: str) -> dict[str, Rows]:
    """Give names to what a loader yields: a mapping has them, a tuple follows the inputs' order, labels last."""
    if isinstance(feed, Mapping):
        return _arrays(feed)
    if not isinstance(feed, (tuple, list)):
        return _single(input_names, _array(feed), origin)
    names = (*input_names, LABEL_NAMES[0])
    if len(feed) not in (len(input_names), len(names)):
        raise DataError(
            f"{origin}: expected {len(input_names)} values ({', '.join(input_names)}), one more for labels, "
            f"got {len(feed)}"
        )
    return _arrays(dict(zip(names, feed, strict=False)))


def _single(input_names: tuple[str, ...], array: Rows, origin: str) -> dict[str, Rows]:
    if len(input_names) != 1:
        raise DataError(f"{origin}: expected arrays for the inputs {', '.join(input_names)}, got one without a name")
    return {input_names[0]: array}


def _arrays(values: Mapping[Any, Any]) -> dict[str, Rows]:
    return {str(name): _array(value) for name, value in values.items()}


def _array(value: Any) -> NDArray[Any]:
    """Return a NumPy array, list, number or tensor as an array (tensors are detached and moved to the host first)."""
    for step in ("detach", "cpu", "numpy"):
        if not isinstance(value, np.ndarray) and callable(getattr(value, step, None)):
            value = getattr(value, step)()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(f"expected an array or tensor, got {type(value).__name__}: {error}") from None
    return array


def _stacked(arrays: dict[str, Rows], input_names: tuple[str, ...], origin: str) -> Block:
    arrays, labels = _split_labels(arrays, input_names, origin)
    return Block(arrays, labels, True, origin)


def _split_labels(
    arrays: dict[str, Rows], input_names: tuple[str, ...], origin: str
) -> tuple[dict[str, Rows], NDArray[Any] | None]:
    found = [name for name in LABEL_NAMES if name in arrays and name not in input_names]
    if not found:
        return arrays, None
    labels = check_labels(read_whole(arrays[found[0]]), f"{origin}[{found[0]}]")
    return {name: array for name, array in arrays.items() if name not in found}, labels


def check_labels(labels: NDArray[Any], origin: str) -> NDArray[Any]:
    """Return labels as one axis of class numbers.

    Raises:
        DataError: They are not integers, or have more than one axis.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim > 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{origin}: expected integer labels [samples], got {labels.dtype} {list(labels.shape)}")
    return labels.reshape(-1)

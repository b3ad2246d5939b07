"""Where samples come from: readers, files, folders, iterables and data loaders, all turned into blocks of arrays.

A model with an input that is no tensor (a sequence, an optional value) takes feeds: what they hold for such an input
goes to onnxruntime as it is.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.arrays import Rows, open_npy, open_npz, read_whole
from lba_onnx.data.inputs import ModelInput
from lba_onnx.data.samples import Samples
from lba_onnx.errors import DataError
from lba_onnx.files.regular import check_regular

LABEL_NAMES = ("label", "labels")

_FORMS = (
    "an .npz or .npy file, a folder of .npz files or of test_data_set_*/input_*.pb, an object with get_next(), "
    "a mapping from input names to arrays, an iterable of such mappings, or a function that returns one of these"
)


@dataclass(frozen=True)
class Block:
    """Arrays that belong together: a whole file of samples, or one feed.

    Attributes:
        arrays: Input names to arrays, labels left out; to other values for inputs that are no tensors.
        labels: One label per sample, or None.
        is_stacked: Whether the first axis runs over samples and may be cut anywhere; otherwise the block is one feed.
        source: File or position, for messages.
        start: Number of its first sample in the source.
    """

    arrays: dict[str, Any]
    labels: NDArray[Any] | None
    is_stacked: bool
    source: str
    start: int = 0

    @property
    def origin(self) -> str:
        """Where it begins, for messages."""
        return f"{self.source}, sample {self.start}" if self.start else self.source


def open_blocks(data: Any, inputs: tuple[ModelInput, ...]) -> Iterator[Block]:
    """Return the blocks of data in any of the forms that users have, each read only when it is its turn.

    Args:
        data: A path to an .npz file (input names to arrays whose first axis runs over samples; "label" or "labels" is
            set apart), a path to an .npy file (models with one input), a folder of .npz files or of
            test_data_set_*/input_*.pb, an object with get_next() -> dict | None (rewound first where it can be), a
            mapping of input names to arrays, an iterable of dicts, tuples or tensors such as a torch DataLoader, or a
            function without arguments that returns one of these, anew each time the data are read.
        inputs: The model's inputs in order.

    Raises:
        DataError: The data has none of these forms, or cannot be read.
    """
    if isinstance(data, (str, os.PathLike)):
        return _path_blocks(Path(data), inputs)
    if isinstance(data, np.ndarray):
        return iter([_stacked(_single(inputs, data, "the array"), inputs, "the array")])
    if isinstance(data, Mapping):
        return iter([_stacked(to_values(data, ()), inputs, "the mapping")])
    if _is_reader(data):
        return _reader_blocks(data, inputs)
    if isinstance(data, Iterable) and not isinstance(data, bytes):
        return _iterable_blocks(data, inputs)
    if callable(data):
        return _called_blocks(data, inputs)
    raise DataError(f"expected data as {_FORMS}, got {type(data).__name__}")


def sample_count(samples: Samples) -> int | None:
    """Return how many samples there are, where an array, a mapping or one file tells it before being read; else None.

    Raises:
        DataError: A file cannot be read.
    """
    data, limit = samples.data, samples.max_samples
    arrays: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    if isinstance(data, (str, os.PathLike)) and Path(data).is_file():
        arrays = open_npz(Path(data)) if Path(data).suffix == ".npz" else {}
        arrays = arrays or ({"": open_npy(Path(data))} if Path(data).suffix == ".npy" else {})
    if isinstance(data, np.ndarray):
        arrays = {"": data}
    counted = (array for name, array in arrays.items() if name not in samples.shared_inputs)
    lengths = {array.shape[0] for array in counted if getattr(array, "ndim", 0) > 0}
    if len(lengths) != 1:
        return None
    length = int(lengths.pop())
    return length if limit is None else min(length, limit)


def _is_reader(data: Any) -> bool:
    return callable(getattr(data, "get_next", None)) and not isinstance(data, type)  # a class is called first


def _called_blocks(function: Callable[[], Any], inputs: tuple[ModelInput, ...]) -> Iterator[Block]:
    data = function()
    if callable(data) and not (isinstance(data, Iterable) or _is_reader(data)):
        raise DataError(f"expected a function that returns data as {_FORMS}, got another function from it")
    yield from open_blocks(data, inputs)


def _path_blocks(path: Path, inputs: tuple[ModelInput, ...]) -> Iterator[Block]:
    if path.is_dir():
        return _folder_blocks(path, inputs)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    openers: dict[str, Callable[[Path, tuple[ModelInput, ...]], Block]] = {".npz": _npz_block, ".npy": _npy_block}
    if path.suffix not in openers:
        raise DataError(f"{path}: expected data as {_FORMS}")
    return (openers[path.suffix](p, inputs) for p in [path])


def _npz_block(path: Path, inputs: tuple[ModelInput, ...]) -> Block:
    return _stacked(dict(open_npz(path)), inputs, str(path))


def _npy_block(path: Path, inputs: tuple[ModelInput, ...]) -> Block:
    return _stacked(_single(inputs, open_npy(path), str(path)), inputs, str(path))


def _folder_blocks(folder: Path, inputs: tuple[ModelInput, ...]) -> Iterator[Block]:
    files = sorted(folder.glob("*.npz"))
    sets = [folder] if any(folder.glob("input_*.pb")) else sorted(folder.glob("test_data_set_*"), key=_number)
    if bool(files) == bool(sets):
        found = "both" if files else "neither"
        raise DataError(f"{folder}: expected either .npz files or test_data_set_*/input_*.pb, got {found}")
    if files:
        return (_npz_block(path, inputs) for path in files)
    return (_protobuf_block(path, inputs) for path in sets)


def _protobuf_block(folder: Path, inputs: tuple[ModelInput, ...]) -> Block:
    files = sorted(folder.glob("input_*.pb"), key=_number)
    if len(files) != len(inputs):
        raise DataError(f"{folder}: expected {len(inputs)} files input_*.pb, got {len(files)}")
    _check_tensors(inputs, str(folder))
    arrays = {i.name: _read_tensor(path) for i, path in zip(inputs, files, strict=True)}
    return Block(arrays, None, False, str(folder))


def _number(path: Path) -> tuple[int, str]:
    digits = re.findall(r"\d+", path.name)
    return (int(digits[-1]) if digits else -1, path.name)


def _read_tensor(path: Path) -> Rows:
    import onnx

    check_regular(path, DataError)
    tensor = onnx.TensorProto()
    try:
        tensor.ParseFromString(path.read_bytes())
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ValueError("its values lie in another file")
        with np.errstate(all="ignore"):  # of signalling NaN among float8 and bfloat16 values
            array: NDArray[Any] = onnx.numpy_helper.to_array(tensor)
        return array
    except Exception as error:  # protobuf's own errors among them
        raise DataError(f"{path}: cannot be read as a tensor: {error}") from error


def _reader_blocks(reader: Any, inputs: tuple[ModelInput, ...]) -> Iterator[Block]:
    if callable(getattr(reader, "rewind", None)):
        reader.rewind()
    return _iterable_blocks(iter(reader.get_next, None), inputs)


def _iterable_blocks(feeds: Iterable[Any], inputs: tuple[ModelInput, ...]) -> Iterator[Block]:
    for index, feed in enumerate(feeds):
        source = f"feed {index}"
        values, labels = _split_labels(_named(feed, inputs, source), inputs, source)
        yield Block(values, labels, False, source)


def _named(feed: Any, inputs: tuple[ModelInput, ...], source: str) -> dict[str, Any]:
    """Give names to what a loader yields: a mapping has them, a tuple follows the inputs' order, labels last."""
    if isinstance(feed, Mapping):
        return to_values(feed, inputs)
    if not isinstance(feed, (tuple, list)):
        return _single(inputs, _array(feed), source)
    names = (*(i.name for i in inputs), LABEL_NAMES[0])
    if len(feed) not in (len(inputs), len(names)):
        raise DataError(
            f"{source}: expected {len(inputs)} values ({', '.join(names[:-1])}), one more for labels, got {len(feed)}"
        )
    return to_values(dict(zip(names, feed, strict=False)), inputs)


def _single(inputs: tuple[ModelInput, ...], array: Rows, source: str) -> dict[str, Any]:
    _check_tensors(inputs, source)
    if len(inputs) != 1:
        names = ", ".join(i.name for i in inputs)
        raise DataError(f"{source}: expected arrays for the inputs {names}, got one without a name")
    return {inputs[0].name: array}


def _check_tensors(inputs: tuple[ModelInput, ...], source: str) -> None:
    """Refuse arrays for a model that takes more than arrays."""
    other = [i for i in inputs if not i.is_tensor]
    if other:
        raise DataError(
            f"{source}: expected, for the input {other[0]}, a function or a reader that gives feeds as onnxruntime "
            "takes them, such as {name: [array, array]}, got arrays"
        )


def to_values(values: Mapping[Any, Any], inputs: tuple[ModelInput, ...]) -> dict[str, Any]:
    """Return a feed as arrays; what it holds for an input that is no tensor as it is.

    Raises:
        DataError: A value is no array, tensor, list or number.
    """
    as_they_are = {i.name for i in inputs if not i.is_tensor}
    return {str(name): value if name in as_they_are else _array(value) for name, value in values.items()}


def _array(value: Any) -> NDArray[Any]:
    """Return a NumPy array, list, number or tensor as an array (tensors are detached and moved to the host first)."""
    for step in ("detach", "cpu", "numpy"):
        if not isinstance(value, np.ndarray) and callable(getattr(value, step, None)):
            value = getattr(value, step)()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"expected an array or tensor, got {type(value).__name__}: {error}") from None
    return array


def _stacked(arrays: dict[str, Any], inputs: tuple[ModelInput, ...], source: str) -> Block:
    _check_tensors(inputs, source)
    arrays, labels = _split_labels(arrays, inputs, source)
    return Block(arrays, labels, True, source)


def _split_labels(
    arrays: dict[str, Any], inputs: tuple[ModelInput, ...], source: str
) -> tuple[dict[str, Any], NDArray[Any] | None]:
    names = {i.name for i in inputs}
    found = [name for name in LABEL_NAMES if name in arrays and name not in names]
    if not found:
        return arrays, None
    labels = check_labels(read_whole(arrays[found[0]]), f"{source}[{found[0]}]")
    return {name: array for name, array in arrays.items() if name not in found}, labels


def check_labels(labels: NDArray[Any], origin: str) -> NDArray[Any]:
    """Return labels as class numbers [samples], or as tokens [samples, tokens].

    Raises:
        DataError: They are not integers, or have more axes.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim > 2 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{origin}: expected integer labels [samples], got {labels.dtype} {list(labels.shape)}")
    return labels if labels.ndim == 2 else labels.reshape(-1)

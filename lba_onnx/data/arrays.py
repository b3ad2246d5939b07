"""Arrays in .npy and .npz files, read a few rows at a time and never unpickled."""

import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.errors import DataError
from lba_onnx.files.regular import check_regular

_WHOLE_LIMIT_BYTES = 1 << 31
_LONGEST_REASON = 300


@dataclass(frozen=True)
class StoredArray:
    """An array in a file, of which so far only the header has been read.

    Attributes:
        path: The .npy or .npz file.
        member: Name of the .npz file's member; None for a .npy file.
        shape: Sizes of all axes.
        dtype: Type of the elements; never object.
        is_fortran: Whether the first axis is stored fastest.
    """

    path: Path
    member: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def origin(self) -> str:
        """File and member, for messages."""
        return _origin(self.path, self.member)


Rows = NDArray[Any] | StoredArray


def read_rows(array: Rows, rows: int) -> Iterator[NDArray[Any]]:
    """Yield consecutive pieces of at most `rows` entries of the first axis, holding one piece in memory.

    Raises:
        DataError: The file is damaged or shorter than its header says.
    """
    if isinstance(array, StoredArray):
        yield from _read_stored_rows(array, rows)
        return
    for start in range(0, array.shape[0], rows):
        yield array[start : start + rows]


def read_whole(array: Rows) -> NDArray[Any]:
    """Return all of an array.

    Raises:
        DataError: The file is damaged or shorter than its header says, or the array takes more than 2 GiB.
    """
    if not isinstance(array, StoredArray):
        return array
    if math.prod(array.shape) * array.dtype.itemsize > _WHOLE_LIMIT_BYTES:
        raise DataError(f"{array.origin}: expected at most 2 GiB to be fed at once, got shape {array.shape}")
    if 0 in array.shape or array.ndim == 0:
        with _open_data(array) as file:
            return _read_piece(file, array.shape, array.dtype)
    return next(_read_stored_rows(array, array.shape[0]))


def open_npy(path: Path) -> StoredArray:
    """Return the array of a .npy file.

    Raises:
        DataError: The file cannot be read, or holds pickled objects.
    """
    with _clear_errors(path, None), path.open("rb") as file:
        return _read_header(file, path, None, path.stat().st_size)


def open_npz(path: Path) -> dict[str, StoredArray]:
    """Return the arrays of an .npz file by name.

    Raises:
        DataError: The file cannot be read, or holds pickled objects.
    """
    arrays = {}
    with _clear_errors(path, None), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            with _clear_errors(path, info.filename), archive.open(info) as file:
                if name in arrays:
                    raise ValueError("there are two arrays of this name")
                arrays[name] = _read_header(file, path, info.filename, info.file_size)
    return arrays


def _origin(path: Path, member: str | None) -> str:
    return str(path) if member is None else f"{path}[{member.removesuffix('.npy')}]"


@contextmanager
def _clear_errors(path: Path, member: str | None) -> Iterator[None]:
    """Turn whatever zipfile, its decompressors and NumPy's parser of headers raise on a damaged file into one error."""
    check_regular(path, DataError)
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:_LONGEST_REASON] or "it ends early"
        raise DataError(f"{_origin(path, member)}: cannot be read as NumPy data: {reason}") from error


def _read_header(file: IO[bytes], path: Path, member: str | None, size_bytes: int) -> StoredArray:
    shape, is_fortran, dtype = _parse_header(file)
    if dtype.hasobject:
        raise ValueError("it holds pickled Python objects, which are not loaded")
    if dtype.names is not None or dtype.subdtype is not None or dtype.itemsize == 0:
        raise ValueError(f"expected numbers or strings, got elements of {dtype}")
    header_bytes = file.tell()
    expected_bytes = header_bytes + math.prod(shape) * dtype.itemsize
    if size_bytes < expected_bytes:
        raise ValueError(f"expected {expected_bytes} bytes for shape {shape} of {dtype}, got {size_bytes}")
    return StoredArray(path, member, shape, dtype, is_fortran)


def _parse_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:  # 3.0 is for arrays of structures
        raise ValueError(f"expected version 1.0 or 2.0 of the .npy format, got {version[0]}.{version[1]}")
    with warnings.catch_warnings():  # of Python's parser about what a damaged header holds
        warnings.simplefilter("ignore")
        shape, is_fortran, dtype = readers[version](file)
    if any(size < 0 for size in shape):
        raise ValueError(f"expected sizes of at least 0, got shape {shape}")
    return shape, is_fortran, dtype


@contextmanager
def _open_data(array: StoredArray) -> Iterator[IO[bytes]]:
    """Open the file behind its header."""
    with _clear_errors(array.path, array.member), ExitStack() as stack:
        if array.member is None:
            file: IO[bytes] = stack.enter_context(array.path.open("rb"))
        else:
            file = stack.enter_context(stack.enter_context(zipfile.ZipFile(array.path)).open(array.member))
        if _parse_header(file) != (array.shape, array.is_fortran, array.dtype):
            raise ValueError("it has changed while it was being read")
        yield file


def _read_stored_rows(array: StoredArray, rows: int) -> Iterator[NDArray[Any]]:
    with _open_data(array) as file:
        if array.is_fortran:  # rows lie apart from each other: there is no way round reading everything
            whole = _read_piece(file, array.shape[::-1], array.dtype).transpose()
            yield from read_rows(whole, rows)
            return
        for start in range(0, array.shape[0], rows):
            yield _read_piece(file, (min(rows, array.shape[0] - start), *array.shape[1:]), array.dtype)


def _read_piece(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    size_bytes = math.prod(shape) * dtype.itemsize
    content = file.read(size_bytes)
    if len(content) != size_bytes:
        raise EOFError(f"expected {size_bytes} more bytes, got {len(content)}")
    piece: NDArray[Any] = np.frombuffer(content, dtype=dtype).reshape(shape).copy()  # writable, for `preprocess`
    return piece

"""As much of CuPy as lba_onnx uses, on the memory of the emulated CUDA library, which the host can read.

There are two devices, each with a current stream; the memory of both is one piece, which is there inside `memory`. What
`empty` and `alloc` give out of it holds NaN.
"""

import contextlib
import ctypes
import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from lba_onnx.native.cuda import DeviceBuffer

_CUDA, _CUDA_MANAGED = 2, 13  # as in DLPack
_ALIGNMENT = 256
_BYTES = 1 << 20
_current = SimpleNamespace(device=0, streams={0: 0, 1: 0}, memory=0, end=0)


@contextlib.contextmanager
def memory() -> Iterator[None]:
    with DeviceBuffer(_BYTES) as buffer:
        _current.memory, _current.end = buffer.pointer, buffer.pointer + _BYTES
        yield


class Memory:
    """What cupy.cuda.alloc returns."""

    def __init__(self, size: int) -> None:
        self.ptr = -(-_current.memory // _ALIGNMENT) * _ALIGNMENT
        _current.memory = self.ptr + size
        assert _current.memory <= _current.end, "the test takes more than there is"
        ctypes.memset(self.ptr, 0xFF, size)


class Device:
    def __init__(self, number: int) -> None:
        self.id = number
        self._before: list[int] = []

    def __enter__(self) -> "Device":
        self._before.append(_current.device)
        _current.device = self.id
        return self

    def __exit__(self, *error: object) -> None:
        _current.device = self._before.pop()


class ndarray:
    """An array that, as CuPy's, does not turn into one of numpy by itself."""

    def __init__(self, values: np.ndarray, device: int = 0) -> None:
        """Take values that lie in device memory."""
        self.values = values
        self.device = Device(device)

    shape = property(lambda self: self.values.shape)
    strides = property(lambda self: self.values.strides)
    dtype = property(lambda self: self.values.dtype)
    ndim = property(lambda self: self.values.ndim)
    itemsize = property(lambda self: self.values.itemsize)
    data = property(lambda self: SimpleNamespace(ptr=self.values.ctypes.data))

    def __getitem__(self, key: Any) -> "ndarray":
        return ndarray(self.values[key], self.device.id)

    def __array__(self, *arguments: Any, **settings: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CUDA, self.device.id

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return interface(self.values)


class DlpackArray:
    """An array of another package that speaks DLPack, such as PyTorch's."""

    def __init__(self, values: np.ndarray, *, is_managed: bool = False) -> None:
        self.values = values
        self._type = _CUDA_MANAGED if is_managed else _CUDA

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._type, 0

    def __dlpack__(self, **settings: Any) -> Any:
        return self.values.__dlpack__(**settings)


class InterfaceArray:
    """An array of another package that has __cuda_array_interface__ only, such as Numba's."""

    def __init__(self, values: np.ndarray) -> None:
        self.__cuda_array_interface__ = interface(values)


def interface(values: np.ndarray) -> dict[str, Any]:
    place, kind = (values.ctypes.data, False), values.dtype.str
    return {"version": 3, "shape": values.shape, "typestr": kind, "data": place, "strides": values.strides}


def to_device(values: np.ndarray, device: int = 0) -> ndarray:
    """Copy an array to device memory, with its strides."""
    steps = [(size - 1) * stride for size, stride in zip(values.shape, values.strides, strict=True)]
    before = -sum(step for step in steps if step < 0)
    after = sum(step for step in steps if step > 0) + values.itemsize
    place = Memory(before + after).ptr
    if values.size:
        ctypes.memmove(place, values.ctypes.data - before, before + after)
    return ndarray(_view(place + before, values.shape, values.dtype, values.strides), device)


def from_dlpack(array: Any) -> ndarray:
    on_host = SimpleNamespace(__dlpack__=array.__dlpack__, __dlpack_device__=lambda: (1, 0))
    return ndarray(np.from_dlpack(on_host), array.__dlpack_device__()[1])


def asarray(array: Any) -> ndarray:
    told = array.__cuda_array_interface__
    return ndarray(_view(told["data"][0], told["shape"], np.dtype(told["typestr"]), told["strides"]))


def empty(shape: tuple[int, ...], dtype: Any) -> ndarray:
    kind = np.dtype(dtype)
    return ndarray(_view(Memory(math.prod(shape) * kind.itemsize).ptr, shape, kind), _current.device)


def ascontiguousarray(array: ndarray) -> ndarray:
    if array.values.flags.c_contiguous:
        return array
    return to_device(np.ascontiguousarray(array.values), array.device.id)


def broadcast_to(array: ndarray, shape: tuple[int, ...]) -> ndarray:
    return ndarray(np.broadcast_to(array.values, shape), array.device.id)


def _view(place: int, shape: tuple[int, ...], kind: np.dtype, strides: tuple[int, ...] | None = None) -> np.ndarray:
    told = {"version": 3, "shape": shape, "typestr": kind.str, "data": (place, False), "strides": strides}
    return np.asarray(SimpleNamespace(__array_interface__=told))


@contextlib.contextmanager
def use_stream(number: int, device: int) -> Iterator[None]:
    before, _current.streams[device] = _current.streams[device], number
    try:
        yield
    finally:
        _current.streams[device] = before


def current_device() -> int:
    return _current.device


cuda = SimpleNamespace(alloc=Memory, get_current_stream=lambda: SimpleNamespace(ptr=_current.streams[_current.device]))

"""The devices of this machine, and their memory."""

import ctypes
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from lba_onnx.native.cuda.library import KERNELS, CudaDevice, check, load_cuda_library


@dataclass(frozen=True)
class Device:
    """A CUDA device.

    Attributes:
        name: What its maker calls it.
        compute_capability: Major and minor number, such as (9, 0).
        multiprocessors: How many it has.
        memory_bytes: All of its memory.
        driver_version: The newest CUDA that the machine's driver knows, such as (13, 0).
        runtime_version: The CUDA that the library was built with.
    """

    name: str
    compute_capability: tuple[int, int]
    multiprocessors: int
    memory_bytes: int
    driver_version: tuple[int, int]
    runtime_version: tuple[int, int]


def devices() -> tuple[Device, ...]:
    """Return the CUDA devices; none on a machine without a device or a driver.

    Raises:
        LibraryError: There is no CUDA library.
        RuntimeError: A CUDA call failed.
    """
    library, count = load_cuda_library(), ctypes.c_int32()
    check(library.lba_cuda_device_count(count))
    return tuple(_device(index) for index in range(count.value))


def _device(index: int) -> Device:
    raw = CudaDevice()
    check(load_cuda_library().lba_cuda_device(index, raw))
    return Device(
        raw.name.decode(),
        (raw.compute_major, raw.compute_minor),
        raw.multiprocessors,
        raw.memory_bytes,
        _version(raw.driver_version),
        _version(raw.runtime_version),
    )


def _version(number: int) -> tuple[int, int]:
    """Return major and minor of a version as CUDA counts: 13010 is 13.1."""
    return number // 1000, number % 1000 // 10


def synchronize(stream: int = 0) -> None:
    """Wait until a stream of the current device has computed all that is queued in it."""
    check(load_cuda_library().lba_cuda_synchronize(stream))


def kernel_counts() -> dict[str, int]:
    """Tiles that each kernel has computed on the current device since the process started."""
    counts = (ctypes.c_int64 * len(KERNELS))()
    check(load_cuda_library().lba_cuda_kernel_counts(counts))
    return dict(zip(KERNELS, counts, strict=True))


class DeviceBuffer:
    """Memory of the current device; freed at the end of a `with` block, or by `free`.

    Attributes:
        pointer: Its address on the device; 0 once it is freed.
        size_bytes: Its size.
    """

    def __init__(self, size_bytes: int) -> None:
        """Allocate; what lies in the memory is left open.

        Raises:
            LibraryError: There is no CUDA library.
            MemoryError: The device has too little memory.
        """
        pointer = ctypes.c_void_p()
        check(load_cuda_library().lba_cuda_allocate(max(size_bytes, 1), pointer))
        self.pointer = pointer.value or 0
        self.size_bytes = size_bytes

    @classmethod
    def of(cls, array: npt.NDArray[Any]) -> "DeviceBuffer":
        """Allocate a copy of an array, C-contiguous."""
        buffer = cls(array.nbytes)
        buffer.write(array)
        return buffer

    def write(self, array: npt.NDArray[Any], stream: int = 0) -> None:
        """Copy an array to the beginning, C-contiguous; returns when it is there.

        Raises:
            ValueError: It is larger than the buffer.
        """
        if array.nbytes > self.size_bytes:
            raise ValueError(f"expected at most {self.size_bytes} bytes, got {array.nbytes}")
        array = np.ascontiguousarray(array)
        check(load_cuda_library().lba_cuda_copy(self.pointer, array.ctypes.data, array.nbytes, stream))
        synchronize(stream)

    def read(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32, stream: int = 0) -> npt.NDArray[Any]:
        """Return a copy of the beginning as an array, once the stream is through with what is queued.

        Raises:
            ValueError: The array would be larger than the buffer.
        """
        array = np.empty(shape, dtype)
        if array.nbytes > self.size_bytes:
            raise ValueError(f"expected at most {self.size_bytes} bytes, got {array.nbytes} for {shape}")
        check(load_cuda_library().lba_cuda_copy(array.ctypes.data, self.pointer, array.nbytes, stream))
        synchronize(stream)
        return array

    def free(self) -> None:
        """Free the memory; again does nothing."""
        pointer, self.pointer = self.pointer, 0
        if pointer:
            check(load_cuda_library().lba_cuda_free(pointer))

    def __enter__(self) -> "DeviceBuffer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.free()

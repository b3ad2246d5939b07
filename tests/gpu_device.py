"""The device that the tests marked gpu run on, or why they are skipped.

LBA_ONNX_CUDA_LIBRARY may name the library, and the emulated one as well: then the tests run on small sizes.
"""

import ctypes
import functools
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lba_onnx.errors import LbaError
from lba_onnx.native.cuda import Device, devices, synchronize

TILE_VARIABLE = "LBA_ONNX_CUDA_TILE"
TILES = ("large", "medium", "flat", "small", "thin")
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING
_EMULATED_STREAMS = (1, 2)  # the handles of the two default streams, which are always there


@functools.cache
def find_device() -> tuple[Device | None, str]:
    """The first device, or why there is none."""
    try:
        found = devices()
    except (LbaError, RuntimeError) as error:
        return None, f"no CUDA device: {error}"
    return (found[0], "") if found else (None, "no CUDA device: the CUDA library finds none on this machine")


def marks() -> list[pytest.MarkDecorator]:
    """What every test on a device is marked with."""
    device, reason = find_device()
    return [pytest.mark.gpu, pytest.mark.skipif(device is None, reason=reason)]


def is_emulated() -> bool:
    """Whether the device is the processor, which is slow."""
    device, _ = find_device()
    return device is not None and "emulated" in device.name


def scaled(on_device: int, emulated: int) -> int:
    """A size or a count."""
    return emulated if is_emulated() else on_device


def seed_of(*parts: object) -> int:
    """A seed that depends on what is tested."""
    return zlib.crc32(repr(parts).encode())


@contextmanager
def made_streams(count: int) -> Iterator[list[int]]:
    """Streams of the current device that do not wait for its default stream, made by the driver."""
    if is_emulated():
        yield [_EMULATED_STREAMS[i % len(_EMULATED_STREAMS)] for i in range(count)]
        return
    synchronize()  # makes the device's context this thread's: the driver wants one
    driver = ctypes.CDLL("libcuda.so.1")
    streams = [ctypes.c_void_p() for _ in range(count)]
    for stream in streams:
        assert driver.cuStreamCreate(ctypes.byref(stream), _NON_BLOCKING) == 0
    try:
        yield [stream.value or 0 for stream in streams]
    finally:
        for stream in streams:
            assert driver.cuStreamDestroy_v2(stream) == 0

"""Products and convolutions on a CUDA device: queued on operands in its memory, or of numpy arrays."""

import ctypes
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from lba_onnx.arithmetic import Accumulator, as_spec
from lba_onnx.native.cuda.calls import Call, Tensor, Values, conv_call, matmul_call
from lba_onnx.native.cuda.library import check, cuda_handle, load_cuda_library
from lba_onnx.native.library import StatisticsStruct
from lba_onnx.native.products import ConvGeometry
from lba_onnx.native.statistics import Statistics, filled


class Weights:
    """A constant operand (B or w), packed for the device on which that was done; released at the end of a `with` block.

    Attributes:
        handle: What the library knows it by; None once it is released.
    """

    def __init__(self, handle: int | None) -> None:
        self.handle = handle

    def release(self) -> None:
        """Free its memory, after waiting for the device; again does nothing."""
        handle, self.handle = self.handle, None
        load_cuda_library().lba_cuda_release(handle)

    def __enter__(self) -> "Weights":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def pack(call: Call) -> Weights:
    """Pack the second operand of a call, in memory of the host or the current device, and wait for it.

    Raises:
        MemoryError: The device has too little memory.
        RuntimeError: A CUDA call failed.
        ValueError: The library does not take the call.
    """
    handle = ctypes.c_void_p()
    check(_entry(f"pack_{call.kind}")(cuda_handle(call.accumulator), call.args, handle))
    return Weights(handle.value)


def workspace_bytes(call: Call, weights: Weights | None = None) -> int:
    """Return how much memory of the device, aligned to 256 bytes, `queue` needs.

    Raises:
        ValueError: The library does not take the call.
    """
    size = ctypes.c_int64()
    check(_entry(f"{call.kind}_workspace")(cuda_handle(call.accumulator), call.args, _handle(weights), size))
    return size.value


def queue(call: Call, workspace: int, size_bytes: int, stream: int = 0, weights: Weights | None = None) -> None:
    """Queue a call on a stream of the current device; nothing waits for it.

    Args:
        call: What to compute; its operands are in the device's memory.
        workspace: Address of device memory, aligned to 256 bytes; the stream may use it until it has computed the call.
        size_bytes: Its size, at least what `workspace_bytes` says.
        stream: A CUDA stream; 0 is the default stream.
        weights: The packed second operand; None to pack it for this call.

    Raises:
        RuntimeError: A CUDA call failed.
        ValueError: The library does not take the call.
    """
    check(_entry(call.kind)(cuda_handle(call.accumulator), call.args, _handle(weights), workspace, size_bytes, stream))


def compute_host(call: Call, weights: Weights | None = None) -> None:
    """Compute a call whose operands are in the host's memory on the current device, copied there and back.

    Raises:
        MemoryError: The device has too little memory.
        RuntimeError: A CUDA call failed.
        ValueError: The library does not take the call, or a stride is negative.
    """
    check(_entry(f"{call.kind}_host")(cuda_handle(call.accumulator), call.args, _handle(weights)))


def matmul_host(a: Values, b: Values, spec: Accumulator, weights: Weights | None = None) -> npt.NDArray[Any]:
    """Product of batches of matrices, computed on the current device.

    Args:
        a: float32 or float16 [batch..., rows, depth], any strides of 0 or more.
        b: The same type, [batch..., depth, columns], with the batch of a.
        spec: The arithmetic.
        weights: b as packed before.

    Returns:
        [batch..., rows, columns] of the operands' type.
    """
    y = np.empty((*a.shape[:-1], b.shape[-1]), a.dtype)
    compute_host(matmul_call(Tensor.of(a), Tensor.of(b), y.ctypes.data, spec), weights)
    return y


def conv_host(
    x: Values,
    w: Values,
    spec: Accumulator,
    geometry: ConvGeometry,
    output_shape: tuple[int, ...],
    bias: Values | None = None,
    weights: Weights | None = None,
) -> npt.NDArray[Any]:
    """Convolution of contiguous arrays, computed on the current device.

    Args:
        x: float32 or float16 [batch, channels, spatial...], C-contiguous.
        w: The same type, [out_channels, channels / group, kernel...], C-contiguous.
        spec: The arithmetic.
        geometry: Strides, dilations, pads and group.
        output_shape: [batch, out_channels, output...] that follows from the rest.
        bias: The same type, [out_channels], C-contiguous, added in float32 afterwards; None for none.
        weights: w as packed before.

    Returns:
        The operands' type, of output_shape.
    """
    y = np.empty(output_shape, x.dtype)
    described = None if bias is None else Tensor.of(bias)
    compute_host(conv_call(Tensor.of(x), Tensor.of(w), y.ctypes.data, spec, geometry, bias=described), weights)
    return y


def statistics(call: Call, number: int, sampled_fraction: float, stream: int = 0) -> Statistics:
    """Return what a node that makes this call collects of it, counted on the device; waits.

    Args:
        call: What to look into; its operands are in the device's memory, y is not read.
        number: How many calls the node made before; it decides which positions are sampled.
        sampled_fraction: Share of the rows or output positions that histograms and events are taken from, in (0, 1].
        stream: The stream that the operands are ready on.
    """
    handle, entry = cuda_handle(call.accumulator), _entry(f"{call.kind}_statistics")

    def fill(out: StatisticsStruct) -> None:
        check(entry(handle, call.args, number, sampled_fraction, out, stream))

    return filled(as_spec(call.accumulator).levels, fill)


def _entry(name: str) -> Any:
    return getattr(load_cuda_library(), f"lba_cuda_{name}")


def _handle(weights: Weights | None) -> int | None:
    return None if weights is None else weights.handle

"""Products and convolutions whose operands, result and workspace lie in a device's memory, ready to be queued."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.native import ConvGeometry
from lba_onnx.native.cuda import Call, DeviceBuffer, Tensor, Weights, conv_call, matmul_call, pack, queue
from lba_onnx.native.cuda import workspace_bytes as find_workspace_bytes

Values = NDArray[Any]
_POISON = 0xFF  # four such bytes are a NaN, and so are two
_GUARD_BYTES = 256  # behind what the library may write


class OnDevice:
    """A call and all the memory that it needs; freed at the end of a `with` block.

    Attributes:
        call: What the library is given.
        weights: The packed second operand; None where each call packs it.
    """

    def __init__(self, packs: bool, y_shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Allocate y; subclasses describe the call and then call `_finish`."""
        self.call: Call
        self.weights: Weights | None = None
        self._packs, self._y_shape, self._dtype = packs, y_shape, dtype
        self._buffers: list[DeviceBuffer] = []
        self._y = self._allocate(int(np.prod(y_shape)) * dtype.itemsize + _GUARD_BYTES)

    def _finish(self) -> None:
        """Pack the weights and allocate the workspace, both of which the call tells."""
        self.weights = pack(self.call) if self._packs else None
        self.workspace_bytes = find_workspace_bytes(self.call, self.weights)
        self._workspace = self._allocate(self.workspace_bytes + _GUARD_BYTES)
        self.poison()

    def queue(self, stream: int = 0) -> None:
        """Queue the call; nothing waits."""
        queue(self.call, self._workspace.pointer, self.workspace_bytes, stream, self.weights)

    def poison(self, stream: int = 0) -> None:
        """Fill result and workspace with NaN; waits."""
        for buffer in (self._y, self._workspace):
            buffer.write(np.full(buffer.size_bytes, _POISON, np.uint8), stream)

    def read(self, stream: int = 0) -> Values:
        """The result, after waiting for the stream."""
        return self._y.read(self._y_shape, self._dtype, stream)

    def compute(self, stream: int = 0) -> Values:
        """Queue and read."""
        self.queue(stream)
        return self.read(stream)

    def is_guard_intact(self) -> bool:
        """Whether what lies behind result and workspace is as `poison` left it."""
        tails = (buffer.read((buffer.size_bytes,), np.uint8)[-_GUARD_BYTES:] for buffer in (self._y, self._workspace))
        return all(bool(np.all(tail == _POISON)) for tail in tails)

    def free(self) -> None:
        """Give all memory back."""
        if self.weights is not None:
            self.weights.release()
        for buffer in self._buffers:
            buffer.free()

    def _allocate(self, size_bytes: int) -> DeviceBuffer:
        self._buffers.append(DeviceBuffer(size_bytes))
        return self._buffers[-1]

    def _upload(self, view: Values | None) -> Tensor | None:
        """Copy the array that owns the view's memory; the view lies at the same place of the copy."""
        if view is None:
            return None
        owner = view
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        if not owner.flags.c_contiguous:
            owner = view = np.ascontiguousarray(view)
        buffer = self._allocate(owner.nbytes)
        buffer.write(owner)
        on_host = Tensor.of(view)
        offset = on_host.pointer - owner.ctypes.data
        return Tensor(buffer.pointer + offset, on_host.shape, on_host.strides, on_host.dtype)

    def __enter__(self) -> "OnDevice":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.free()


class MatMulOnDevice(OnDevice):
    """alpha * (a @ b) + beta * c, batches broadcast.

    Args:
        a: [batch..., rows, depth], any strides.
        b: [batch..., depth, columns].
        spec: The arithmetic.
        packs: Whether b is packed once; else by each call.
        alpha: As Gemm's.
        beta: As Gemm's.
        c: What broadcasts to [rows, columns]; None for nothing.
    """

    def __init__(
        self,
        a: Values,
        b: Values,
        spec: AccumulatorSpec,
        packs: bool = False,
        alpha: float = 1.0,
        beta: float = 0.0,
        c: Values | None = None,
    ) -> None:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (np.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (a, b))
        super().__init__(packs, (*a.shape[:-1], b.shape[-1]), a.dtype)
        if c is not None:
            c = np.broadcast_to(c, (a.shape[-2], b.shape[-1]))
        places = (self._upload(x) for x in (a, b, c))
        a_place, b_place, c_place = places
        self.call = matmul_call(a_place, b_place, self._y.pointer, spec, alpha=alpha, beta=beta, c=c_place)
        self._finish()


class ConvOnDevice(OnDevice):
    """A convolution of contiguous arrays.

    Args:
        x: [batch, channels, spatial...].
        w: [out_channels, channels / group, kernel...].
        spec: The arithmetic.
        attributes: "strides", "pads", "dilations" and "group" of the ONNX node.
        packs: Whether w is packed once; else by each call.
        bias: [out_channels]; None for nothing.
    """

    def __init__(
        self,
        x: Values,
        w: Values,
        spec: AccumulatorSpec,
        attributes: Mapping[str, Any],
        packs: bool = False,
        bias: Values | None = None,
    ) -> None:
        geometry = geometry_of(attributes, x.ndim - 2)
        super().__init__(packs, conv_shape(x.shape, w.shape, geometry), x.dtype)
        x_place, w_place, bias_place = (self._upload(value) for value in (x, w, bias))
        self.call = conv_call(x_place, w_place, self._y.pointer, spec, geometry, bias=bias_place)
        self._finish()


def geometry_of(attributes: Mapping[str, Any], rank: int) -> ConvGeometry:
    """The attributes of a node as the library takes them."""
    pads = tuple(attributes["pads"])
    return ConvGeometry(
        tuple(attributes["strides"]), tuple(attributes["dilations"]), pads[:rank], pads[rank:], attributes["group"]
    )


def conv_shape(x: tuple[int, ...], w: tuple[int, ...], geometry: ConvGeometry) -> tuple[int, ...]:
    """Shape of a convolution's output."""
    sizes = geometry.output_sizes(x[2:], w[2:])
    assert sizes is not None, "the kernel fits: float32 models run it"
    return (x[0], w[0], *sizes)

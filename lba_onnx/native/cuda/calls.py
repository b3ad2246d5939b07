"""What is to be computed: a product or a convolution of values in memory, of a device or of the host.

Batch dimensions become as few as describe where the matrices lie, because the library takes at most 8:

    a [2, 3, 4, rows, depth] contiguous, b [4, depth, columns] broadcast
    -> batch [6, 4] with strides of a (4 * rows * depth, rows * depth) and of b (0, depth * columns)
    b the same for all: its batch is more rows, if a's rows lie evenly apart
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lba_onnx.arithmetic import Accumulator
from lba_onnx.native.cuda.library import BATCH_RANK, ELEMENT_TYPES, MAX_SIZE, CudaConvArgs, CudaMatMulArgs
from lba_onnx.native.products import ConvGeometry, geometry_fields

Values = npt.NDArray[np.float32] | npt.NDArray[np.float16]


@dataclass(frozen=True)
class Tensor:
    """Where values lie in memory.

    Attributes:
        pointer: Address of the first value.
        shape: Its dimensions.
        strides: How many values lie between neighbours, per dimension; 0 repeats.
        dtype: "float32" or "float16".
    """

    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str = "float32"

    @classmethod
    def of(cls, array: Values) -> "Tensor":
        """Describe an array in the host's memory, which has to outlive the description."""
        strides = tuple(stride // array.itemsize for stride in array.strides)
        return cls(array.ctypes.data, array.shape, strides, array.dtype.name)

    @classmethod
    def contiguous(cls, pointer: int, shape: tuple[int, ...], dtype: str = "float32") -> "Tensor":
        """Describe values that lie in order."""
        sizes = (1, *(max(size, 1) for size in shape[:0:-1]))
        strides = tuple(int(stride) for stride in np.cumprod(sizes[: len(shape)])[::-1])
        return cls(pointer, shape, strides, dtype)


@dataclass(frozen=True, eq=False)
class Call:
    """A product or a convolution that the CUDA library can compute.

    Attributes:
        kind: "matmul" or "conv".
        accumulator: The text of the arithmetic.
        args: The operands and the result.
    """

    kind: str
    accumulator: str
    args: CudaMatMulArgs | CudaConvArgs


def matmul_call(
    a: Tensor,
    b: Tensor,
    y: int,
    spec: Accumulator,
    *,
    alpha: float = 1.0,
    beta: float = 0.0,
    c: Tensor | None = None,
    starts_from_c: bool = False,
) -> Call:
    """Describe y = alpha * (a @ b) + beta * c.

    Args:
        a: [batch..., rows, depth].
        b: [batch..., depth, columns], with the batch of a; a stride of 0 broadcasts.
        y: Address of [batch..., rows, columns], contiguous and of the operands' type.
        spec: The arithmetic of a @ b.
        alpha: Factor of the dot products, in float32.
        beta: Factor of c, in float32.
        c: [rows, columns], added to every matrix; None for nothing.
        starts_from_c: Whether sums start from beta * c, in place of what is added to them; alpha is then 1.

    Raises:
        ValueError: Types or shapes do not fit, or more than 8 batch dimensions are left.
    """
    _check_types(a, b, *([] if c is None else [c]))
    if a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2]:
        raise ValueError(
            f"expected a [batch..., rows, depth] and b [batch..., depth, columns], got {a.shape}, {b.shape}"
        )
    batch, rows = _collapsed(a, b, may_join_rows=c is None)
    if len(batch) > BATCH_RANK:
        raise ValueError(
            f"expected operands whose batches take at most {BATCH_RANK} strides, got {len(batch)} for {a.shape} with "
            f"strides {a.strides} and {b.shape} with strides {b.strides}; make them contiguous"
        )
    args = CudaMatMulArgs(
        type=ELEMENT_TYPES.index(a.dtype), batch_rank=len(batch),
        rows=rows, columns=b.shape[-1], depth=a.shape[-1],
        a=a.pointer, a_row_stride=a.strides[-2], a_depth_stride=a.strides[-1],
        b=b.pointer, b_depth_stride=b.strides[-2], b_column_stride=b.strides[-1],
        alpha=alpha, beta=beta, y=y, starts_from_c=starts_from_c,
    )  # fmt: skip
    for i, axis in enumerate(batch):
        args.batch[i], args.a_batch_strides[i], args.b_batch_strides[i] = axis.size, axis.a_stride, axis.b_stride
    if c is not None:
        args.c, args.c_row_stride, args.c_column_stride = c.pointer, *c.strides
    return Call("matmul", str(spec), args)


def conv_call(
    x: Tensor,
    w: Tensor,
    y: int,
    spec: Accumulator,
    geometry: ConvGeometry,
    *,
    bias: Tensor | None = None,
    starts_from_bias: bool = False,
) -> Call:
    """Describe a convolution.

    Args:
        x: [batch, channels, spatial...] with 1 to 3 spatial dimensions, contiguous.
        w: [out_channels, channels / group, kernel...], contiguous.
        y: Address of [batch, out_channels, output...], contiguous and of the operands' type.
        spec: The arithmetic.
        geometry: Strides, dilations, pads and group.
        bias: [out_channels], added in float32 afterwards; None for none.
        starts_from_bias: Whether sums start from the bias, which is not added afterwards.

    Raises:
        ValueError: The operands are of different types.
    """
    _check_types(x, w, *([] if bias is None else [bias]))
    args = CudaConvArgs(
        type=ELEMENT_TYPES.index(x.dtype),
        **geometry_fields(x.shape, w.shape, geometry),
        x=x.pointer,
        w=w.pointer,
        bias=None if bias is None else bias.pointer,
        y=y,
        starts_from_bias=starts_from_bias,
    )
    return Call("conv", str(spec), args)


def _check_types(*tensors: Tensor) -> None:
    types = {tensor.dtype for tensor in tensors}
    if len(types) > 1 or not types <= set(ELEMENT_TYPES):
        found = ", ".join(tensor.dtype for tensor in tensors)
        raise ValueError(f"expected operands of one type out of {', '.join(ELEMENT_TYPES)}, got {found}")


@dataclass(frozen=True)
class _Axis:
    size: int
    a_stride: int
    b_stride: int

    def joined(self, inner: "_Axis") -> "_Axis | None":
        """Return this axis and the next inner one as one; None where they do not lie evenly, or are too large."""
        lie_evenly = (self.a_stride, self.b_stride) == (inner.a_stride * inner.size, inner.b_stride * inner.size)
        size = self.size * inner.size
        return replace(inner, size=size) if lie_evenly and size <= MAX_SIZE else None


def _collapsed(a: Tensor, b: Tensor, *, may_join_rows: bool) -> tuple[list[_Axis], int]:
    """Return the fewest batch axes, outermost first, and the rows, with an axis along which B is the same."""
    axes = [_Axis(*axis) for axis in zip(a.shape[:-2], a.strides[:-2], b.strides[:-2], strict=True)]
    batch = _joined(axis for axis in axes if axis.size != 1)
    rows = a.shape[-2]
    if batch and may_join_rows:
        with_rows = batch[-1].joined(_Axis(rows, a.strides[-2], 0))
        if with_rows is not None:
            return batch[:-1], with_rows.size
    return batch, rows


def _joined(axes: Iterable[_Axis]) -> list[_Axis]:
    result: list[_Axis] = []
    for axis in axes:
        both = result[-1].joined(axis) if result else None
        if both is not None:
            result[-1] = both
        else:
            result.append(axis)
    return result

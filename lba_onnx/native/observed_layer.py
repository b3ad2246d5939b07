"""An observed call seen as a layer: rows that meet weights.

Arrays have an axis of groups in front, which is one long but in grouped convolutions:

    x [groups, rows, depth]     w [groups, depth, channels]     y [groups, rows, channels]

A row is what the weights of all channels are multiplied with: of a matrix product a row of the other operand, of a
convolution the patch at an output position. Where the weights are the left operand, both are transposed: the products
and the order of their sums stay.
"""

import ctypes
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.any_values import ANY_VALUES
from lba_onnx.native.accumulators import accumulator_handle
from lba_onnx.native.library import MatMulArgs, check, load_library
from lba_onnx.native.observer import ObservedCall, ObservedConv, ObservedMatMul
from lba_onnx.native.processors import thread_count
from lba_onnx.native.products import start_from

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
_FLOAT_BYTES = 4


class ObservedLayer(ABC):
    """A call as a layer; valid as long as the call."""

    def __init__(self, call: ObservedMatMul | ObservedConv) -> None:
        self.call = call

    @property
    @abstractmethod
    def row_count(self) -> int:
        """How many rows there are."""

    @property
    @abstractmethod
    def weights(self) -> Floats:
        """The weights, float32 [groups, depth, channels]; a copy."""

    @property
    @abstractmethod
    def weights_shape(self) -> tuple[int, int, int]:
        """Groups, depth and channels of a group."""

    @property
    def is_whole(self) -> bool:
        """Whether all rows meet the same weights, and sums start from the same values."""
        args = self.call.args
        others = (stride for axis, stride in enumerate(args.initial_strides) if axis != self._channel_stride)
        return not args.initial or not any(others)

    @abstractmethod
    def operand(self, weights: Floats) -> Floats:
        """Return weights as the operand has them: [rows, depth] or [depth, columns], or filters with three axes."""

    @abstractmethod
    def rows(self, numbers: Numbers) -> Floats:
        """Return some rows, float32 [groups, rows, depth]; of several groups rows lie side by side in memory.

        Args:
            numbers: int64 [rows], which, in ascending order.
        """

    @abstractmethod
    def outputs(self, numbers: Numbers) -> Floats:
        """Return what the call has given for some rows, float32 [groups, rows, channels]."""

    @property
    def start(self) -> Floats | None:
        """What the sums of each channel start from, float32 [channels], a copy; None where they start from zero."""
        args = self.call.args
        if not args.initial:
            return None
        stride, count = args.initial_strides[self._channel_stride], self._channel_count
        values = np.ctypeslib.as_array((ctypes.c_float * (1 + (count - 1) * stride)).from_address(args.initial))
        start: Floats = np.broadcast_to(values[::stride] if stride else values, (count,)).copy()
        return start

    @abstractmethod
    def fill(self, weights: Floats, start: Floats | None = None) -> None:
        """Compute the whole call's result with other weights, into `call.y`.

        Args:
            weights: float32 [groups, depth, channels].
            start: float32 [channels], what sums start from.
        """

    def fill_float32(self) -> None:
        """Compute the result of a call that is not empty: by BLAS where it is one product, else as `call.fill` does."""
        if self._is_one_product and self.is_whole:
            self._multiply()
            if (start := self.start) is not None:
                y = self.call.y.reshape(*self.call.y.shape[:2], -1)
                y += self._along_channels(start)
        else:
            self.call.fill()

    @property
    def _is_one_product(self) -> bool:
        """Whether rows lie in memory as BLAS takes them."""
        return True

    @abstractmethod
    def _multiply(self) -> None:
        """Write the products of rows and weights into `call.y`."""

    @property
    @abstractmethod
    def _channel_count(self) -> int: ...

    @property
    @abstractmethod
    def _channel_stride(self) -> int:
        """Which of the strides of what sums start from runs over channels."""

    def _set_start(self, args: Any, start: Floats | None) -> None:
        args.initial = None
        start_from(args, None if start is None else self._along_channels(start))

    def _along_channels(self, values: Floats) -> Floats:
        """Return values of channels, float32 [channels], in a shape that broadcasts as what sums start from."""
        shape = [1] * len(self.call.args.initial_strides)
        shape[self._channel_stride] = -1
        return values.reshape(shape)


def layer_of(call: ObservedCall, operand: int) -> ObservedLayer:
    """Return a call as a layer.

    Args:
        call: A call whose weights are one matrix, or filters.
        operand: Which operand holds the weights: 0 or 1.
    """
    if isinstance(call, ObservedConv):
        return _ConvLayer(call)
    if isinstance(call, ObservedMatMul):
        return _MatMulLayer(call, operand)
    raise TypeError(f"expected an observed product or convolution, got {type(call).__name__}")


def float32_products(call: ObservedMatMul) -> Iterator[Floats]:
    """Yield the products of a call's matrices, entry by entry of its batch, by BLAS: [rows, columns]."""
    a, b = _operands(call)
    for index in range(len(call.y)):
        yield _multiplied(a.matrix(index), b.matrix(index).T)


@ANY_VALUES
def _multiplied(a: Floats, b: Floats) -> Floats:
    product: Floats = a @ b
    return product


@dataclass(frozen=True)
class _Strided:
    """An operand of a matrix product: one matrix of a batch begins at each offset."""

    address: int
    offsets: Numbers
    row_stride: int
    depth_stride: int
    shape: tuple[int, int]  # rows, depth

    def matrix(self, index: int) -> Floats:
        rows, depth = self.shape
        extent = 1 + (rows - 1) * self.row_stride + (depth - 1) * self.depth_stride
        start = self.address + int(self.offsets[index]) * _FLOAT_BYTES
        flat = np.ctypeslib.as_array((ctypes.c_float * max(extent, 0)).from_address(start))
        strides = (self.row_stride * _FLOAT_BYTES, self.depth_stride * _FLOAT_BYTES)
        return np.lib.stride_tricks.as_strided(flat, self.shape, strides, writeable=False)


def _operands(call: ObservedMatMul) -> tuple[_Strided, _Strided]:
    """Return the left operand, and the transposed right one."""
    args = call.args
    a = _Strided(args.a, call.a_offsets, args.a_row_stride, args.a_depth_stride, (args.rows, args.depth))
    b = _Strided(args.b, call.b_offsets, args.b_column_stride, args.b_depth_stride, (args.columns, args.depth))
    return a, b


class _MatMulLayer(ObservedLayer):
    call: ObservedMatMul

    def __init__(self, call: ObservedMatMul, operand: int) -> None:
        super().__init__(call)
        a, b = _operands(call)
        self._operand = operand
        self._moving, self._fixed = (b, a) if operand == 0 else (a, b)

    @property
    def row_count(self) -> int:
        return len(self._moving.offsets) * self._moving.shape[0]

    @property
    def weights_shape(self) -> tuple[int, int, int]:
        return 1, self.call.depth, self._channel_count

    @property
    def weights(self) -> Floats:
        weights: Floats = self._fixed.matrix(0).T.copy()[np.newaxis]
        return weights

    @property
    def is_whole(self) -> bool:
        return super().is_whole and bool((self._fixed.offsets == self._fixed.offsets[0]).all())

    def operand(self, weights: Floats) -> Floats:
        matrix: Floats = weights[0].T if self._operand == 0 else weights[0]
        return matrix

    def rows(self, numbers: Numbers) -> Floats:
        per_matrix = self._moving.shape[0]
        found: Floats = np.empty((1, len(numbers), self._moving.shape[1]), np.float32)
        for index in range(len(self._moving.offsets)):
            first, last = np.searchsorted(numbers, (index * per_matrix, (index + 1) * per_matrix))
            found[0, first:last] = self._moving.matrix(index)[numbers[first:last] - index * per_matrix]
        return found

    def outputs(self, numbers: Numbers) -> Floats:
        y = self.call.y.swapaxes(1, 2) if self._operand == 0 else self.call.y
        outputs: Floats = np.ascontiguousarray(y[np.divmod(numbers, self._moving.shape[0])])[np.newaxis]
        return outputs

    @property
    def _channel_count(self) -> int:
        return self._fixed.shape[0]

    @property
    def _channel_stride(self) -> int:
        return 1 if self._operand == 0 else 2  # of matrix, row and column

    def fill(self, weights: Floats, start: Floats | None = None) -> None:
        call = self.call
        fixed, none = np.ascontiguousarray(weights[0]), np.zeros(len(call.y), np.int64)
        args = MatMulArgs.from_buffer_copy(call.args)
        args.a_offsets, args.b_offsets = call.a_offsets.ctypes.data, call.b_offsets.ctypes.data
        if self._operand == 0:
            args.a, args.a_offsets, args.a_row_stride, args.a_depth_stride = _pointers(fixed, none)
        else:
            args.b, args.b_offsets, args.b_column_stride, args.b_depth_stride = _pointers(fixed, none)
        self._set_start(args, start)
        check(load_library().lba_matmul(accumulator_handle(call.spec), args, thread_count(None), None))

    @ANY_VALUES
    def _multiply(self) -> None:
        fixed = self._fixed.matrix(0)
        for index, y in enumerate(self.call.y):
            moving = self._moving.matrix(index)
            np.matmul(*((fixed, moving.T) if self._operand == 0 else (moving, fixed.T)), out=y)


def _pointers(fixed: Floats, offsets: Numbers) -> tuple[int, int, int, int]:
    """Return address, offsets and strides (of channels, of depth) of weights [depth, channels]."""
    return fixed.ctypes.data, offsets.ctypes.data, 1, fixed.shape[1]


class _ConvLayer(ObservedLayer):
    call: ObservedConv

    @cached_property
    def _positions(self) -> tuple[int, ...]:
        return self.call.y.shape[2:]

    @property
    def _groups(self) -> int:
        return int(self.call.args.groups)

    @property
    def row_count(self) -> int:
        return len(self.call.y) * math.prod(self._positions)

    @property
    def weights_shape(self) -> tuple[int, int, int]:
        return self._groups, self.call.depth, self._channel_count // self._groups

    @property
    def weights(self) -> Floats:
        args = self.call.args
        count = args.out_channels * self.call.depth
        flat = np.ctypeslib.as_array((ctypes.c_float * count).from_address(args.w))
        grouped = flat.reshape(self._groups, args.out_channels // self._groups, self.call.depth)
        weights: Floats = grouped.swapaxes(1, 2).copy()
        return weights

    def operand(self, weights: Floats) -> Floats:
        args = self.call.args
        shape = (args.out_channels, args.in_channels // args.groups, *args.kernel)
        filters: Floats = weights.swapaxes(1, 2).reshape(shape)
        return filters

    def rows(self, numbers: Numbers) -> Floats:
        images, *places = np.unravel_index(numbers, (len(self.call.x), *self._positions))
        taps, are_inside = _taps(self.call.args, places)
        x = self.call.x.reshape(*self.call.x.shape[:2], -1)
        if self._groups == 1:
            found = x[images[:, np.newaxis], :, taps]  # [rows, taps, channels]
            found[~are_inside] = 0
            rows: Floats = np.ascontiguousarray(found.swapaxes(1, 2)).reshape(1, len(numbers), self.call.depth)
            return rows
        by_image = zip(x, np.split(taps, np.searchsorted(images, np.arange(1, len(x)))), strict=True)
        lines = np.concatenate([image.take(part.T, axis=1) for image, part in by_image], 2)  # [channels, taps, rows]
        np.copyto(lines, 0, where=~are_inside.T)
        by_group: Floats = lines.reshape(self._groups, self.call.depth, len(numbers)).swapaxes(1, 2)
        return by_group

    def outputs(self, numbers: Numbers) -> Floats:
        images, places = np.divmod(numbers, math.prod(self._positions))
        flat = self.call.y.reshape(*self.call.y.shape[:2], -1)
        found = flat[images, :, places].reshape(len(numbers), self._groups, -1)
        outputs: Floats = np.ascontiguousarray(found.swapaxes(0, 1))
        return outputs

    @property
    def _channel_count(self) -> int:
        return int(self.call.args.out_channels)

    @property
    def _channel_stride(self) -> int:
        return 1  # of image, channel and position

    def fill(self, weights: Floats, start: Floats | None = None) -> None:
        filters = np.ascontiguousarray(weights.swapaxes(1, 2))
        args = type(self.call.args).from_buffer_copy(self.call.args)
        args.x, args.w = self.call.x.ctypes.data, filters.ctypes.data
        self._set_start(args, start)
        check(load_library().lba_conv(accumulator_handle(self.call.spec), args, thread_count(None), None))

    @property
    def _is_one_product(self) -> bool:
        args = self.call.args
        is_pointwise = self._groups == 1 and set(args.kernel) == set(args.strides) == {1}
        return is_pointwise and self._positions == self.call.x.shape[2:]

    @ANY_VALUES
    def _multiply(self) -> None:
        x, y = (values.reshape(*values.shape[:2], -1) for values in (self.call.x, self.call.y))
        np.matmul(self.weights[0].T, x, out=y)


def _taps(args: Any, places: "list[NDArray[np.intp]]") -> "tuple[NDArray[np.intp], NDArray[np.bool_]]":
    """Return where in a channel the inputs of each position are, [positions, taps], and which are no padding."""
    count = len(places[0])
    where, are_inside = np.zeros((count, 1), np.intp), np.ones((count, 1), np.bool_)
    for axis, place in enumerate(places):
        index = place[:, np.newaxis] * args.strides[axis] - args.pads_begin[axis]
        index = index + np.arange(args.kernel[axis]) * args.dilations[axis]
        inside = (index >= 0) & (index < args.input[axis])
        index = np.where(inside, index, 0)
        where = (where[:, :, np.newaxis] * args.input[axis] + index[:, np.newaxis]).reshape(count, -1)
        are_inside = (are_inside[:, :, np.newaxis] & inside[:, np.newaxis]).reshape(count, -1)
    return where, are_inside

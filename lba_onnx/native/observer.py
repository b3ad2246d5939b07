"""What a node shows to an observer: the call it has just computed, which can be computed again in other formats.

key "run/node" -> the observer that is open as "run" gets an ObservedMatMul or an ObservedConv
"""

import ctypes
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lba_onnx.arithmetic import Accumulator, as_spec
from lba_onnx.conv_sizes import covered_size, output_sizes
from lba_onnx.native.accumulators import accumulator_handle
from lba_onnx.native.keys import key_in_run
from lba_onnx.native.library import (
    ELEMENT_TYPES,
    ConvArgs,
    MatMulArgs,
    Observation,
    ObserverFunction,
    check,
    load_library,
)
from lba_onnx.native.processors import thread_count

Array = npt.NDArray[Any]  # of float32; of integer products codes, and sums of int32 or int64
_FLOAT_BYTES = 4
_DTYPES = {number: np.dtype(name) for name, number in ELEMENT_TYPES.items()}
_POSITION = 2  # of the strides of what the sums of a convolution start from
_COLUMNS_AXIS = 2  # of the spatial axes of an observed convolution


@dataclass(frozen=True, eq=False)
class ObservedCall(ABC):
    """One execution of one product of a node; valid only while the observer runs.

    Attributes:
        node: The product's key: what is behind "run/" in the key of the run.
        spec: The formats that the node computed in.
        y: The dot products, before any bias that is added. Writing to them changes what the node goes on with, except
            in samples of several images or matrices, which are copies. Of integer codes they are int32 or int64.
            Nothing yet where the observer fills them.
    """

    node: str
    spec: Accumulator
    y: Array

    @property
    @abstractmethod
    def depth(self) -> int:
        """Products per dot product."""

    def compute(self, spec: Accumulator | str, threads: int | None = None) -> Array:
        """Return the same dot products in other formats, in the shape of `y` and of the result type of the formats.

        Args:
            spec: The formats, or the text of them.
            threads: Threads to use; None for one per processor that this process may use.
        """
        spec = as_spec(spec)
        y = np.empty(self.y.shape, spec.result_type)
        self._compute(spec, threads, y)
        return y

    def fill(self) -> None:
        """Compute the dot products themselves into `y`, of a node that leaves that to its observer."""
        self._compute(self.spec, None, self.y)

    @abstractmethod
    def _compute(self, spec: Accumulator, threads: int | None, y: Array) -> None: ...

    @abstractmethod
    def sample(self, max_products: int, position: int = 0) -> "ObservedCall":
        """Return a part of the call with all its columns (all channels): some rows of a matmul, a part of one image.

        Args:
            max_products: Products that computing the part may take; at least one row or output line is taken anyway.
            position: A different number for each part wanted of calls alike.
        """

    @property
    def products(self) -> int:
        """Products that computing the call takes."""
        return self.y.size * self.depth


@dataclass(frozen=True, eq=False)
class ObservedMatMul(ObservedCall):
    """A MatMul or Gemm; y is [batch, rows, columns], with a batch that shares one matrix B counted as rows.

    Attributes:
        args: What the kernel was called with.
        a_offsets: int64 [batch], where the matrices A begin.
        b_offsets: int64 [batch], likewise.
    """

    args: MatMulArgs
    a_offsets: npt.NDArray[np.int64]
    b_offsets: npt.NDArray[np.int64]

    @property
    def depth(self) -> int:
        """Products per dot product."""
        return int(self.args.depth)

    def _compute(self, spec: Accumulator, threads: int | None, y: Array) -> None:
        args = _writing_to(self, y)
        args.a_offsets, args.b_offsets = self.a_offsets.ctypes.data, self.b_offsets.ctypes.data
        check(load_library().lba_matmul(accumulator_handle(spec), args, thread_count(threads), None))

    def sample(self, max_products: int, position: int = 0) -> "ObservedMatMul":
        """Return some rows: whole matrices far apart while they fit, then rows far apart of one matrix."""
        batch, rows, columns = self.y.shape
        wanted = max(1, max_products // max(columns * self.depth, 1))
        entries = _spread(batch, max(1, wanted // rows), position)
        lines = _spread(rows, wanted, position // max(batch, 1))
        args = _copy(self.args)
        args.batch, args.rows = len(entries), len(lines)
        args.a = self.args.a + lines.start * self.args.a_row_stride * _DTYPES[self.args.a_type].itemsize
        args.a_row_stride = self.args.a_row_stride * lines.step
        args.first_row, args.row_step = _place(self.args, lines)
        _move_starts(args, entries, lines)
        every = slice(entries.start, entries.stop, entries.step)
        y = self.y[every, lines.start : lines.stop : lines.step]
        offsets = (np.ascontiguousarray(o[every]) for o in (self.a_offsets, self.b_offsets))
        return ObservedMatMul(self.node, self.spec, y, args, *offsets)


@dataclass(frozen=True, eq=False)
class ObservedConv(ObservedCall):
    """A Conv; y is [batch, channels, depth, height, width], with sizes of 1 for the axes that the node lacks.

    Attributes:
        args: What the kernel was called with; its rank is 3.
        x: [batch, channels, depth, height, width].
    """

    args: ConvArgs
    x: Array

    @property
    def depth(self) -> int:
        """Products per dot product."""
        return int(self.args.in_channels // self.args.groups * math.prod(self.args.kernel))

    def _compute(self, spec: Accumulator, threads: int | None, y: Array) -> None:
        args = _writing_to(self, y)
        args.x = self.x.ctypes.data
        check(load_library().lba_conv(accumulator_handle(spec), args, thread_count(threads), None))

    def sample(self, max_products: int, position: int = 0) -> "ObservedConv":
        """Return whole images far apart while they fit, then a band of output lines of one image."""
        batch = len(self.y)
        per_image = max(self.products // batch, 1)
        images = _spread(batch, max(1, max_products // per_image), position)
        every = slice(images.start, images.stop, images.step)
        args = _copy(self.args)
        _move_starts(args, images)
        part = self._with(self.x[every], self.y[every], args)
        if max_products >= per_image:
            return part
        axis = int(np.argmax(self.y.shape[2:]))
        lines = self.y.shape[2 + axis]
        count = max(1, max_products * lines // per_image)
        return part._band(axis, _scattered(position // batch, lines - count + 1), count)

    def _band(self, axis: int, first: int, count: int) -> "ObservedConv":
        """Return output lines first ... first + count - 1 along a spatial axis, from the input lines that they need."""
        args = _copy(self.args)
        size, stride = args.input[axis], args.strides[axis]
        begin = first * stride - args.pads_begin[axis]
        end = begin + covered_size(count, args.kernel[axis], stride, args.dilations[axis])
        start, stop = min(max(begin, 0), size), max(min(end, size), 0)
        has_own_starts = args.initial and args.initial_strides[_POSITION]  # of no band of lines is there a form
        if start >= stop or has_own_starts:  # or lines of nothing but padding, which the kernel takes no input for
            return self
        args.pads_begin[axis], args.pads_end[axis] = max(-begin, 0), max(end - size, 0)
        args.input[axis] = stop - start
        if axis == _COLUMNS_AXIS:
            args.first_column += first
        else:
            args.first_row += first * math.prod(self.y.shape[3 + axis : -1])
        return self._with(_along(self.x, axis, start, stop), _along(self.y, axis, first, first + count), args)

    def _with(self, x: Array, y: Array, args: ConvArgs) -> "ObservedConv":
        args.batch = len(x)
        return ObservedConv(self.node, self.spec, y, args, np.ascontiguousarray(x))


Observer = Callable[[ObservedCall], None]


class OpenObserver:
    """An observer that nodes call.

    Attributes:
        error: What it raised; the node that called it failed.
    """

    def __init__(self, observer: Observer) -> None:
        self.error: BaseException | None = None
        self._observer = observer

    def observe(self, observation: Any) -> int:
        """Show a call to the observer; return nonzero to make the node fail."""
        try:
            self._observer(_read(observation))
        except BaseException as error:  # raised again where the session was asked to run
            self.error = error
            return 1
        return 0


_open: dict[int, OpenObserver] = {}
_handles = itertools.count(1)


def observer_open(run: str, observer: Observer, *, fills: bool = False) -> OpenObserver:
    """Let nodes with keys "run/..." call an observer, until `observer_close`.

    Args:
        run: The run's name.
        observer: Called with each execution.
        fills: Whether nodes leave their dot products to it.
    """
    handle = next(_handles)
    _open[handle] = OpenObserver(observer)
    try:
        check(load_library().lba_observer_open(run.encode(), _dispatch, handle, fills))
    except ValueError:
        del _open[handle]
        raise
    return _open[handle]


def observer_close(run: str, opened: OpenObserver) -> None:
    """Forget an observer; nodes that still know it fail."""
    check(load_library().lba_statistics_close(run.encode()))
    for handle in [handle for handle, other in _open.items() if other is opened]:
        del _open[handle]


def _call_open_observer(observation: Any, handle: int | None) -> int:
    opened = _open.get(handle or 0)
    return 1 if opened is None else opened.observe(observation.contents)


_dispatch = ObserverFunction(_call_open_observer)  # the one function that the library calls, alive as long as sessions


def _read(observation: Observation) -> ObservedCall:
    node = key_in_run(observation.key.decode())
    spec = as_spec(observation.accumulator.decode())
    if observation.matmul:
        args = _copy(observation.matmul.contents)
        y = _array(args.y, args.y_type, (args.batch, args.rows, args.columns))
        offsets = (
            _array(pointer, ELEMENT_TYPES["int64"], (args.batch,)) for pointer in (args.a_offsets, args.b_offsets)
        )
        return ObservedMatMul(node, spec, y, args, *offsets)
    conv = _copy(observation.conv.contents)
    x = _array(conv.x, conv.x_type, (conv.batch, conv.in_channels, *conv.input))
    sizes = output_sizes(conv.input, conv.kernel, conv.strides, conv.dilations, conv.pads_begin, conv.pads_end)
    if sizes is None:
        raise RuntimeError(f"node {node}: expected a kernel that fits, as it has run")
    y = _array(conv.y, conv.y_type, (conv.batch, conv.out_channels, *sizes))
    return ObservedConv(node, spec, y, conv, x)


def _writing_to(call: ObservedMatMul | ObservedConv, y: Array) -> Any:
    """Return the call's C form with another result."""
    args = _copy(call.args)
    args.y, args.y_type = y.ctypes.data, ELEMENT_TYPES[y.dtype.name]
    return args


def _array(pointer: int, element_type: int, shape: tuple[int, ...]) -> Array:
    dtype = _DTYPES[element_type]
    values = (ctypes.c_char * (math.prod(shape) * dtype.itemsize)).from_address(pointer)
    array: Array = np.ndarray(shape, dtype, memoryview(values))
    return array


def _along(values: Array, spatial_axis: int, start: int, stop: int) -> Array:
    return np.moveaxis(np.moveaxis(values, 2 + spatial_axis, 0)[start:stop], 0, 2 + spatial_axis)


def _place(args: MatMulArgs, lines: range) -> tuple[int, int]:
    """Return the row of the whole product that is the first of some of its rows, and the step between them."""
    return args.first_row + lines.start * args.row_step, args.row_step * lines.step


def _move_starts(args: MatMulArgs | ConvArgs, *parts: range) -> None:
    """Let sums start from the values of a part of the outputs: of their first axis, or of both their first axes."""
    if args.initial:
        for axis, part in enumerate(parts):
            args.initial += part.start * args.initial_strides[axis] * _FLOAT_BYTES
            args.initial_strides[axis] *= part.step


def _copy(args: Any) -> Any:
    return type(args).from_buffer_copy(args)


def _spread(size: int, count: int, position: int) -> range:
    """Return `count` indexes of `size` evenly far apart, moved along by `position`."""
    step = -(-size // max(min(count, size), 1))
    return range(position % step, size, step)


def _scattered(position: int, count: int) -> int:
    """Return one of `count` places, far from that of the position before (the golden section)."""
    return int(count * math.modf(position * 0.6180339887498949)[0])

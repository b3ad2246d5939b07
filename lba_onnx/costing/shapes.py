"""What a node's shapes tell of its products: how many one sum has, and which share of them meets padding."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TypeVar

from lba_onnx.conv_sizes import span
from lba_onnx.rewrite.candidates import Candidate
from lba_onnx.rewrite.macs import Execution, count
from lba_onnx.rewrite.macs.execution import UnknownShapeError

_CONVOLUTIONS = ("Conv", "ConvInteger", "ConvIntegerToFloat")
_WITH_SCALES = ("QLinearConv", "QLinearMatMul", "QGemm")  # whose operands are the first and the fourth input
_UNKNOWN = (UnknownShapeError, LookupError, TypeError, ValueError, ZeroDivisionError)  # or shapes that do not fit
_HEADS = ("num_heads", "q_num_heads")

Told = TypeVar("Told")


def depth_of(candidate: Candidate, executions: Sequence[Execution]) -> int | None:
    """Return how many products each of a node's sums has; None where that is not known, or differs between runs of it.

    Args:
        candidate: The product.
        executions: What is known of each execution of the node.
    """
    return _told_alike(_depth, candidate, executions) or None


def padded_share(candidate: Candidate, executions: Sequence[Execution]) -> Fraction | None:
    """Return which share of a node's products are those of padding; None where that is not known."""
    if not candidate.site.node.op_type.endswith(_CONVOLUTIONS):
        return Fraction(0)
    return _told_alike(_padding, candidate, executions)


def _told_alike(
    tell: Callable[[Candidate, Execution], Told], candidate: Candidate, executions: Sequence[Execution]
) -> Told | None:
    """Return what all executions tell; None where one does not, or another tells something else."""
    try:
        found = [tell(candidate, execution) for execution in executions]
    except _UNKNOWN:
        return None
    return found[0] if found and all(value == found[0] for value in found) else None


def _depth(candidate: Candidate, execution: Execution) -> int | None:
    op_type, w = execution.op_type, _weights(execution)
    if op_type.endswith(_CONVOLUTIONS):
        return math.prod(execution.input(w)[1:])
    if "MatMul" in op_type:
        return _last(execution, 0) or (None if "NBits" in op_type else _depth_of_columns(_shape(execution, w)))
    if "Gemm" in op_type:
        is_transposed = execution.attribute("transA", 0), execution.attribute("transB", 0)
        return (
            _shape(execution, w)[-1 if is_transposed[1] else 0] or _shape(execution, 0)[0 if is_transposed[0] else -1]
        )
    if candidate.product == "qk":
        return _head_size(execution)
    macs = count(execution, candidate.product)
    return None if macs is None else macs // math.prod(execution.output())


def _depth_of_columns(shape: tuple[int | None, ...]) -> int | None:
    return shape[-2] if len(shape) > 1 else shape[0]


def _last(execution: Execution, index: int) -> int | None:
    shape = execution.inputs[index]
    return None if shape is None else shape[-1]


def _head_size(execution: Execution) -> int | None:
    query = execution.input(0)
    if len(query) == 4:
        return query[-1]
    heads = next((int(execution.attributes[name]) for name in _HEADS if execution.attributes.get(name)), None)
    return None if heads is None else query[-1] // heads


def _padding(candidate: Candidate, execution: Execution) -> Fraction:
    x, w = (_shape(execution, index)[2:] for index in (0, _weights(execution)))
    share = Fraction(1)
    for axis, (size, taps, outputs) in enumerate(zip(x, w, execution.output()[2:], strict=True)):
        if size is None or taps is None:
            raise UnknownShapeError(str(axis))
        share *= Fraction(_inside(execution, axis, size, taps, outputs), outputs * taps)
    return 1 - share


def _inside(execution: Execution, axis: int, size: int, taps: int, outputs: int) -> int:
    """Return how many of the taps of all outputs along an axis meet an element."""
    stride, step = (int((execution.attribute(name, ()) or (1,) * 3)[axis]) for name in ("strides", "dilations"))
    begin = _pad_begin(execution, axis, span(outputs, stride) + span(taps, step) - 1 - size)
    places = (output * stride + tap * step - begin for output in range(outputs) for tap in range(taps))
    return sum(0 <= place < size for place in places)


def _pad_begin(execution: Execution, axis: int, needed: int) -> int:
    """Return how much padding stands before an axis.

    Args:
        execution: The execution.
        axis: The axis.
        needed: How much padding both sides have together, where it is chosen by the outputs.
    """
    auto_pad = execution.attribute("auto_pad", "NOTSET")
    if auto_pad == "NOTSET":
        pads = execution.attribute("pads", ()) or (0,) * 6
        return int(pads[axis])
    total = max(needed, 0) if auto_pad.startswith("SAME") else 0
    return total - total // 2 if auto_pad == "SAME_LOWER" else total // 2


def _weights(execution: Execution) -> int:
    return 3 if execution.op_type in _WITH_SCALES else 1


def _shape(execution: Execution, index: int) -> tuple[int | None, ...]:
    shape = execution.inputs[index]
    if shape is None:
        raise UnknownShapeError(str(index))
    return shape

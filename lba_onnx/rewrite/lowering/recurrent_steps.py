"""The steps of one direction of a recurrent node, as a Scan.

    first states, gates of all steps   ->  Scan: states, gates of a step -> next states, output
                                       ->  outputs of all steps, last states

A sequence with a length counts the steps that are left to it; behind its end, or before it on the way back, its states
stay as they are, and its outputs are zero.
"""

from collections.abc import Sequence
from typing import TypeAlias

import onnx

from lba_onnx.rewrite.lowering.recurrent_cells import Cell, Step
from lba_onnx.rewrite.lowering.tensors import Tensors

REVERSED = "_reverse"
"""What stands behind the names of products of the direction back."""

Results: TypeAlias = tuple[str, list[str]]
"""The outputs of a direction, [steps, batch, hidden], and its last states, [batch, hidden]."""


def run_steps(tensors: Tensors, cell: Cell, step: Step, gates: str, first: Sequence[str], lengths: str) -> Results:
    """Make the Scan of a direction.

    Args:
        tensors: The graph that holds the node.
        cell: What a step computes with.
        step: What it computes.
        gates: The input product of all steps, with its bias.
        first: The first states.
        lengths: How many steps each sequence has, int32 [batch]; "" where all have all.
    """
    body, is_reversed = tensors.inner(), int(cell.suffix == REVERSED)
    states, part = [body.maker.fresh("state") for _ in first], body.maker.fresh("step")
    ends = step(cell, body, part, states)
    inputs, carried, counters = [_value(state, cell.hidden) for state in states], list(first), []
    if lengths:
        left = body.maker.fresh("left")
        is_left = body.maker.add("Greater", [left, body.int32(0, "none")])
        output = body.maker.add("Where", [is_left, ends[0], body.float32(0, "nothing")])
        ends = [body.maker.add("Where", [is_left, *pair]) for pair in zip(ends, states, strict=True)]
        next_left = body.maker.add("Add", [left, body.int32(1 if is_reversed else -1, "count")])
        counters = [_value(next_left, 1, onnx.TensorProto.INT32)]
        inputs.append(_value(left, 1, onnx.TensorProto.INT32))
        carried.append(_first_left(tensors, lengths, gates, is_reversed))
    else:
        output = body.maker.add("Identity", [ends[0]])
    results = [*(_value(end, cell.hidden) for end in ends), *counters, _value(output, cell.hidden)]
    values = tensors.maker.add_several(
        "Scan",
        [*carried, gates],
        len(results),
        body=body.maker.graph(f"step{cell.suffix}", [*inputs, _value(part)], results),
        num_scan_inputs=1,
        scan_input_directions=[is_reversed],
        scan_output_directions=[is_reversed],
    )
    return values[-1], values[: len(first)]


def _first_left(tensors: Tensors, lengths: str, gates: str, is_reversed: int) -> str:
    """Return a counter of int32 [batch, 1] that is positive in the steps which a sequence has.

    It counts down; on the way back it counts up, from what makes it one at the sequence's last step.
    """
    add = tensors.maker.add
    column = add("Reshape", [lengths, tensors.maker.integers([-1, 1], "column")])
    if not is_reversed:
        return column
    steps = add("Gather", [add("Shape", [gates]), tensors.maker.integers([0], "step_axis")])
    missing = add("Sub", [add("Cast", [steps], to=onnx.TensorProto.INT32), tensors.int32(1, "last")])
    return add("Sub", [column, missing])


def _value(name: str, width: int | None = None, element_type: int = onnx.TensorProto.FLOAT) -> onnx.ValueInfoProto:
    """Describe a value of a row for each sequence: onnxruntime wants to know how many axes it has."""
    return onnx.helper.make_tensor_value_info(name, element_type, [None, width])

"""The shapes of a Scan: its body sees slices of the inputs that are scanned, and states that go around."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import onnx

from lba_onnx.rewrite.attributes import own_attributes
from lba_onnx.rewrite.macs.counts import Counts, add
from lba_onnx.rewrite.macs.known import Known

Results: TypeAlias = "tuple[list[Known], Counts]"


@dataclass(frozen=True)
class ScanShapes:
    """A Scan, since opset 9.

    Attributes:
        states: What goes around, as it is before the first step.
        scanned: What is taken apart.
        input_axes: Along which axis, for each of these.
        output_axes: Along which axis results are put together; None for the first.
    """

    states: tuple[Known, ...]
    scanned: tuple[Known, ...]
    input_axes: tuple[int, ...]
    output_axes: tuple[int, ...] | None

    @classmethod
    def of(cls, node: onnx.NodeProto, inputs: Sequence[Known]) -> "ScanShapes":
        """Return the shapes of a node."""
        attributes: dict[str, Any] = own_attributes(node)
        count, axes = attributes["num_scan_inputs"], attributes.get("scan_output_axes")
        return cls(
            tuple(known.with_shape(known.shape) for known in inputs[: len(inputs) - count]),
            tuple(inputs[len(inputs) - count :]),
            tuple(attributes.get("scan_input_axes", [0] * count)),
            None if axes is None else tuple(axes),
        )

    @property
    def steps(self) -> int | None:
        """How often the body runs; None where that is not known."""
        lengths = (k.shape[axis] for k, axis in zip(self.scanned, self.input_axes, strict=True) if k.shape is not None)
        return next((length for length in lengths if length is not None), None)

    def follow(self, body: Callable[[Sequence[Known]], Results]) -> Results:
        """Return what is known of the outputs, and the counts of all steps.

        Args:
            body: Returns what is known of the body's outputs, and its counts, from what is known of its inputs.
        """
        slices = [_without_axis(known, axis) for known, axis in zip(self.scanned, self.input_axes, strict=True)]
        states = list(self.states)
        while True:
            results, counts = body([*states, *slices])
            joined = [a.common(b) for a, b in zip(states, results, strict=False)]
            if [state.key for state in joined] == [state.key for state in states]:
                break
            states = joined
        together = [self._together(known, place) for place, known in enumerate(results[len(states) :])]
        return [*states, *together], add({}, counts, self.steps)

    def _together(self, known: Known, place: int) -> Known:
        axis = 0 if self.output_axes is None else self.output_axes[place]
        if known.shape is None:
            return known.with_shape(None)
        axis %= len(known.shape) + 1
        return known.with_shape((*known.shape[:axis], self.steps, *known.shape[axis:]))


def _without_axis(known: Known, axis: int) -> Known:
    if known.shape is None:
        return known.with_shape(None)
    axis %= len(known.shape)
    return known.with_shape((*known.shape[:axis], *known.shape[axis + 1 :]))

"""Sequences that may have no steps, which onnxruntime's Scan does not take: those get a spare one.

x [steps, batch, width]     ->  Concat of x and as many zeros as make it one step       steps + (steps == 0)
outputs, last states        ->  Slice to `steps` of them; Where there are none, other states
"""

from dataclasses import dataclass

import onnx

from lba_onnx.rewrite.lowering.tensors import Tensors

FIRST_OPSET = 10
"""The oldest default opset with the Slice that this needs."""


@dataclass(frozen=True)
class SpareStep:
    """What the steps of a recurrent node run on.

    Attributes:
        tensors: The graph that holds the node.
        x: What enters, at least one step.
        steps: How many steps the sequences have.
        is_empty: Whether they have none.
    """

    tensors: Tensors
    x: str
    steps: str
    is_empty: str

    @classmethod
    def of(cls, tensors: Tensors, x: str) -> "SpareStep":
        """Give a step of zeros to sequences [steps, batch, width] without any."""
        maker = tensors.maker
        shape = maker.add("Shape", [x])
        steps, step = (maker.add("Gather", [shape, maker.integers(axes, "axes")]) for axes in ([0], [1, 2]))
        is_empty = maker.add("Equal", [steps, maker.integers([0], "none")])
        missing = maker.add("Cast", [is_empty], to=onnx.TensorProto.INT64)
        zeros = maker.add("ConstantOfShape", [maker.add("Concat", [missing, step], axis=0)])
        return cls(tensors, maker.add("Concat", [x, zeros], axis=0), steps, is_empty)

    def outputs(self, values: str) -> str:
        """Return the outputs [steps, batch, hidden] without that of the spare step."""
        maker = self.tensors.maker
        first, axis = (maker.integers([0], hint) for hint in ("first", "axis"))
        return maker.add("Slice", [values, first, self.steps, axis])

    def state(self, value: str, otherwise: str) -> str:
        """Return a last state; another one where there are no steps."""
        return self.tensors.maker.add("Where", [self.is_empty, otherwise, value])

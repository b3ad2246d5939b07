"""What an operator of ONNX is in PyTorch, and which are known.

@operation("Relu", "LeakyRelu")
def _leaky_relu(call, x): ...            one tensor, or a tuple of several, of the node's inputs; None for one left out
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Call:
    """A node, as its operation sees it.

    Attributes:
        op_type: Its operator.
        attributes: Its attributes' values by name.
        opset: The version of its domain.
        outputs: How many outputs it has.
    """

    op_type: str
    attributes: dict[str, Any]
    opset: int
    outputs: int

    def axes(self, given: Tensor | None) -> list[int] | None:
        """Return axes that newer opsets take as an input and older ones as an attribute; None where there are none."""
        axes = self.attributes.get("axes") if given is None else given.tolist()
        return None if axes is None else list(axes)


Operation = Callable[..., Tensor | tuple[Tensor, ...]]
OPERATIONS: dict[str, Operation] = {}
"""By operator of ONNX's own domain."""


def operation(*op_types: str) -> Callable[[Operation], Operation]:
    """Return a decorator that notes a function as what some operators are."""

    def note(function: Operation) -> Operation:
        OPERATIONS.update(dict.fromkeys(op_types, function))
        return function

    return note

"""One step of LSTM, GRU and RNN: from the states and a step's input product to the next states.

The products of the states and the recurrent weights accumulate; sums, gates and activations are float32.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lba_onnx.rewrite.lowering.activations import Activation, activate
from lba_onnx.rewrite.lowering.recurrent_weights import Weights
from lba_onnx.rewrite.lowering.tensors import Tensors, Value


@dataclass(frozen=True)
class Cell:
    """What a direction of a recurrent node computes with.

    Attributes:
        hidden: The number of hidden units.
        suffix: Behind the names of its products.
        recurrent: The recurrent weights, [hidden, gates * hidden].
        recurrent_hidden: Those of a GRU for the state that it resets, [hidden, hidden]; None where there is no such.
        bias: What the input product of all steps is raised by, [gates * hidden]; None for nothing.
        late_bias: What the sum of both products is raised by in its place; None for nothing.
        recurrent_bias: What products of the state are raised by before a GRU resets them, [hidden]; None for nothing.
        peepholes: Of the input, output and forget gate, [3 * hidden]; None for none.
        activations: In the order of the operator's attribute.
        clip: The bound of what activations get; None for none.
        input_forget: Whether the forget gate is what the input gate leaves of one.
    """

    hidden: int
    suffix: str
    recurrent: Weights
    recurrent_hidden: Weights | None
    bias: Value | None
    late_bias: Value | None
    recurrent_bias: Value | None
    peepholes: Value | None
    activations: Sequence[Activation]
    clip: float | None
    input_forget: bool

    def units(self, place: int) -> NDArray[np.int64]:
        """Return where one of several gates or peepholes that stand side by side lies."""
        return np.arange(place * self.hidden, (place + 1) * self.hidden)

    def multiply(self, tensors: Tensors, state: str, weights: Weights, product: str = "recurrent") -> str:
        """Return a product of a state and of weights."""
        return weights.multiply(tensors, state, product, self.suffix)

    def activate(self, tensors: Tensors, number: int, x: str) -> str:
        """Return what an activation makes of its clipped input."""
        if self.clip is not None:
            x = activate(Activation("Clip", (-self.clip, self.clip)), x, "", tensors.source, tensors.maker)
        return self.activate_as_is(tensors, number, x)

    def activate_as_is(self, tensors: Tensors, number: int, x: str) -> str:
        """Return what an activation makes of a value."""
        return activate(self.activations[number], x, "", tensors.source, tensors.maker)


Step: TypeAlias = Callable[[Cell, Tensors, str, Sequence[str]], list[str]]
"""Called with a cell, the graph of a step, the step's input product with its bias, and the states; returns the next."""


def lstm_step(cell: Cell, tensors: Tensors, x: str, states: Sequence[str]) -> list[str]:
    """Make a step of an LSTM; the states are the hidden and the cell state."""
    (h, c), add = states, tensors.maker.add
    gates = add("Add", [x, cell.multiply(tensors, h, cell.recurrent)])
    is_plain = cell.peepholes is None and not cell.input_forget
    make = _plain_gates if is_plain else _other_gates
    input_gate, output_gate, forget_gate, block = make(cell, tensors, gates, c)
    kept, new = add("Mul", [c, forget_gate]), add("Mul", [input_gate, cell.activate(tensors, 1, block)])
    next_c = add("Add", [kept, new])
    if not is_plain:
        output_gate = cell.activate(tensors, 0, _raised(cell, tensors, _peep(cell, tensors, output_gate, 1, next_c), 1))
    activated = cell.activate_as_is(tensors, 2, next_c)  # onnxruntime does not clip it
    return [add("Mul", [activated, output_gate]), next_c]


def _plain_gates(cell: Cell, tensors: Tensors, gates: str, c: str) -> list[str]:
    """Return the input, output and forget gate, made at once, and what the block's activation gets."""
    if cell.late_bias is not None:
        gates = tensors.maker.add("Add", [gates, tensors.name(cell.late_bias, "bias")])
    joined, block = tensors.split(gates, [3 * cell.hidden, cell.hidden])
    return [*tensors.split(cell.activate(tensors, 0, joined), [cell.hidden] * 3), block]


def _other_gates(cell: Cell, tensors: Tensors, gates: str, c: str) -> list[str]:
    """Return the same, one by one; of the output gate what stands before its peephole and late bias."""
    input_gate, output_gate, forget_gate, block = tensors.split(gates, [cell.hidden] * 4)
    input_gate = cell.activate(tensors, 0, _raised(cell, tensors, _peep(cell, tensors, input_gate, 0, c), 0))
    if cell.input_forget:
        forget_gate = tensors.maker.add("Sub", [tensors.float32(1, "one"), input_gate])
    else:
        forget_gate = cell.activate(tensors, 0, _raised(cell, tensors, _peep(cell, tensors, forget_gate, 2, c), 2))
    return [input_gate, output_gate, forget_gate, _raised(cell, tensors, block, 3)]


def _peep(cell: Cell, tensors: Tensors, gate: str, place: int, c: str) -> str:
    if cell.peepholes is None:
        return gate
    weights = tensors.name(tensors.take(cell.peepholes, cell.units(place)), "peephole")
    return tensors.maker.add("Add", [gate, tensors.maker.add("Mul", [c, weights])])


def _raised(cell: Cell, tensors: Tensors, gate: str, place: int) -> str:
    if cell.late_bias is None:
        return gate
    bias = tensors.take(cell.late_bias, cell.units(place))
    return tensors.maker.add("Add", [gate, tensors.name(bias, "bias")])


def gru_step(cell: Cell, tensors: Tensors, x: str, states: Sequence[str]) -> list[str]:
    """Make a step of a GRU."""
    (h,), hidden, add = states, cell.hidden, tensors.maker.add
    joined, candidate = tensors.split(x, [2 * hidden, hidden])
    product = cell.multiply(tensors, h, cell.recurrent)
    if cell.recurrent_hidden is None:
        product, of_candidate = tensors.split(product, [2 * hidden, hidden])
        update, reset = _gates(cell, tensors, joined, product)
        if cell.recurrent_bias is not None:
            of_candidate = add("Add", [of_candidate, tensors.name(cell.recurrent_bias, "recurrent_bias")])
        further = add("Mul", [reset, of_candidate])
    else:
        update, reset = _gates(cell, tensors, joined, product)
        further = cell.multiply(tensors, add("Mul", [reset, h]), cell.recurrent_hidden, "recurrent_hidden")
    new = cell.activate(tensors, 1, add("Add", [candidate, further]))
    rest = add("Sub", [tensors.float32(1, "one"), update])
    return [add("Add", [add("Mul", [rest, new]), add("Mul", [update, h])])]


def _gates(cell: Cell, tensors: Tensors, x: str, product: str) -> list[str]:
    joined = cell.activate(tensors, 0, tensors.maker.add("Add", [x, product]))
    return tensors.split(joined, [cell.hidden] * 2)


def rnn_step(cell: Cell, tensors: Tensors, x: str, states: Sequence[str]) -> list[str]:
    """Make a step of an RNN."""
    (h,) = states
    return [cell.activate(tensors, 0, tensors.maker.add("Add", [x, cell.multiply(tensors, h, cell.recurrent)]))]

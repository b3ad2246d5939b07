"""LSTM, GRU and RNN become a MatMul of all steps' inputs, and a Scan with a MatMul of the state in each step.

    y = LSTM(x, w, r, b)    ->  gates = MatMul(x, w transposed) + b                    node/input, all steps at once
                                y = Scan(0, 0, gates):  h, c, step -> h r transposed   node/recurrent, step after step
                                                        ... activations ...

    DynamicQuantizeLSTM     the same with DynamicQuantizeMatMul in place of MatMul, and the bias added behind both

A second direction has the products input_reverse and recurrent_reverse. Where sequences have lengths, a step behind the
end of one leaves its state as it is and gives zeros, so that the direction back may simply begin at the last step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.recurrent_activations import activations_of
from lba_onnx.rewrite.lowering.recurrent_cells import Cell, Step, gru_step, lstm_step, rnn_step
from lba_onnx.rewrite.lowering.recurrent_empty import FIRST_OPSET, SpareStep
from lba_onnx.rewrite.lowering.recurrent_steps import REVERSED, Results, run_steps
from lba_onnx.rewrite.lowering.recurrent_weights import Weights
from lba_onnx.rewrite.lowering.rule import Refused, Source
from lba_onnx.rewrite.lowering.tensors import Tensors, Value

_X, _W, _R, _B, _LENGTHS, _STATES, _PEEPHOLES = 0, 1, 2, 3, 4, (5, 6), 7
_W_SCALE, _R_SCALE = 8, 10  # zero points stand behind


@dataclass(frozen=True)
class Kind:
    """What an operator has, and does.

    Attributes:
        gates: The number of its gates.
        states: The number of its states.
        step: What a step computes.
        activations: The names of a direction's where the node has none.
        resets: Whether it has a reset gate, and so two ways to use it.
        zeroes_empty: Whether the last state of a sequence without steps is zero, and not the first one.
        has_codes: Whether its weights are codes, [depth, columns], and its products quantize the other operand.
    """

    gates: int
    states: int
    step: Step
    activations: Sequence[str]
    resets: bool
    zeroes_empty: bool
    has_codes: bool = False


LSTM = Kind(4, 2, lstm_step, ("Sigmoid", "Tanh", "Tanh"), False, True)
LSTM_OF_CODES = replace(LSTM, has_codes=True)
GRU = Kind(3, 1, gru_step, ("Sigmoid", "Tanh"), True, True)
RNN = Kind(1, 1, rnn_step, ("Tanh",), False, False)


def lstm(source: Source, maker: Maker) -> None:
    """Make the nodes of an LSTM."""
    _Recurrence(source, maker, LSTM).make()


def dynamic_quantize_lstm(source: Source, maker: Maker) -> None:
    """Make the nodes of a DynamicQuantizeLSTM of com.microsoft."""
    if source.input(_LENGTHS):
        raise Refused(
            "its sequences have lengths (sequence_lens); it would quantize their steps together in another way"
        )
    _Recurrence(source, maker, LSTM_OF_CODES).make()


def gru(source: Source, maker: Maker) -> None:
    """Make the nodes of a GRU."""
    _Recurrence(source, maker, GRU).make()


def rnn(source: Source, maker: Maker) -> None:
    """Make the nodes of an RNN."""
    _Recurrence(source, maker, RNN).make()


class _Recurrence:
    """A recurrent node that is taken apart."""

    def __init__(self, source: Source, maker: Maker, kind: Kind) -> None:
        self._source, self._maker, self._kind = source, maker, kind
        self._tensors = Tensors(maker, source)
        self._suffixes = _suffixes(source)
        self._activations = activations_of(source, kind.activations, len(self._suffixes))
        self._hidden = _hidden_size(source, 1 if kind.has_codes else 2)
        self._batch_axis = 0 if source.attributes.get("layout", 0) else 1
        _check_inputs(source, len(self._suffixes), kind, self._hidden)
        self._spare: SpareStep | None = None

    def make(self) -> None:
        x = self._source.input(_X)
        if self._batch_axis == 0:
            x = self._maker.add("Transpose", [x], perm=[1, 0, 2])
        if not _steps(self._source) and self._source.site.opset >= FIRST_OPSET:
            self._spare = SpareStep.of(self._tensors, x)
            x = self._spare.x
        found = [self._direction(x, number) for number in range(len(self._suffixes))]
        self._write(0, [outputs for outputs, _ in found])
        for index in range(self._kind.states):
            self._write(1 + index, [states[index] for _, states in found])

    def _write(self, number: int, values: Sequence[str]) -> None:
        """Write what the directions give as an output of the node, if it has that."""
        output, axis = self._source.output(number), 1 - self._batch_axis
        if not output:
            return
        if number == 0:  # [steps, batch, hidden]
            axis = 2 - self._batch_axis
            if self._batch_axis == 0:
                values = [self._maker.add("Transpose", [value], perm=[1, 0, 2]) for value in values]
        else:
            values = [self._state_behind(number - 1, value) for value in values]
        if len(values) == 1:
            self._tensors.unsqueeze(values[0], axis, output)
        else:
            self._maker.add("Concat", [self._tensors.unsqueeze(v, axis) for v in values], output=output, axis=axis)

    def _state_behind(self, index: int, state: str) -> str:
        """Return a last state, which onnxruntime says is zero where a sequence has no steps at all."""
        lengths = self._source.input(_LENGTHS)
        if not (lengths and self._kind.zeroes_empty and self._source.input(_STATES[index])):
            return state
        column = self._maker.add("Reshape", [lengths, self._maker.integers([-1, 1], "column")])
        is_there = self._maker.add("Greater", [column, self._tensors.int32(0, "none")])
        return self._maker.add("Where", [is_there, state, self._tensors.float32(0, "nothing")])

    def _direction(self, x: str, number: int) -> Results:
        tensors, cell = self._tensors, self._cell(number)
        gates = self._weights(_W, _W_SCALE, number).multiply(tensors, x, "input", cell.suffix)
        if cell.bias is not None:
            gates = self._maker.add("Add", [gates, tensors.name(cell.bias, "bias")])
        first = [self._first_state(x, index, number) for index in range(self._kind.states)]
        outputs, states = run_steps(tensors, cell, self._kind.step, gates, first, self._source.input(_LENGTHS))
        if self._spare is None:
            return outputs, states
        nothing = [tensors.float32(0, "nothing")] * len(states) if self._kind.zeroes_empty else first
        return self._spare.outputs(outputs), [self._spare.state(*pair) for pair in zip(states, nothing, strict=True)]

    def _cell(self, number: int) -> Cell:
        attributes = self._source.attributes
        is_linear_first = self._kind.resets and bool(attributes.get("linear_before_reset", 0))
        bias, recurrent_bias = self._biases(number, is_linear_first)
        recurrent, recurrent_hidden = self._recurrent(number, self._kind.resets and not is_linear_first)
        clip = attributes.get("clip", -1.0)
        return Cell(
            hidden=self._hidden,
            suffix=self._suffixes[number],
            recurrent=recurrent,
            recurrent_hidden=recurrent_hidden,
            bias=None if self._kind.has_codes else bias,
            late_bias=bias if self._kind.has_codes else None,
            recurrent_bias=recurrent_bias,
            peepholes=self._part(_PEEPHOLES, number) if self._source.input(_PEEPHOLES) else None,
            activations=self._activations[number],
            clip=None if clip < 0 else clip,
            input_forget=bool(attributes.get("input_forget", 0)),
        )

    def _weights(self, index: int, scale: int, number: int) -> Weights:
        """Return the weights of a direction; `scale` is the input with the scale of codes."""
        part = self._part(index, number)
        if not self._kind.has_codes:
            return Weights(self._tensors.transpose(part, 1, 0))
        has_zero_point = bool(self._source.input(scale + 1))
        return Weights(part, self._part(scale, number), self._part(scale + 1, number) if has_zero_point else None)

    def _recurrent(self, number: int, is_parted: bool) -> tuple[Weights, Weights | None]:
        """Return the recurrent weights; those of a GRU for the state that it resets apart."""
        weights = self._weights(_R, _R_SCALE, number)
        if not is_parted:
            return weights, None
        late, end = 2 * self._hidden, 3 * self._hidden
        return weights.columns(self._tensors, 0, late), weights.columns(self._tensors, late, end)

    def _biases(self, number: int, is_linear_first: bool) -> tuple[Value | None, Value | None]:
        """Return what is added to the input product, and what of the recurrent bias cannot be added there."""
        if not self._source.input(_B):
            return None, None
        tensors, both, width = self._tensors, self._part(_B, number), self._kind.gates * self._hidden
        halves = [tensors.take(both, np.arange(begin, begin + width)) for begin in (0, width)]
        if not is_linear_first:
            return tensors.sum(*halves), None
        early, late = np.split(np.arange(width), [width - self._hidden])
        summed = tensors.sum(*(tensors.take(half, early) for half in halves))
        return tensors.concat(summed, tensors.take(halves[0], late)), tensors.take(halves[1], late)

    def _part(self, index: int, number: int) -> Value:
        """Return the part of an input that belongs to a direction."""
        value = self._tensors.input(index)
        assert value is not None
        return self._tensors.take(value, number)

    def _first_state(self, x: str, index: int, number: int) -> str:
        maker, tensors = self._maker, self._tensors
        if name := self._source.input(_STATES[index]):
            return tensors.name(tensors.take(name, number, 1 - self._batch_axis), "first_state")
        batch = maker.add("Gather", [maker.add("Shape", [x]), maker.integers([1], "batch_axis")])
        repeats = maker.add("Concat", [batch, maker.integers([1], "once")], axis=0)
        return maker.add("Tile", [maker.constant(np.zeros((1, self._hidden), np.float32), "zeros"), repeats])


def _suffixes(source: Source) -> list[str]:
    """Return for each direction what stands behind the names of its products; "" where it goes forward."""
    direction = source.attributes.get("direction", "forward")
    suffixes = {"forward": [""], "reverse": [REVERSED], "bidirectional": ["", REVERSED]}
    if direction not in suffixes:
        raise Refused(f"expected a direction out of {', '.join(suffixes)}, got {direction}")
    return suffixes[direction]


def _hidden_size(source: Source, axis: int) -> int:
    """Return how many hidden units there are; an axis of the recurrent weights tells it, too."""
    dimensions = source.dimensions(_R)
    held = dimensions[axis] if dimensions and len(dimensions) == 3 else None
    hidden = source.attributes.get("hidden_size") or held
    if hidden is None:
        raise Refused("its hidden_size is not known")
    return int(hidden)


def _steps(source: Source) -> int | None:
    """Return how many steps its sequences have; None where that is not known."""
    return (source.dimensions(_X) or (None, None))[1 if source.attributes.get("layout", 0) else 0]


def _check_inputs(source: Source, directions: int, kind: Kind, hidden: int) -> None:
    if source.element_type(_X, *(() if kind.has_codes else (_W, _R))) != onnx.TensorProto.FLOAT:
        raise Refused(f"element type {source.dtype(_X)}; expected float32, the one that onnxruntime computes")
    if _steps(source) == 0 and source.site.opset < FIRST_OPSET:
        raise Refused("its sequences have no steps, which onnxruntime's Scan does not take")
    width = kind.gates * hidden
    expected: dict[int, tuple[int | None, ...]] = {
        _W: (directions, width, None),
        _R: (directions, width, hidden),
        _B: (directions, 2 * width),
        _PEEPHOLES: (directions, 3 * hidden),
    }
    if kind.has_codes:
        expected |= {_W: (directions, None, width), _R: (directions, hidden, width)}
    for index, wanted in expected.items():
        found = source.dimensions(index)
        if found is not None and not _fit(found, wanted):
            raise Refused(f"expected its input {source.input(index)!r} in the shape {wanted}, got {found}")


def _fit(found: Sequence[int | None], wanted: Sequence[int | None]) -> bool:
    return len(found) == len(wanted) and all(
        None in pair or len(set(pair)) == 1 for pair in zip(found, wanted, strict=True)
    )

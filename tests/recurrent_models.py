"""Models of one LSTM, GRU or RNN, and what they compute by ONNX's equations, with any products of matrices."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float32]
MatMul = Callable[[Floats, Floats, str], Floats]
"""Called with two matrices and the name of the product."""

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
WITH_ALPHA = {
    "LeakyRelu": 0.01,
    "Elu": 1.0,
    "ThresholdedRelu": 0.0,
    "HardSigmoid": 0.2,
    "Affine": 0.0,
    "ScaledTanh": 0.0,
}
WITH_BETA = {"HardSigmoid": 0.5, "Affine": 0.0, "ScaledTanh": 0.0}
ACTIVATIONS = ["Relu", "Tanh", "Sigmoid", "Softsign", "Softplus", *WITH_ALPHA]
WEIGHTS = "W", "R", "B", "P"


@dataclass(frozen=True)
class Case:
    """A recurrent node with its inputs by name, as ONNX names them; absent ones are not there."""

    op_type: str
    attributes: Mapping[str, Any]
    inputs: Mapping[str, NDArray[Any]]
    outputs: Sequence[str]
    opset: int = 17
    constants: Sequence[str] = WEIGHTS
    is_static: bool = True

    @property
    def feeds(self) -> dict[str, NDArray[Any]]:
        return {name: value for name, value in self.inputs.items() if name not in self.constants}

    def model(self) -> onnx.ModelProto:
        order = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
        names = [name if name in self.inputs else "" for name in order]
        while not names[-1]:
            names.pop()
        node = helper.make_node(self.op_type, names, self.outputs, "node", **self.attributes)
        constants = [numpy_helper.from_array(v, n) for n, v in self.inputs.items() if n in self.constants]
        results = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * (4 if name == "Y" else 3))
            for name in self.outputs
            if name
        ]
        graph = helper.make_graph([node], "one_node", [self._declare(*item) for item in self.feeds.items()], results)
        graph.initializer.extend(constants)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def _declare(self, name: str, value: NDArray[Any]) -> onnx.ValueInfoProto:
        is_fixed = self.is_static or name in WEIGHTS
        shape = value.shape if is_fixed else [None] * value.ndim
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), shape)


def draw(seed: int, op_type: str, *, is_tame: bool = False) -> Case:
    """Draws attributes, inputs and outputs; tame ones have default activations."""
    rng, choose = np.random.default_rng(seed), random.Random(seed)
    steps, batch, width, hidden = (choose.randint(1, 6) for _ in range(4))
    direction = choose.choice(["forward", "reverse", "bidirectional"])
    directions = 2 if direction == "bidirectional" else 1
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    if not is_tame and choose.random() < 0.6:
        attributes |= draw_activations(choose, len(DEFAULTS[op_type]) * directions)
    if choose.random() < 0.3:
        attributes["clip"] = choose.uniform(0.2, 2)
    own = {"LSTM": "input_forget", "GRU": "linear_before_reset"}.get(op_type)
    if own and choose.random() < 0.4:
        attributes[own] = 1

    def floats(*shape: int) -> Floats:
        return (rng.standard_normal(shape) * 0.5).astype(np.float32)

    gates = GATES[op_type] * hidden
    lengths = [choose.randint(1 if op_type == "RNN" else 0, steps) for _ in range(batch)]  # RNN reads before Y for 0
    optional = {
        "B": floats(directions, 2 * gates),
        "sequence_lens": np.array(lengths, np.int32),
        "initial_h": floats(directions, batch, hidden),
        **(
            {"initial_c": floats(directions, batch, hidden), "P": floats(directions, 3 * hidden)}
            if own == "input_forget"
            else {}
        ),
    }
    inputs = {
        "X": floats(steps, batch, width),
        "W": floats(directions, gates, width),
        "R": floats(directions, gates, hidden),
    }
    inputs |= {name: value for name, value in optional.items() if choose.random() < 0.5}
    outputs = [name if choose.random() < 0.7 else "" for name in ("Y", "Y_h", "Y_c")[: 3 if op_type == "LSTM" else 2]]
    return Case(
        op_type,
        attributes,
        inputs,
        outputs if any(outputs) else ["Y"],
        opset=choose.choice([9, 10, 11, 13, 14, 17, 21, 22]) if is_tame else choose.choice([10, 12, 14, 18, 22]),
        constants=WEIGHTS if choose.random() < 0.7 else (),
        is_static=choose.random() < 0.5,
    )


def draw_activations(choose: random.Random, count: int) -> dict[str, Any]:
    names = [choose.choice(ACTIVATIONS) for _ in range(count)]
    found: dict[str, Any] = {"activations": names}
    for attribute, takers in (("activation_alpha", WITH_ALPHA), ("activation_beta", WITH_BETA)):
        numbers = [round(choose.uniform(0.1, 1), 2) for name in names if name in takers]
        if numbers and choose.random() < 0.8:
            found[attribute] = numbers
    return found


def compute(case: Case, matmul: MatMul, activation: str = "Tanh") -> dict[str, Floats]:
    """Returns all outputs by name, by the equations of the operators' pages; default activations but of an RNN."""
    directions = {"forward": [""], "reverse": ["_reverse"], "bidirectional": ["", "_reverse"]}
    found = [
        _direction(case, n, suffix, matmul, activation)
        for n, suffix in enumerate(directions[case.attributes["direction"]])
    ]
    stacked = {name: np.stack([results[name] for results in found]) for name in found[0]}
    return {**stacked, "Y": stacked["Y"].swapaxes(0, 1)}


def _direction(case: Case, number: int, suffix: str, matmul: MatMul, activation: str) -> dict[str, Floats]:
    part = {name: value[number] for name, value in case.inputs.items() if name not in ("X", "sequence_lens")}
    x, (steps, batch) = case.inputs["X"], case.inputs["X"].shape[:2]
    hidden, width = case.attributes["hidden_size"], len(part["W"])
    input_bias, recurrent_bias = np.split(part.get("B", np.zeros(2 * width, np.float32)), 2)
    if case.attributes.get("linear_before_reset"):
        apart = recurrent_bias[2 * hidden :]
        recurrent_bias = np.concatenate([recurrent_bias[: 2 * hidden], np.zeros(hidden, np.float32)])
    else:
        apart = None
    gates = matmul(x.reshape(steps * batch, -1), part["W"].T, f"input{suffix}").reshape(steps, batch, width)
    if "B" in part:
        gates = gates + (input_bias + recurrent_bias)
    lengths = case.inputs.get("sequence_lens", np.full(batch, steps))
    states = [part.get(name, np.zeros((batch, hidden), np.float32)) for name in ("initial_h", "initial_c")]
    y = np.zeros((steps, batch, hidden), np.float32)
    for step in range(steps)[:: -1 if suffix else 1]:
        new = STEPS[case.op_type](
            case, part, gates[step], states, matmul, suffix, activation if case.op_type == "RNN" else apart
        )
        there = step < lengths[:, np.newaxis]
        y[step] = np.where(there, new[0], 0)
        states = [np.where(there, *pair) for pair in zip(new, states, strict=False)]
    if case.op_type != "RNN":
        states = [np.where(lengths[:, np.newaxis] > 0, state, 0) for state in states]
    return {"Y": y, **dict(zip(("Y_h", "Y_c"), states, strict=False))}


def _lstm(case, part, gates, states, matmul, suffix, _):
    h, c = states
    i, o, f, g = np.split(gates + matmul(h, part["R"].T, f"recurrent{suffix}"), 4, axis=1)
    peepholes = np.split(part["P"], 3) if "P" in part else None
    i = _activate(case, "Sigmoid", i if peepholes is None else i + c * peepholes[0])
    if case.attributes.get("input_forget"):
        f = 1 - i
    else:
        f = _activate(case, "Sigmoid", f if peepholes is None else f + c * peepholes[2])
    c = c * f + i * _activate(case, "Tanh", g)
    o = _activate(case, "Sigmoid", o if peepholes is None else o + c * peepholes[1])
    return [elementwise("Tanh", c) * o, c]


def _gru(case, part, gates, states, matmul, suffix, recurrent_bias):
    h, hidden = states[0], case.attributes["hidden_size"]
    if case.attributes.get("linear_before_reset"):
        product = matmul(h, part["R"].T, f"recurrent{suffix}")
        z, r = np.split(_activate(case, "Sigmoid", gates[:, : 2 * hidden] + product[:, : 2 * hidden]), 2, axis=1)
        further = product[:, 2 * hidden :]
        further = r * (further + recurrent_bias if "B" in part else further)
    else:
        product = matmul(h, part["R"][: 2 * hidden].T, f"recurrent{suffix}")
        z, r = np.split(_activate(case, "Sigmoid", gates[:, : 2 * hidden] + product), 2, axis=1)
        further = matmul(r * h, part["R"][2 * hidden :].T, f"recurrent_hidden{suffix}")
    return [(1 - z) * _activate(case, "Tanh", gates[:, 2 * hidden :] + further) + z * h]


def _rnn(case, part, gates, states, matmul, suffix, activation):
    return [_activate(case, activation, gates + matmul(states[0], part["R"].T, f"recurrent{suffix}"))]


STEPS = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}


def _activate(case: Case, name: str, x: Floats) -> Floats:
    clip = case.attributes.get("clip")
    return elementwise(name, x if clip is None else np.clip(x, np.float32(-clip), np.float32(clip)))


def elementwise(name: str, x: Floats) -> Floats:
    """Returns onnxruntime's function of values."""
    result: Floats = _session(name).run(None, {"x": np.ascontiguousarray(x)})[0]
    return result


@cache
def _session(name: str) -> onnxruntime.InferenceSession:
    x, y = (helper.make_tensor_value_info(value, TensorProto.FLOAT, [None, None]) for value in "xy")
    graph = helper.make_graph([helper.make_node(name, ["x"], ["y"])], "one_node", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString())

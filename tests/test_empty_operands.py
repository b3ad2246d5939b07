"""Operands of no elements, known when the model runs: sums of nothing are zero, and onnxruntime's own are as ours.

Where onnxruntime's own operator does not compute them, ours gives what the definition says.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from integer_models import Draw
from lowered_models import MICROSOFT, refusal
from onnx import TensorProto, helper, numpy_helper

import lba_onnx

rng = np.random.default_rng(0)
SCALE, ZERO, MIDDLE = np.float32(0.5), np.int8(0), np.uint8(3)
REDUCTIONS = lba_onnx.Selection(accumulate=("reductions",))


def floats(*shape: int) -> np.ndarray:
    """Small integers: their sums are exact in any order."""
    return rng.integers(-3, 4, shape).astype(np.float32)


def codes(dtype: str, *shape: int) -> np.ndarray:
    return Draw(len(shape)).codes(dtype, *shape)


@dataclass(frozen=True)
class Case:
    """A node; sizes of what it is fed are known at run time alone.

    Attributes:
        inputs: What each input is called; "" for one that is absent.
        shapes: Of the outputs, all zeros, where onnxruntime's own operator fails, crashes, or leaves its output as it
            finds the memory; none where it computes them.
    """

    op_type: str
    feeds: dict[str, np.ndarray]
    constants: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    domain: str = ""
    opset: int = 17
    outputs: Sequence[str] = ("y",)
    inputs: Sequence[str] = ()
    shapes: Sequence[tuple[int, ...]] = ()
    result: int = TensorProto.FLOAT
    spec: str = "fp32-fma"

    def model(self, *, is_static: bool) -> onnx.ModelProto:
        names = self.inputs or [*self.feeds, *self.constants]
        node = helper.make_node(self.op_type, names, list(self.outputs), "node", domain=self.domain, **self.attributes)
        fed = [
            helper.make_tensor_value_info(
                name,
                helper.np_dtype_to_tensor_dtype(value.dtype),
                value.shape if is_static else [f"{name}{axis}" for axis in range(value.ndim)],
            )
            for name, value in self.feeds.items()
        ]
        results = [helper.make_tensor_value_info(name, self.result, None) for name in self.outputs]
        held = [numpy_helper.from_array(np.asarray(value), name) for name, value in self.constants.items()]
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(MICROSOFT, 1)]
        graph = helper.make_graph([node], "graph", fed, results, held)
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def products() -> dict[str, Case]:
    """Products of matrices without rows, columns, depth or batch."""
    found = {}
    shapes = {
        "rows": ((0, 4), (4, 3)), "columns": ((2, 4), (4, 0)), "depth": ((2, 0), (0, 3)),
        "batch": ((0, 2, 4), (4, 3)), "batches": ((0, 2, 4), (0, 4, 3)), "depth in a batch": ((2, 2, 0), (2, 0, 3)),
    }  # fmt: skip
    for what, (a, b) in shapes.items():
        operands = {"a": floats(*a), "b": floats(*b)}
        found[f"MatMul, {what}"] = Case("MatMul", operands)
        found[f"FusedMatMul, {what}"] = Case("FusedMatMul", operands, attributes={"alpha": 2.0}, domain=MICROSOFT)
        of_codes, scales = {"a": codes("uint8", *a), "b": codes("int8", *b)}, {"as": SCALE, "bs": SCALE}
        own = {"spec": "int32-wrap", "shapes": [(*a[:-1], b[-1])] if "depth" in what else ()}
        found[f"MatMulInteger, {what}"] = Case("MatMulInteger", of_codes, result=TensorProto.INT32, **own)
        found[f"MatMulIntegerToFloat, {what}"] = Case("MatMulIntegerToFloat", of_codes, scales, domain=MICROSOFT, **own)
        held = {**scales, "az": MIDDLE, "bz": ZERO, "ys": SCALE, "yz": np.uint8(0)}
        found[f"QLinearMatMul, {what}"] = Case(
            "QLinearMatMul", of_codes, held,
            inputs=["a", "as", "az", "b", "bs", "bz", "ys", "yz"], result=TensorProto.UINT8, **own,
        )  # fmt: skip
        weights = {"b": of_codes["b"], "bs": SCALE}
        found[f"DynamicQuantizeMatMul, {what}"] = Case(
            "DynamicQuantizeMatMul", {"a": operands["a"]}, weights, domain=MICROSOFT, **own
        )
        if len(a) == 2:
            biased = {**operands, "c": floats(1, b[1])}
            found[f"Gemm, {what}"] = Case("Gemm", biased, attributes={"alpha": 2.0, "beta": 3.0})
            found[f"QGemm, {what}"] = Case(
                "QGemm", of_codes, held, domain=MICROSOFT,
                inputs=["a", "as", "az", "b", "bs", "bz", "", "ys", "yz"], result=TensorProto.UINT8, **own,
            )  # fmt: skip
            found[f"FusedGemm, {what}"] = Case("FusedGemm", biased, attributes={"activation": "Relu"}, domain=MICROSOFT)
    for op_type, blocks, more in (("MatMulNBits", (3, 2, 8), {"bits": 4}), ("MatMulBnb4", (48,), {"quant_type": 1})):
        attributes = {"K": 32, "N": 3, "block_size": 16, **more}
        for what, a in (("rows", (0, 32)), ("batch", (0, 2, 32))):
            given = ({"a": floats(*a)}, {"b": codes("uint8", *blocks), "s": floats(6)})
            found[f"{op_type}, {what}"] = Case(op_type, *given, attributes=attributes, domain=MICROSOFT)
    return found


def convolutions() -> dict[str, Case]:
    """Convolutions without images, channels or filters."""
    found = {}
    shapes = {
        "batch": ((0, 2, 5, 5), (3, 2, 3, 3)), "channels": ((1, 0, 5, 5), (3, 0, 3, 3)),
        "filters": ((1, 2, 5, 5), (0, 2, 3, 3)), "padding alone": ((1, 2, 0, 5), (3, 2, 3, 3)),
    }  # fmt: skip
    for what, (x, w) in shapes.items():
        padded = {"pads": [2, 2, 2, 2]}
        for op_type, domain in (("Conv", ""), ("FusedConv", MICROSOFT)):
            constants = {"w": floats(*w), "b": floats(w[0])}
            found[f"{op_type}, {what}"] = Case(op_type, {"x": floats(*x)}, constants, padded, domain)
        turned = {"w": floats(w[1], w[0], *w[2:]), "b": floats(w[0])}
        found[f"ConvTranspose, {what}"] = Case("ConvTranspose", {"x": floats(*x)}, turned)
        found[f"ConvInteger, {what}"] = Case(
            "ConvInteger", {"x": codes("uint8", *x)}, {"w": codes("int8", *w), "z": MIDDLE}, padded,
            spec="int32-wrap", result=TensorProto.INT32, shapes=[(1, 3, 7, 7)] if what == "channels" else (),
        )  # fmt: skip
        found[f"QLinearConv, {what}"] = Case(
            "QLinearConv", {"x": codes("uint8", *x)},
            {"w": codes("int8", *w), "s": SCALE, "xz": MIDDLE, "wz": ZERO, "yz": np.uint8(0)},
            padded, inputs=["x", "s", "xz", "w", "s", "wz", "s", "yz"],
            spec="int32-wrap", result=TensorProto.UINT8, shapes=[(1, 3, 7, 7)] if what == "channels" else (),
        )  # fmt: skip
    del found["ConvTranspose, padding alone"]
    return found


def einsums() -> dict[str, Case]:
    equations = {
        "ij,jk->ik": ((0, 4), (4, 3)), "ab,bc->ac": ((2, 0), (0, 3)), "bij,bjk->bik": ((2, 2, 0), (2, 0, 4)),
        "...ij,...jk->...ik": ((0, 2, 3), (0, 3, 4)), "i,i->": ((0,), (0,)), "ij,jk,kl->il": ((2, 3), (3, 0), (0, 2)),
        "ijm,jk->ik": ((2, 3, 0), (3, 4)),
    }  # fmt: skip
    return {
        f"Einsum, {equation}": Case(
            "Einsum", {f"x{i}": floats(*shape) for i, shape in enumerate(shapes)}, attributes={"equation": equation},
            shapes=[(2, 4)] if equation == "ijm,jk->ik" else (),
        )
        for equation, shapes in equations.items()
    }  # fmt: skip


def recurrences() -> dict[str, Case]:
    """Recurrent nodes without steps or sequences: onnxruntime's own leave last states as they find them, or crash."""
    found = {}
    for op_type, gates, outputs in (("LSTM", 4, "yhc"), ("GRU", 3, "yh"), ("RNN", 1, "yh")):
        for what, (steps, batch) in {"steps": (0, 2), "batch": (3, 0), "both": (0, 0)}.items():
            for direction in ("forward", "bidirectional"):
                count = 1 + (direction == "bidirectional")
                held = {"w": floats(count, gates * 4, 3), "r": floats(count, gates * 4, 4)}
                states = [(count, batch, 4)] * (len(outputs) - 1)
                found[f"{op_type} {direction}, {what}"] = Case(
                    op_type, {"x": floats(steps, batch, 3)}, held, {"hidden_size": 4, "direction": direction},
                    outputs=list(outputs), shapes=[(steps, count, batch, 4), *states],
                )  # fmt: skip
    last = [(0, 1, 2, 4), (1, 2, 4), (1, 2, 4)]
    for name in ("initial", "lengths"):
        fed = {"x": floats(0, 2, 3), "more": floats(1, 2, 4) if name == "initial" else np.zeros(2, np.int32)}
        found[f"LSTM {name}, steps"] = Case(
            "LSTM", fed, {"w": floats(1, 16, 3), "r": floats(1, 16, 4)}, {"hidden_size": 4},
            outputs=list("yhc"), shapes=last,
            inputs=["x", "w", "r", "", *(["", "more"] if name == "initial" else ["more"])],
        )  # fmt: skip
    of_codes = {"w": codes("int8", 1, 3, 16), "r": codes("int8", 1, 4, 16)}
    of_codes |= {name: np.full(1, value) for name in "wr" for name, value in ((f"{name}s", SCALE), (f"{name}z", ZERO))}
    found["DynamicQuantizeLSTM, steps"] = Case(
        "DynamicQuantizeLSTM", {"x": floats(0, 2, 3)}, of_codes, {"hidden_size": 4}, MICROSOFT,
        outputs=list("yhc"), shapes=last, inputs=["x", "w", "r", *[""] * 5, "ws", "wz", "rs", "rz"], spec="int32-wrap",
    )  # fmt: skip
    return found


def attentions() -> dict[str, Case]:
    """Attention without queries, keys or batch; the softmax of no keys weighs nothing, so that values are zero."""
    found = {}
    for what, (batch, queries, keys) in {"batch": (0, 2, 3), "queries": (2, 0, 3), "keys": (2, 2, 0)}.items():
        rows = {"q": floats(batch, queries, 16), "k": floats(batch, keys, 16), "v": floats(batch, keys, 16)}
        heads = {"q_num_heads": 2, "kv_num_heads": 2}
        given = [(batch, queries, 16)]
        found[f"Attention, {what}"] = Case("Attention", rows, attributes=heads, opset=23, shapes=given)
        found[f"MultiHeadAttention, {what}"] = Case(
            "MultiHeadAttention", rows, attributes={"num_heads": 2}, domain=MICROSOFT
        )
    for what, (batch, length) in {"batch": (0, 2), "queries": (2, 0)}.items():
        attributes, given = {"num_heads": 2}, [(batch, length, 8)]
        found[f"Attention of com.microsoft, {what}"] = Case(
            "Attention", {"x": floats(batch, length, 6)}, {"w": floats(6, 24), "b": floats(24)}, attributes, MICROSOFT
        )
        constants = {"w": codes("int8", 6, 24), "b": floats(24), "xs": SCALE, "ws": SCALE, "xz": MIDDLE, "wz": ZERO}
        found[f"QAttention, {what}"] = Case(
            "QAttention", {"x": codes("uint8", batch, length, 6)}, constants, attributes, MICROSOFT,
            inputs=["x", "w", "b", "xs", "ws", "", "xz", "wz"], spec="int32-wrap", shapes=given,
        )  # fmt: skip
    rows = {"q": floats(0, 2, 16), "k": floats(0, 2, 8), "v": floats(0, 2, 8), "lengths": np.zeros(0, np.int32)}
    found["GroupQueryAttention, batch"] = Case(
        "GroupQueryAttention", rows, {"total": np.int32([2])}, {"num_heads": 2, "kv_num_heads": 1}, MICROSOFT,
        inputs=["q", "k", "v", "", "", "lengths", "total"], outputs=["y", "keys", "values"],
        shapes=[(0, 2, 16), (0, 1, 2, 8), (0, 1, 2, 8)],
    )  # fmt: skip
    return found


def reductions() -> dict[str, Case]:
    found = {}
    for what, shape in {"batch": (0, 4, 3), "summed": (2, 0, 3), "kept": (2, 4, 0)}.items():
        x = {"x": floats(*shape)}
        found[f"ReduceSum, {what}"] = Case("ReduceSum", x, {"axes": np.array([1])})
        found[f"ReduceMean, {what}"] = Case("ReduceMean", x, attributes={"axes": [1]})
        found[f"Softmax, {what}"] = Case("Softmax", x, attributes={"axis": 1})
    for op_type, domain, opset in (
        ("LayerNormalization", "", 17),
        ("RMSNormalization", "", 23),
        ("SkipLayerNormalization", MICROSOFT, 17),
        ("SkipSimplifiedLayerNormalization", MICROSOFT, 17),
    ):
        fed = {"x": floats(0, 4, 3)} | ({"skip": floats(0, 4, 3)} if domain else {})
        found[f"{op_type}, batch"] = Case(op_type, fed, {"scale": floats(3)}, domain=domain, opset=opset)
    return found


CASES = {**products(), **convolutions(), **einsums(), **recurrences(), **attentions(), **reductions()}
"""Of all operators that are converted; without rows, neither onnxruntime's GroupQueryAttention nor ours runs."""


def outputs_of(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # sizes that are not those of before
    lba_onnx.register_custom_ops(options)
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feeds)


@pytest.mark.parametrize("is_static", [False, True], ids=["free", "static"])
@pytest.mark.parametrize("name", CASES)
def test_sums_of_nothing_are_those_of_onnxruntime(name: str, is_static: bool) -> None:
    case = CASES[name]
    model = case.model(is_static=is_static)
    converted, report = lba_onnx.convert(model, case.spec, selection=REDUCTIONS)
    assert report.converted, [entry.reason for entry in report]
    expected = [np.zeros(shape, np.float32) for shape in case.shapes] or outputs_of(model, case.feeds)
    for found, wanted in zip(outputs_of(converted, case.feeds), expected, strict=True):
        assert found.dtype == wanted.dtype or case.shapes
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_the_last_state_of_an_rnn_without_steps_is_its_first(direction: str) -> None:
    """As ONNX defines it; onnxruntime's own reads memory before the output."""
    count = 2 if direction == "bidirectional" else 1
    fed = {"x": floats(0, 2, 3), "first": floats(count, 2, 4)}
    held = {"w": floats(count, 4, 3), "r": floats(count, 4, 4)}
    case = Case(
        "RNN", fed, held, {"hidden_size": 4, "direction": direction}, outputs=list("yh"),
        inputs=["x", "w", "r", "", "", "first"],
    )  # fmt: skip
    y, last = outputs_of(lba_onnx.convert(case.model(is_static=False), case.spec)[0], fed)
    assert y.shape == (0, count, 2, 4)
    np.testing.assert_array_equal(last, fed["first"])


@pytest.mark.parametrize("op_type", ["QLinearMatMul", "QGemm"])
def test_codes_of_sums_of_nothing_are_the_zero_point(op_type: str) -> None:
    """onnxruntime's own leave their output as they find it."""
    case = CASES[f"{op_type}, depth"]
    model = case.model(is_static=False)
    next(held for held in model.graph.initializer if held.name == "yz").raw_data = b"\x03"
    (found,) = outputs_of(lba_onnx.convert(model, "int32-wrap")[0], case.feeds)
    np.testing.assert_array_equal(found, np.full((2, 3), 3, np.uint8))


@pytest.mark.parametrize(
    ("op_type", "attributes", "size"),
    [
        ("GlobalAveragePool", {}, 1),
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, 5),
        ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}, 2),
    ],
)
def test_means_over_images_of_a_batch_of_none(op_type: str, attributes: dict[str, Any], size: int) -> None:
    """Their other sizes have to be known."""
    case = Case(op_type, {"x": floats(0, 2, 5, 5)}, attributes=attributes)
    model = case.model(is_static=True)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    converted, report = lba_onnx.convert(model, case.spec, selection=REDUCTIONS)
    assert report.converted
    expected = (0, 2, size, size)
    assert outputs_of(converted, case.feeds)[0].shape == outputs_of(model, case.feeds)[0].shape == expected


def test_sequences_without_steps_are_left_below_opset_10() -> None:
    model = CASES["LSTM forward, steps"].model(is_static=True)
    model.opset_import[0].version = 9
    assert refusal(model) == "its sequences have no steps, which onnxruntime's Scan does not take"

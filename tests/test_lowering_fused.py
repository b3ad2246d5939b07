"""Fused products of onnxruntime, whole and taken apart: equal but for the rounding of float32.

Both sum the same products in orders of their own. Each sum of n float32 terms is within gamma = n u / (1 - n u) of the
sum of magnitudes, u = 2^-24, whatever the order; the activations of both are the same code, whose slope is at most
`SLOPE`, and round once or twice more.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lowered_models import MICROSOFT, check_equal, lowered, one_node, refusal, run
from onnx import helper

U = 2.0**-24
ACTIVATIONS: Mapping[str, tuple[float, ...]] = {
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
    "LeakyRelu": (0.25,),
    "HardSigmoid": (0.3, 0.4),
}
GEMM_ONLY: Mapping[str, tuple[float, ...]] = {
    "Softplus": (),
    "Softsign": (),
    "Elu": (0.75,),
    "Selu": (1.5, 1.25),
    "ThresholdedRelu": (0.5,),
    "ParametricSoftplus": (0.5, 2.0),
    "ScaledTanh": (0.5, 2.0),
}
PARAMETERS = {"Selu": ("alpha", "gamma")}
SLOPE = 1.875  # of Selu: gamma * alpha; all others are at most 1


def rounding(magnitudes: np.ndarray, terms: int, results: np.ndarray | float = 0.0) -> Any:
    """Return how far two float32 sums of so many terms may be apart, and activations of them."""
    n = terms + 4
    return SLOPE * 2 * n * U / (1 - n * U) * magnitudes + 8 * U * (magnitudes + np.abs(results))


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_fused_matmul_of_any_operands_is_a_matmul(data: st.DataObject):
    batch = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=2))
    rows, depth, columns = (data.draw(st.integers(1, 5)) for _ in range(3))
    flags = {name: data.draw(st.integers(0, 1)) for name in ("transA", "transB", "transBatchA", "transBatchB")}
    alpha = data.draw(st.sampled_from([1.0, 0.5, -0.3]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    a = laid_out(rng, batch, rows, depth, flags["transA"], flags["transBatchA"])
    b = laid_out(rng, batch, depth, columns, flags["transB"], flags["transBatchB"])
    node = helper.make_node("FusedMatMul", ["a", "b"], ["y"], domain=MICROSOFT, alpha=alpha, **flags)
    is_constant = data.draw(st.booleans())
    model = one_node(node, {"a": a} if is_constant else {"a": a, "b": b}, {"b": b} if is_constant else {})
    largest = float(depth * np.abs(a).max() * np.abs(b).max())
    check_equal(model, {"a": a} if is_constant else {"a": a, "b": b}, rounding(np.asarray(largest), depth))


def laid_out(rng: Any, batch: list[int], rows: int, columns: int, is_swapped: int, is_batched: int) -> np.ndarray:
    """Return an operand that is [*batch, rows, columns] once it is transposed as asked for."""
    last = [columns, rows] if is_swapped else [rows, columns]
    shape = [last[0], *batch, last[1]] if is_batched else [*batch, *last]
    return rng.standard_normal(shape).astype(np.float32)


def test_transposed_weights_take_the_place_of_those_that_nothing_else_reads():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 3), (4, 3)))
    model = one_node(
        helper.make_node("FusedMatMul", ["a", "b"], ["y"], "f", domain=MICROSOFT, transB=1), {"a": a}, {"b": b}
    )
    apart = check_equal(model, {"a": a}, rounding(np.abs(a) @ np.abs(b.T), 3))
    assert [node.op_type for node in apart.graph.node] == ["MatMul"]
    model.graph.node.add(op_type="Relu", input=["b"], output=["other"])
    apart = check_equal(model, {"a": a}, rounding(np.abs(a) @ np.abs(b.T), 3))
    assert [node.op_type for node in apart.graph.node] == ["Transpose", "MatMul", "Relu"]


def test_factor_of_unknown_type_takes_that_of_the_product():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 3), (3, 4)))
    node = helper.make_node("FusedMatMul", ["t", "t"], ["y"], "f", domain=MICROSOFT, alpha=0.5)
    model = one_node(node, {"a": a, "b": b})
    model.graph.node.insert(0, helper.make_node("FusedMatMul", ["a", "b"], ["s"], "first", domain=MICROSOFT))
    model.graph.node.insert(1, helper.make_node("FusedMatMul", ["r", "c"], ["t"], "second", domain=MICROSOFT))
    c = rng.standard_normal((4, 2)).astype(np.float32)
    # An operator of which no rule tells the type of what it gives.
    model.graph.node.insert(1, helper.make_node("ExpandDims", ["s", "axis"], ["e"], "expand", domain=MICROSOFT))
    model.graph.node.insert(2, helper.make_node("Squeeze", ["e"], ["r"], "squeeze"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.int32(0), "axis"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(c, "c"))
    magnitudes = np.abs(a) @ np.abs(b) @ np.abs(c)
    apart = check_equal(model, {"a": a, "b": b}, rounding(magnitudes @ magnitudes, 2 * (3 + 4) + 2))
    assert [n.op_type for n in apart.graph.node][-2:] == ["CastLike", "Mul"]


def test_operand_of_unknown_rank_is_not_transposed():
    node = helper.make_node("FusedMatMul", ["a", "b"], ["y"], domain=MICROSOFT, transB=1)
    model = one_node(node, {"a": np.ones((2, 3), np.float32), "b": np.ones((2, 3), np.float32)})
    model.graph.input[1].type.tensor_type.ClearField("shape")
    assert refusal(model) == "transposes 'b', whose number of dimensions is not known"


@pytest.mark.parametrize("name", [*ACTIVATIONS, *GEMM_ONLY])
@pytest.mark.parametrize("has_bias", [True, False])
def test_fused_gemm_is_a_gemm_and_its_activation(name: str, has_bias: bool):
    rng = np.random.default_rng(len(name))
    a, b, c = (rng.standard_normal(shape).astype(np.float32) for shape in ((7, 6), (5, 7), (5,)))
    parameters = dict(zip(PARAMETERS.get(name, ("alpha", "beta")), {**ACTIVATIONS, **GEMM_ONLY}[name], strict=False))
    given_parameters = {f"activation_{key}": value for key, value in parameters.items()}
    inputs = ["a", "b", "c"] if has_bias else ["a", "b"]
    numbers = {"alpha": 0.5, "beta": 2.0, "transA": 1, "transB": 1}
    node = helper.make_node(
        "FusedGemm", inputs, ["y"], domain=MICROSOFT, activation=name, **numbers, **given_parameters
    )
    model = one_node(node, {"a": a}, {"b": b, "c": c} if has_bias else {"b": b})
    magnitudes = 0.5 * np.abs(a.T) @ np.abs(b.T) + 2.0 * np.abs(c)
    apart = check_equal(model, {"a": a}, rounding(magnitudes, 8, 2.0))
    assert apart.graph.node[0].op_type == "Gemm"


def test_fused_gemm_refuses_what_onnxruntime_does_not_define():
    feeds = {"a": np.ones((2, 2), np.float32), "b": np.ones((2, 2), np.float32)}

    def fused(**attributes: Any) -> str:
        node = helper.make_node("FusedGemm", ["a", "b"], ["y"], domain=MICROSOFT, **attributes)
        return refusal(one_node(node, feeds))

    assert fused(activation="Gelu").startswith("applies the activation 'Gelu'; expected one of Relu")
    assert fused(activation="Elu") == "applies Elu without the attribute activation_alpha"


@pytest.mark.parametrize("name", ["", *ACTIVATIONS, "Clip"])
@pytest.mark.parametrize("has_addend", [True, False])
@pytest.mark.parametrize("opset", [9, 17])
def test_fused_conv_is_a_conv_and_what_follows(name: str, has_addend: bool, opset: int):
    rng = np.random.default_rng(len(name))
    x, w, b, z = (rng.standard_normal(s).astype(np.float32) for s in ((2, 4, 6, 5), (6, 2, 3, 3), (6,), (2, 6, 3, 3)))
    parameters = {**ACTIVATIONS, "Clip": (-0.5, 0.75)}.get(name, ())
    node = helper.make_node(
        "FusedConv", ["x", "w", "b", *(["z"] if has_addend else [])], ["y"], domain=MICROSOFT,
        group=2, strides=[2, 2], pads=[1, 1, 1, 1], **({"activation": name} if name else {}),
        **({"activation_params": list(parameters)} if parameters else {}),
    )  # fmt: skip
    feeds = {"x": x, "z": z} if has_addend else {"x": x}
    magnitudes = 18 * np.abs(x).max() * np.abs(w).max() + np.abs(b).max() + np.abs(z).max()
    apart = check_equal(one_node(node, feeds, {"w": w, "b": b}, opset=opset), feeds, rounding(magnitudes, 20, 1.0))
    assert apart.graph.node[0].op_type == "Conv"


def test_fused_conv_without_a_bias_adds_the_fourth_input_alone():
    rng = np.random.default_rng(3)
    x, w, z = (rng.standard_normal(shape).astype(np.float32) for shape in ((1, 2, 5), (3, 2, 2), (1, 3, 4)))
    node = helper.make_node("FusedConv", ["x", "w", "", "z"], ["y"], domain=MICROSOFT, activation="Relu")
    magnitudes = 4 * np.abs(x).max() * np.abs(w).max() + np.abs(z).max()
    apart = check_equal(one_node(node, {"x": x, "z": z}, {"w": w}), {"x": x, "z": z}, rounding(magnitudes, 5))
    assert [n.op_type for n in apart.graph.node] == ["Conv", "Add", "Relu"]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"activation": "Elu"}, "applies the activation 'Elu'; expected one of Relu, Tanh, Sigmoid"),
        ({"activation": "Clip", "activation_params": [1.0]}, "applies Clip with 1 activation_params; expected 2"),
    ],
)
def test_fused_conv_refuses_what_onnxruntime_refuses(attributes: Mapping[str, Any], expected: str):
    node = helper.make_node("FusedConv", ["x", "w"], ["y"], domain=MICROSOFT, **attributes)
    feeds = {"x": np.ones((1, 1, 3), np.float32), "w": np.ones((1, 1, 2), np.float32)}
    assert refusal(one_node(node, feeds)).startswith(expected)


@pytest.mark.parametrize("op_type", ["NhwcConv", "NhwcFusedConv"])
@pytest.mark.parametrize("sizes", [(5,), (6, 5), (3, 4, 5)])
@pytest.mark.parametrize("has_addend", [True, False])
def test_channels_last_are_a_fused_conv_of_channels_first(op_type: str, sizes: tuple[int, ...], has_addend: bool):
    """No kernel of onnxruntime for x86 has channels last: its FusedConv is what they are compared with."""
    rng, axes = np.random.default_rng(len(sizes)), len(sizes)
    x, w, b, z = (
        rng.standard_normal(shape).astype(np.float32)
        for shape in ((2, *sizes, 4), (6, 2, *[3] * axes), (6,), (2, *((size + 1) // 2 for size in sizes), 6))
    )
    attributes = {"group": 2, "strides": [2] * axes, "pads": [1] * (2 * axes)}
    if op_type == "NhwcFusedConv":
        attributes |= {"activation": "Clip", "activation_params": [-0.5, 0.75]}
    inputs, feeds = ["x", "w", "b"], {"x": x}
    if has_addend and op_type == "NhwcFusedConv":
        inputs, feeds = [*inputs, "z"], {"x": x, "z": z}
    node = helper.make_node(op_type, inputs, ["y"], domain=MICROSOFT, **attributes)
    apart, lowering = lowered(one_node(node, feeds, {"w": w, "b": b}))
    assert lowering.origins
    whole = one_node(
        helper.make_node("FusedConv", inputs, ["y"], domain=MICROSOFT, **attributes),
        first := {name: np.moveaxis(value, -1, 1).copy() for name, value in feeds.items()},
        {"w": w, "b": b},
    )
    magnitudes = 2 * 3**axes * np.abs(x).max() * np.abs(w).max() + np.abs(b).max() + np.abs(z).max()
    (expected,), (result,) = run(whole, first), run(apart, feeds)
    bound = rounding(magnitudes, 2 * 3**axes + 2)
    np.testing.assert_allclose(result, np.moveaxis(expected, 1, -1), rtol=0, atol=float(bound))
    assert result.shape == z.shape


def test_channels_last_of_an_unknown_number_of_dimensions_stay():
    node = helper.make_node("NhwcConv", ["x", "w"], ["y"], domain=MICROSOFT)
    model = one_node(node, {"x": np.ones((1, 3, 2), np.float32), "w": np.ones((1, 2, 2), np.float32)})
    for graph_input in model.graph.input:
        graph_input.type.tensor_type.ClearField("shape")
    assert refusal(model) == "has channels last in 'x', whose number of dimensions is not known"

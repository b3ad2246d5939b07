"""Operators of integers in sessions: every kind of accumulator, shapes, operands that are no constants, bad input."""

import numpy as np
import onnx
import pytest
from integer_models import Draw, make_model, operator_case, run
from onnx import TensorProto, helper
from test_integer_sources import expected_output

import lba_onnx

SPECS = [
    "int9-saturate,operands=raw",
    "int10x8-saturate/int14-wrap",
    "int40-wrap",
    "fixed<12,16>,round=nearest-up,overflow=saturate",
    "x86-u8s8",
    "arm-smlal16",
]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(("x", "w"), [("uint8", "int8"), ("int8", "uint8")])
@pytest.mark.parametrize("op_type", ["QLinearConv", "QLinearMatMul", "QGemm", "QGemm-float"])
def test_every_kind_of_accumulator_serves(op_type, x, w, spec):
    case = operator_case(op_type, x, w, per_channel=True, seed=5)
    converted, _ = lba_onnx.convert(case.model, spec)
    np.testing.assert_array_equal(run(converted, case.feeds, threads=2), expected_output(case, spec, op_type))


def twin_model(op_type, operands, shapes, output, attributes=None, names=None, rank=None):
    """Return a model of one operator of this package whose operands are all inputs."""
    inputs = list(operands) if names is None else names
    node = helper.make_node(op_type, inputs, ["y"], name="node", domain="lba_onnx", accumulator="int32-wrap")
    for name, value in (attributes or {}).items():
        node.attribute.append(helper.make_attribute(name, value))
    declared = {name: (array.dtype, shapes.get(name, array.shape)) for name, array in operands.items()}
    model = make_model([node], declared, {}, ("y", output))
    model.opset_import.append(helper.make_opsetid("lba_onnx", 1))
    if rank is not None:
        value = helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(np.dtype(output)), [None] * rank)
        model.graph.output[0].CopyFrom(value)
    return model


MATMULS = {
    "a batch that broadcasts": ((4, 1, 3, 20), (2, 20, 5)),
    "one matrix for a batch": ((2, 3, 7, 20), (20, 5)),
    "vectors": ((20,), (20,)),
    "a vector and matrices": ((20,), (3, 20, 5)),
    "no rows": ((0, 20), (20, 5)),
    "no depth": ((3, 0), (0, 5)),
}


@pytest.mark.parametrize("name", MATMULS)
def test_shapes_and_weights_that_are_fed(name):
    draw, (a_shape, b_shape) = Draw(4), MATMULS[name]
    operands = {
        "a": draw.codes("uint8", *a_shape),
        "b": draw.codes("int8", *b_shape),
        "a_zero_point": draw.codes("uint8"),
        "b_zero_point": draw.codes("int8", 1 if len(b_shape) == 1 else b_shape[-1]),
    }
    centered = [operands[key].astype(np.int32) - operands[f"{key}_zero_point"] for key in "ab"]
    expected = np.matmul(*(c.astype(np.int64) for c in centered)) if len(b_shape) > 1 else centered[0] @ centered[1]
    shapes = {"a": [None] * len(a_shape)}
    model = twin_model("LbaMatMulInteger", operands, shapes, np.int32, rank=np.ndim(expected))
    found = run(model, operands)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)


def test_empty_optional_inputs_are_zero():
    draw = Draw(6)
    operands = {"a": draw.codes("int8", 3, 9), "b": draw.codes("uint8", 9, 4), "z": draw.codes("uint8", 4)}
    model = twin_model("LbaMatMulInteger", operands, {}, np.int32, names=["a", "b", "", "z"])
    expected = operands["a"].astype(np.int32) @ (operands["b"].astype(np.int32) - operands["z"])
    np.testing.assert_array_equal(run(model, operands), expected)


def test_shapes_are_inferred_with_their_symbols():
    import onnxruntime

    case = operator_case("QLinearMatMul", "uint8", "int8")
    converted, _ = lba_onnx.convert(case.model, "int16-wrap")
    converted.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    converted.graph.node.append(helper.make_node("Identity", ["y"], ["z"]))
    converted.graph.output[0].CopyFrom(onnx.ValueInfoProto(name="z"))
    options = onnxruntime.SessionOptions()
    lba_onnx.register_custom_ops(options)
    (output,) = onnxruntime.InferenceSession(
        converted.SerializeToString(), options, providers=["CPUExecutionProvider"]
    ).get_outputs()
    assert (output.type, output.shape) == ("tensor(uint8)", ["N", 10])


BAD = {
    "scales": (
        "w_scale",
        np.ones(7, np.float32),
        "expected 1 scale of the weights or 10, one an output, got shape [7]",
    ),
    "zero points": ("w_zero_point", np.zeros(3, np.int8), "expected 1 zero point or 10, one an output, got shape [3]"),
    "scale of x": ("x_scale", np.ones(2, np.float32), "expected 1 scale of the first operand, got shape [2]"),
    "zero point of x": ("x_zero_point", np.zeros(2, np.uint8), "expected 1 zero point, got shape [2]"),
    "bias": ("bias", np.zeros(9, np.int32), "expected 1 bias or 10, one an output, got shape [9]"),
}


@pytest.mark.parametrize("name", BAD)
def test_operands_that_do_not_fit_are_told_with_the_node(name):
    key, value, reason = BAD[name]
    case = operator_case("QLinearConv", "uint8", "int8")
    converted, _ = lba_onnx.convert(case.model, "int16-wrap")
    tensor = next(t for t in converted.graph.initializer if t.name == key)
    tensor.CopyFrom(onnx.numpy_helper.from_array(value, key))
    with pytest.raises(Exception) as error:
        run(converted, case.feeds)
    assert f"node 'node' (LbaQLinearConv): {reason}" in str(error.value)


def test_a_scale_of_the_result_without_its_zero_point_is_refused():
    case = operator_case("QGemm", "uint8", "int8")
    converted, _ = lba_onnx.convert(case.model, "int16-wrap")
    converted.graph.node[-1].input.pop()
    converted.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    with pytest.raises(Exception, match="node 'node'.*: expected both y_scale and y_zero_point or neither, got one"):
        run(converted, case.feeds)


def test_types_that_no_operator_pairs_are_refused_with_the_operator():
    case = operator_case("MatMulInteger", "uint8", "int8")
    converted, _ = lba_onnx.convert(case.model, "int16-wrap")
    tensor = next(t for t in converted.graph.initializer if t.name == "w")
    tensor.CopyFrom(onnx.numpy_helper.from_array(case.sums["w"].astype(np.int16), "w"))
    with pytest.raises(Exception, match="LbaMatMulInteger"):
        run(converted, case.feeds)

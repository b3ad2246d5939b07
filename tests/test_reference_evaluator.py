"""onnx's reference evaluator, with the OpRun twins, gives the bits that onnxruntime gives with the library."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator
from operator_models import SPEC, node_model, old_attributes, operand_model, tensor_info

import lba_onnx
from lba_onnx import operators, ops
from lba_onnx.ops import LbaConv, LbaGemm, LbaMatMul
from lba_onnx.ops.windows import conv_pads
from lba_onnx.session import make_session

TWINS = [LbaMatMul, LbaGemm, LbaConv]
F16 = np.float16

CASES = {
    "matmul": ("LbaMatMul", {"A": (3, 20), "B": (20, 5)}, {}),
    "matmul, batch": (
        "LbaMatMul",
        {"A": (2, 1, 3, 20), "B": (4, 20, 5)},
        {"accumulator": "M7E4b10,chunk=none,underflow=off"},
    ),
    "matmul, vectors": ("LbaMatMul", {"A": (20,), "B": (20,)}, {}),
    "gemm": ("LbaGemm", {"A": (3, 20), "B": (20, 5)}, {}),
    "gemm, all": (
        "LbaGemm",
        {"A": (20, 3), "B": (5, 20), "C": (3, 1)},
        {"transA": 1, "transB": 1, "alpha": 0.7, "beta": 1.3},
    ),
    "conv": ("LbaConv", {"A": (2, 3, 8), "B": (4, 3, 3)}, {}),
    "conv, all": (
        "LbaConv",
        {"A": (2, 4, 8, 9), "B": (6, 2, 3, 2), "C": (6,)},
        {"group": 2, "pads": [1, 0, 2, 1], "strides": [2, 1], "dilations": [1, 2], "kernel_shape": [3, 2]},
    ),
    "conv, valid": ("LbaConv", {"A": (1, 2, 8, 9), "B": (3, 2, 3, 2)}, {"auto_pad": "VALID"}),
    "conv, same upper": ("LbaConv", {"A": (1, 2, 8, 9), "B": (3, 2, 4, 2)}, {"auto_pad": "SAME_UPPER"}),
    "conv, same lower": (
        "LbaConv",
        {"A": (1, 2, 8, 9), "B": (3, 2, 4, 2)},
        {"auto_pad": "SAME_LOWER", "strides": [3, 2]},
    ),
}


@pytest.mark.parametrize("dtype", [np.float32, F16])
@pytest.mark.parametrize("case", CASES)
def test_the_twins_give_onnxruntimes_bits(case, dtype):
    op_type, shapes, attributes = CASES[case]
    rng = np.random.default_rng(3)
    operands = {key: (rng.standard_normal(shape) * 3).astype(dtype) for key, shape in shapes.items()}
    model = operand_model(op_type, operands, "", {**SPEC.to_attributes(), **attributes})
    expected = make_session(model).run(None, operands)[0]
    got = ReferenceEvaluator(onnx.load_from_string(model), new_ops=TWINS).run(None, operands)[0]
    assert got.dtype == expected.dtype == dtype
    np.testing.assert_array_equal(got, expected)


def test_float16_beyond_its_range_becomes_infinite_without_a_warning():
    operands = {"A": np.full((1, 40), 255, F16), "B": np.full((40, 1), 255, F16)}
    wide = {"accumulator": "M10E6b31/M10E6b31"}
    model = operand_model("LbaMatMul", operands, "", wide)
    assert ReferenceEvaluator(onnx.load_from_string(model), new_ops=TWINS).run(None, operands)[0] == np.inf


def test_functions_run_once_inlined_since_the_evaluator_hands_new_ops_to_no_function():
    node = helper.make_node("LbaMatMul", ["A", "B"], ["Y"], domain=operators.DOMAIN)
    node.attribute.add(name="accumulator", ref_attr_name="spec", type=onnx.AttributeProto.STRING)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(operators.DOMAIN, 1), helper.make_opsetid("local", 1)]
    function = helper.make_function("local", "Product", ["A", "B"], ["Y"], [node], opsets, attributes=["spec"])
    call = helper.make_node("Product", ["A", "B"], ["Y"], domain="local", spec=str(SPEC))
    infos = {key: tensor_info(key, np.float32, None) for key in "ABY"}
    graph = helper.make_graph([call], "calls", [infos["A"], infos["B"]], [infos["Y"]])
    model = helper.make_model(graph, opset_imports=opsets, functions=[function], ir_version=8)
    rng = np.random.default_rng(5)
    operands = {
        "A": rng.standard_normal((3, 40)).astype(np.float32),
        "B": rng.standard_normal((40, 3)).astype(np.float32),
    }
    direct = operand_model("LbaMatMul", operands, "", SPEC.to_attributes())
    expected = make_session(direct).run(None, operands)[0]
    np.testing.assert_array_equal(lba_onnx.reference_evaluator(model).run(None, operands)[0], expected)
    np.testing.assert_array_equal(make_session(model).run(None, operands)[0], expected)


@pytest.mark.parametrize(
    "op_type, attributes, reason",
    [
        ("LbaMatMul", {"product_format": "M7"}, "attribute product_format"),
        ("LbaMatMul", {"chunk_size": -3}, "chunk_size"),
        ("LbaConv", {"auto_pad": "SAME"}, "expected auto_pad to be NOTSET"),
        ("LbaConv", {"kernel_shape": [2]}, "expected kernel_shape to be the spatial shape of W"),
    ],
)
def test_wrong_attributes_are_value_errors(op_type, attributes, reason):
    inputs = {"A": (np.float32, [1, 3, 8]), "B": (np.float32, [4, 3, 3])}
    model = onnx.load_from_string(node_model(op_type, inputs, {}, {**old_attributes(SPEC), **attributes}))
    with pytest.raises(ValueError, match=reason):
        operands = {"A": np.ones((1, 3, 8), np.float32), "B": np.ones((4, 3, 3), np.float32)}
        ReferenceEvaluator(model, new_ops=TWINS).run(None, operands)


@pytest.mark.parametrize("portable", [False, True])
def test_one_line_evaluates_a_converted_network(tmp_path, portable):
    source = Path(str(files("lba_onnx") / "demo_data" / "fashion_cnn.onnx"))
    lba_onnx.convert(source, SPEC, model_output=tmp_path / "model_lba.onnx", portable=portable)
    feeds = {"image": np.random.default_rng(6).random((1, 1, 28, 28), np.float32)}
    expected = make_session(tmp_path / "model_lba.onnx").run(None, feeds)[0]
    np.testing.assert_array_equal(
        lba_onnx.reference_evaluator(tmp_path / "model_lba.onnx").run(None, feeds)[0], expected
    )


def test_conv_pads_defaults_to_none():
    assert conv_pads({}, [5, 5], [3, 3]) == [0, 0, 0, 0]


def test_the_schemas_cover_the_operators():
    assert set(operators.OPERATORS) == {name for name in vars(ops) if name.startswith("Lba")}
    for schema in operators.OPERATORS.values():
        assert schema.attributes == schema.own_attributes + schema.arithmetic_attributes
        required = {a.name for a in schema.arithmetic_attributes if a.is_required}
        assert required == {f"accumulator_{product.name}" for product in schema.products if product.name}
        for product in schema.products:
            assert set(SPEC.to_attributes(product.name)) <= {a.name for a in schema.attributes}

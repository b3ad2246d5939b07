"""onnx knows the operators: its checker and shape inference go through converted models."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from attention_models import CASES
from integer_models import Draw
from nbits_models import draw
from onnx import helper
from operator_models import tensor_info

import lba_onnx
from lba_onnx.operators import DOMAIN, OPERATORS, VERSION, registration
from lba_onnx.session import make_session

pytestmark = pytest.mark.skipif(not registration.HAS_INFERENCE, reason="onnx is told of operators since 1.19")
DEMO = Path(str(files("lba_onnx") / "demo_data" / "fashion_cnn.onnx"))
OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, VERSION)]


@pytest.mark.parametrize("op_type", OPERATORS)
def test_onnx_knows_the_table_of_operators(op_type: str):
    expected, found = OPERATORS[op_type], onnx.defs.get_schema(op_type, domain=DOMAIN)
    assert [p.name for p in found.inputs] == list(expected.inputs) and found.min_input == expected.required_inputs
    assert [p.name for p in found.outputs] == list(expected.outputs) and found.min_output == expected.required_outputs
    assert found.doc.split(",")[0].startswith(expected.replaces)
    assert set(found.attributes) == {attribute.name for attribute in expected.attributes}
    for attribute in expected.attributes:
        known = found.attributes[attribute.name]
        assert known.description and known.required == attribute.is_required
        has_default = attribute in expected.own_attributes and attribute.default is not None
        assert not has_default or helper.get_attribute_value(known.default_value) in (
            attribute.default,
            str(attribute.default).encode(),
        )


def test_every_meaning_is_of_an_attribute():
    assert set(registration.MEANINGS) == {a.name for schema in OPERATORS.values() for a in schema.attributes}


def integer_case(op_type: str, dtype: str = "uint8") -> dict[str, np.ndarray]:
    """Return operands of an operator of integers by the names of its inputs, none left out."""
    d = Draw(4)
    is_conv = "Conv" in op_type
    x, w = ((2, 4, 9, 7), (6, 2, 3, 3)) if is_conv else ((3, 20), (20, 5))
    of_name: dict[str, Any] = {"A": x, "a": x, "x": x, "B": w, "b": w, "w": w}
    if op_type == "LbaQLinearConv":
        of_name["B"] = None
    operands = {}
    for name, of_type in zip(OPERATORS[op_type].inputs, OPERATORS[op_type].input_types, strict=True):
        shape = of_name.get(name)
        if shape is not None:
            operands[name] = d.codes(dtype, *shape)
        elif name.endswith("scale"):
            operands[name] = np.asarray(d.scale())
        elif name.endswith("zero_point"):
            operands[name] = np.asarray(d.codes(dtype))
        else:
            operands[name] = np.zeros(w[0] if is_conv else w[1], np.float32 if of_type == "float32" else np.int32)
    return operands


def one_node(op_type: str, operands: dict[str, np.ndarray], attributes: dict[str, Any], batch: Any = None) -> Any:
    """Return a model of one node whose output has a rank alone; the first dimension of the first input is `batch`."""
    names = list(operands)
    shapes = {name: list(value.shape) for name, value in operands.items()}
    if batch is not None:
        shapes[names[0]][0] = batch
    inputs = [tensor_info(name, value.dtype, shapes[name]) for name, value in operands.items()]
    node = helper.make_node(op_type, names, ["out"], "node", domain=DOMAIN, **attributes)
    graph = helper.make_graph([node], "g", inputs, [onnx.ValueInfoProto(name="out")])
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=8)


def inferred(model: onnx.ModelProto) -> list[tuple[int, list[Any]]]:
    outputs = onnx.shape_inference.infer_shapes(model).graph.output
    return [
        (v.type.tensor_type.elem_type, [d.dim_param or d.dim_value or None for d in v.type.tensor_type.shape.dim])
        for v in outputs
    ]


F32, F16 = np.float32, np.float16
FLOATS = {
    "LbaMatMul": ({"A": np.ones((2, 3, 20), F32), "B": np.ones((20, 5), F32)}, {}),
    "LbaGemm": ({"A": np.ones((3, 20), F16), "B": np.ones((5, 20), F16), "C": np.ones(5, F16)}, {"transB": 1}),
    "LbaConv": ({"X": np.ones((2, 4, 9, 7), F32), "W": np.ones((6, 2, 3, 3), F32)}, {"group": 2, "pads": [1, 0, 1, 1]}),
}
NODES = {
    **{op: (operands, {**own, "accumulator": "M7E4b10"}) for op, (operands, own) in FLOATS.items()},
    **{
        op: (
            integer_case(op),
            {"accumulator": "int32-wrap", **({"group": 2, "strides": [1, 2]} if "Conv" in op else {})},
        )
        for op, schema in OPERATORS.items()
        if schema.takes_codes
    },
}


@pytest.mark.parametrize("op_type", NODES)
def test_onnx_infers_what_the_node_gives(op_type: str):
    operands, attributes = NODES[op_type]
    model = one_node(op_type, operands, attributes)
    y = make_session(model.SerializeToString()).run(None, operands)[0]
    expected = (helper.np_dtype_to_tensor_dtype(y.dtype), list(y.shape))
    assert inferred(model) == [expected]
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model), full_check=True)
    if op_type != "LbaGemm":
        assert inferred(one_node(op_type, operands, attributes, "batch"))[0][1] == ["batch", *expected[1][1:]]


@pytest.mark.parametrize("case", CASES)
def test_onnx_infers_what_attention_gives(case: str):
    model = lba_onnx.convert(CASES[case].model, "M7E4b10")[0]
    results = make_session(model.SerializeToString()).run(None, CASES[case].feeds)
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    for (element_type, shape), result in zip(inferred(model), results, strict=True):
        assert element_type == helper.np_dtype_to_tensor_dtype(result.dtype)
        if not any(node.domain == "com.microsoft" for node in model.graph.node):  # of whose results onnx knows nothing
            assert shape[0] == result.shape[0]
            assert all(isinstance(size, str) or size == is_ for size, is_ in zip(shape, result.shape, strict=True))


def test_onnx_infers_what_weights_of_few_bits_give():
    case = draw(3)
    model = case.model("lba_onnx", accumulator="M7E4b10", dimensions=case.a.shape)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    result = case.run(model, 1)
    assert inferred(model) == [(helper.np_dtype_to_tensor_dtype(result.dtype), list(result.shape))]


@pytest.mark.parametrize("op_type", ["LbaConv", "LbaQGemm", "LbaMatMul"])
def test_shapes_that_do_not_fit_leave_the_output_open(op_type: str):
    operands, attributes = NODES[op_type]
    wrong = {name: np.ones((3, *value.shape), value.dtype) if value.ndim else value for name, value in operands.items()}
    wrong = {name: value[..., :-1] if name == "B" else value for name, value in wrong.items()}
    model = one_node(op_type, wrong, attributes)
    onnx.shape_inference.infer_shapes(model)


def test_the_checker_tells_an_attribute_that_no_operator_has():
    model = one_node("LbaMatMul", FLOATS["LbaMatMul"][0], {"accumulators": "M7E4b10"})
    model.graph.output[0].CopyFrom(tensor_info("out", F32, [2, 3, 5]))
    with pytest.raises(onnx.checker.ValidationError, match="Unrecognized attribute: accumulators"):
        onnx.checker.check_model(model)


@pytest.mark.parametrize(
    "code",
    [
        "import lba_onnx; import onnx",
        "import onnx; import lba_onnx",
        "import lba_onnx; import importlib.util as u; assert u.find_spec('onnx').origin; import onnx.helper",
        # another copy: the same schemas once more
        "import lba_onnx, sys; import onnx\n"
        "for n in [n for n in sys.modules if n.startswith('lba_onnx')]: del sys.modules[n]\n"
        "import lba_onnx",
    ],
)
def test_importing_registers_once_in_any_order_and_ends_cleanly(code: str):
    check = (
        "\nfrom onnx import defs; assert defs.has('LbaConv', domain='lba_onnx'); import sys;"
        "import lba_onnx.operators.registration;"
        "assert lba_onnx.operators.registration.register() == [];"
        "assert not any(type(f).__module__ == 'lba_onnx.after_import' for f in sys.meta_path); "
        "assert type(sys.modules['onnx'].__loader__).__name__ != '_Loader'"
    )
    subprocess.run([sys.executable, "-c", code + check], check=True, timeout=120)


def test_import_of_lba_onnx_alone_loads_no_onnx():
    subprocess.run([sys.executable, "-c", "import lba_onnx, sys; assert 'onnx' not in sys.modules"], check=True)


def test_an_onnx_that_takes_no_schemas_is_told_and_breaks_nothing(monkeypatch, caplog):
    def refuse(*arguments: object, **keywords: object) -> bool:
        raise TypeError("has() takes no domain")

    monkeypatch.setattr(registration.defs, "has", refuse)
    registration.register_quietly()
    assert caplog.messages == ["onnx gets no schemas of domain lba_onnx: has() takes no domain"]


@pytest.mark.parametrize("portable", [False, True])
def test_a_converted_network_is_inferred_through(portable: bool):
    model = lba_onnx.convert(DEMO, "M7E4b10", portable=portable)[0]
    del model.graph.value_info[:]
    plain = onnx.load(DEMO)
    del plain.graph.value_info[:]
    shapes = [
        {v.name: v.type.SerializeToString() for v in onnx.shape_inference.infer_shapes(m).graph.value_info}
        for m in (plain, model)
    ]
    assert shapes[0] and shapes[0].items() <= shapes[1].items()
    onnx.checker.check_model(model, full_check=True)

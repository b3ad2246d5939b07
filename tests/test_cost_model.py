"""What models cost: small ones by hand, converted and as if they were; what is not known is named and never free."""

import json
import re

import numpy as np
import onnx
import pytest
from attention_models import CASES
from click.testing import CliRunner
from integer_models import operator_case
from nbits_models import draw
from onnx import TensorProto, helper
from small_models import images, loop_model, matmul_model, model, network, tensor

import lba_onnx
from lba_onnx.arithmetic import as_spec
from lba_onnx.cli import main
from lba_onnx.costing import NOT_COMPARED, unit_cost
from lba_onnx.costing.text import cost_text
from lba_onnx.errors import DataError, SelectionError
from lba_onnx.reporting import Subject, make_report
from lba_onnx.reporting.highlights import cost_sentence, highlights
from lba_onnx.rewrite import Selection

SPEC = "M7E4b12/M7E4b10"


def test_a_small_network_by_hand():
    """On 8 x 8 images: 3 x 3 with padding 1 meets it in 2 of 24 taps an axis, with stride 2 in 1 of 12."""
    found = lba_onnx.cost(network(), SPEC)
    assert [(node.node, node.macs, node.depth) for node in found.nodes] == [
        ("conv1", 8 * 64 * 9, 9),
        ("depthwise", 8 * 16 * 9, 9),
        ("classifier", 10 * 128, 128),
    ]
    assert [node.padded_macs for node in found.nodes] == [4608 * (24**2 - 22**2) // 24**2, 1152 * 23 // 144, 0]
    units = [unit_cost(SPEC, "M4E3", depth).gates for depth in (9, 9, 128)]
    assert [node.gate_macs for node in found.nodes] == pytest.approx(
        [4608 * units[0], 1152 * units[1], 1280 * units[2]]
    )
    assert [node.partial_sum_bits for node in found.nodes] == [512 * 24, 128 * 24, 10 * 24]
    totals, float32 = found.totals, unit_cost("fp32-fma", "M4E3", 1).gates
    assert totals.macs == 7040 and totals.padded_macs == 736 + 184
    assert totals.gate_macs == pytest.approx(sum(node.gate_macs for node in found.nodes))
    assert totals.float32_gate_macs == 7040 * float32 and totals.over_float32 == totals.gate_macs / (7040 * float32)
    assert totals.int8_gate_macs == 7040 * (640 + 283 + 192)
    assert sum(own for own, _ in found.gates_by_group().values()) == pytest.approx(totals.gate_macs / 7040)
    assert found.left == found.unknown == found.unpriced == ()


def test_a_converted_model_has_its_accumulators_in_it():
    converted, _ = lba_onnx.convert(network(), {"conv1": SPEC, "classifier": "fp16-fma"})
    found = lba_onnx.cost(converted, reference=network(), operand_format="M4E3")
    assert [node.spec for node in found.nodes] == [SPEC, None, str(as_spec("fp16-fma"))]
    assert [node.node for node in found.left] == ["depthwise"] and found.nodes[1].reason == "no spec given"
    assert found.nodes[1].unit.groups == found.nodes[1].float32.groups
    assert found.over_reference == found.totals.over_float32 < 1
    hypothetical = lba_onnx.cost(converted, "M5E4b10")
    assert [node.spec for node in hypothetical.nodes] == [SPEC, "M5E4b12/M5E4b10", found.nodes[2].spec]


def test_float32_operands_save_less():
    """The multiplier is in both: the paper's 63 % are those of its 8-bit operands."""
    given, wide = lba_onnx.cost(network(), SPEC), lba_onnx.cost(network(), SPEC, operand_format="float32")
    assert given.stored_operands.types == ("float32",) and given.stored_operands.totals == wide.totals
    assert 0.35 < given.totals.over_float32 < 0.4 and 0.75 < wide.totals.over_float32 < 0.85


@pytest.mark.parametrize("op_type", ["MatMulInteger", "QLinearMatMul", "QLinearConv", "ConvInteger"])
def test_quantized_models_say_their_operands(op_type):
    case = operator_case(op_type, "uint8", "int8")
    converted, _ = lba_onnx.convert(case.model, "int32-wrap")
    for found in (lba_onnx.cost(converted), lba_onnx.cost(case.model, "int32-wrap"), lba_onnx.cost(case.model)):
        (node,) = found.nodes
        assert node.operands == "uint8*int8" and node.operands_from_model and node.depth
        assert found.stored_operands is None and found.totals.over_int8 == 1
        assert node.zero_weight_macs is not None


def test_quantized_float_nodes_say_their_operands_too():
    """DequantizeLinear of both operands of a MatMul; the weights of zero are codes at their zero point."""
    codes = np.array([[3, 7], [3, 3], [9, 4]], np.int8)
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "zx"], ["a"], "dx"),
        helper.make_node("DequantizeLinear", ["w", "s", "zw"], ["b"], "dw"),
        helper.make_node("MatMul", ["a", "b"], ["y"], "matmul"),
    ]
    constants = {"w": codes, "s": np.float32(0.5), "zx": np.uint8(8), "zw": np.int8(3)}
    made = model(nodes, [tensor("x", "batch", 3, kind=TensorProto.UINT8)], [tensor("y", "batch", 2)], constants)
    (node,) = lba_onnx.cost(made, "int16-wrap").nodes
    assert (node.spec, node.operands, node.macs, node.zero_weight_macs) == ("int16-wrap", "uint8*int8", 6, 3)
    (node,) = lba_onnx.cost(made, SPEC).nodes
    assert node.operands == "uint8*int8" and node.unit.components["mantissa multiplier"] == 640


def dequantizing(x_type, w_type, *between):
    """A product of two operands, each dequantized where its type is one of codes, x behind other nodes."""
    stored = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE
    nodes = [] if x_type in stored else [helper.make_node("DequantizeLinear", ["x", "s"], ["x0"])]
    before = "x" if x_type in stored else "x0"
    for index, (op_type, *inputs) in enumerate(between, 1):
        nodes.append(helper.make_node(op_type, [before, *inputs], [before := f"x{index}"]))
    nodes += [] if w_type in stored else [helper.make_node("DequantizeLinear", ["w", "s"], ["b"])]
    nodes.append(helper.make_node("MatMul", [before, "w" if w_type in stored else "b"], ["y"], "matmul"))
    constants = [helper.make_tensor("w", w_type, [4, 3], [1.0] * 12)]
    constants += [helper.make_tensor("s", TensorProto.FLOAT, [], [0.5]), helper.make_tensor("to", 7, [2], [2, 4])]
    shape = [8] if between and between[0][0] == "Reshape" else [2, 4]
    result = TensorProto.FLOAT if x_type not in stored else x_type
    outputs = [helper.make_tensor_value_info("y", result, [2, 3])]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", x_type, shape)], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


FLOAT, UINT8, INT8, INT4 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8, TensorProto.INT4
E4M3, E5M2, E2M1 = TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E5M2, TensorProto.FLOAT4E2M1


@pytest.mark.parametrize(
    ("made", "operands", "stored"),
    [
        (dequantizing(E4M3, E4M3), "M3E4", None),
        (dequantizing(E5M2, E4M3), "M2E5*M3E4", None),
        (dequantizing(E4M3, E2M1), "M3E4*M1E2", None),
        (dequantizing(UINT8, INT4), "uint8*int4", None),
        (dequantizing(INT4, INT4), "int4", None),
        (dequantizing(TensorProto.UINT16, INT8), "uint16*int8", None),
        (dequantizing(UINT8, INT8, ("Reshape", "to")), "uint8*int8", None),
        (dequantizing(UINT8, INT8, ("Relu",)), "M4E3*int8", ("float32",)),
        (dequantizing(FLOAT, INT8), "M4E3*int8", ("float32",)),
        (dequantizing(FLOAT, FLOAT), "M4E3", ("float32",)),
        (dequantizing(TensorProto.FLOAT16, TensorProto.FLOAT16), "M4E3", ("float16",)),
        (dequantizing(TensorProto.DOUBLE, TensorProto.DOUBLE), "M4E3", ("float64",)),
    ],
)
def test_each_operand_has_the_format_of_its_codes(made, operands, stored):
    """What is stored in floats is told by its type, and priced so beside the format that is given."""
    found = lba_onnx.cost(made, SPEC)
    assert found.nodes[0].operands == operands and found.nodes[0].operands_from_model == (stored is None)
    assert (found.stored_operands and found.stored_operands.types) == stored
    sentences = [text for text in cost_text(found) if isinstance(text, str) and "does not say" in text]
    assert len(sentences) == (stored is not None) and all(f"its tensors are {stored[0]}" in s for s in sentences)
    if stored == ("float16",):
        assert found.stored_operands.totals == lba_onnx.cost(made, SPEC, operand_format="float16").totals


@pytest.mark.parametrize(("narrow", "operands"), [(E5M2, "M2E5*M4E3"), (TensorProto.INT64, "M4E3")])
def test_a_cast_of_a_narrower_type_tells_the_format(narrow, operands):
    nodes = [helper.make_node("Cast", ["x"], ["c"], "narrow", to=narrow), helper.make_node("Cast", ["c"], ["b"], to=1)]
    nodes.append(helper.make_node("MatMul", ["b", "w"], ["y"], "matmul"))
    weights, opset = {"w": np.ones((4, 3), np.float32)}, [helper.make_opsetid("", 19)]
    made = model(nodes, [tensor("x", 2, 4)], [tensor("y", 2, 3)], weights, opsets=opset)
    (node,) = lba_onnx.cost(made, SPEC).nodes
    assert node.operands == operands


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weights_of_few_bits_are_operands_of_so_many(bits):
    case = draw(1, bits=bits)
    made = case.model(dimensions=case.a.shape)
    for each in (made, lba_onnx.convert(made, SPEC)[0]):
        assert lba_onnx.cost(each, SPEC).nodes[0].operands == f"M4E3*int{bits}"


def test_zero_points_of_columns_are_told_from_those_of_rows():
    """In a square matrix both would fit: here a code is zero in one column, and not in the other."""
    codes, points = np.array([[1, 1], [2, 1]], np.int8), np.array([1, 2], np.int8)
    node = helper.make_node("MatMulInteger", ["x", "w", "zx", "zw"], ["y"], "matmul")
    inputs, outputs = [tensor("x", 1, 2, kind=TensorProto.UINT8)], [tensor("y", 1, 2, kind=TensorProto.INT32)]
    made = model([node], inputs, outputs, {"w": codes, "zx": np.uint8(3), "zw": points})
    assert lba_onnx.cost(made).totals.zero_weight_macs == 1


@pytest.mark.parametrize("options", [{}, {"zero_points": "codes"}, {"zero_points": "floats"}, {"has_g_idx": True}])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_zero_weights_of_few_bits_are_counted(bits, options):
    case = draw(1, bits=bits, **options)
    (node,) = lba_onnx.cost(case.model(dimensions=case.a.shape)).nodes
    zeros, rows = np.count_nonzero(case.weights == 0), case.a.size // case.attributes["K"]
    assert node.zero_weight_macs == rows * zeros


def test_zero_weights_are_counted():
    weights = np.ones((40, 5), np.float32)
    weights[::4] = 0
    assert lba_onnx.cost(matmul_model(weights)).totals.zero_weight_macs == 50


@pytest.mark.parametrize(
    ("attributes", "inside"),
    [
        ({}, (5 * 3, 5 * 3)),
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (11, 11)),  # 4 outputs, one zero at the end
        ({"auto_pad": "SAME_LOWER", "strides": [2, 2]}, (11, 11)),
        ({"auto_pad": "VALID", "dilations": [2, 3]}, (9, 3)),
        ({"pads": [0, 2, 1, 0], "dilations": [1, 2]}, (17, 13)),
    ],
)
def test_padding_by_hand(attributes, inside):
    """On 7 x 7, or 8 x 8 with auto_pad SAME; pads are of both begins, then of both ends."""
    size = 8 if "SAME" in attributes.get("auto_pad", "") else 7
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv", **attributes)
    made = model(
        [node],
        [tensor("x", 1, 1, size, size)],
        [tensor("y", 1, 1, None, None)],
        {"w": np.ones((1, 1, 3, 3), np.float32)},
    )
    (found,) = lba_onnx.cost(made).nodes
    assert found.macs - found.padded_macs == inside[0] * inside[1]


def test_open_sizes_are_unknown_until_they_are_given():
    weights = np.ones((4, 3), np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "matmul")
    made = model([node], [tensor("x", "batch", "length", 4)], [tensor("y", "batch", "length", 3)], {"w": weights})
    found = lba_onnx.cost(made, SPEC)
    assert [node.node for node in found.unknown] == ["matmul"] and found.totals.macs == 0
    assert found.nodes[0].unit.gates > 0 and found.totals.over_float32 is None  # its depth is known
    assert found.to_json()["nodes"][0]["gate_macs"] is None
    assert lba_onnx.cost(made, SPEC, input_shapes={"x": (1, 6, 4)}).totals.macs == 72
    assert lba_onnx.cost(made, SPEC, data={"x": np.ones((2, 5, 4), np.float32)}).totals.macs == 60


@pytest.mark.parametrize("name", ["heads: plain", "heads: past", "groups: chunk"])
def test_attention_has_the_depth_of_heads_and_of_keys(name):
    case = CASES[name]
    for made in (case.model, lba_onnx.convert(case.model, SPEC)[0]):
        scores, values = lba_onnx.cost(made, SPEC).nodes
        assert (scores.node, values.node) == ("node/qk", "node/pv")
        assert scores.depth == case.inputs["query"].shape[-1] // case.attributes["num_heads"]
        assert values.macs // values.depth == np.prod(case.inputs["query"].shape)  # as many sums as outputs
        assert scores.unit and values.unit


def test_recurrent_products_have_the_depth_of_their_weights():
    """Inputs of open length; in the Scan that an LSTM becomes, too."""
    weights = {name: np.ones((1, 8, size), np.float32) for name, size in (("w", 3), ("r", 2))}
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], "lstm", hidden_size=2)
    made = model([node], [tensor("x", "steps", 1, 3)], [tensor("y", "steps", 1, 1, 2)], weights)
    found = lba_onnx.cost(made, SPEC, input_shapes={"x": (5, 1, 3)})
    assert {(n.node, n.depth, n.macs) for n in found.nodes} == {("lstm/input", 3, 120), ("lstm/recurrent", 2, 80)}
    assert [node.depth for node in lba_onnx.cost(made, SPEC).nodes] == [3, 2]


def test_a_loop_is_counted_by_a_run():
    found = lba_onnx.cost(loop_model(3), SPEC, data={"x": np.ones((1, 2), np.float32)})
    assert [node.macs for node in found.nodes] == [12]


def test_what_has_no_price_is_named(monkeypatch):
    monkeypatch.setattr(type(as_spec("kulisch")), "datapath", lambda self, operands, depth: None)
    found = lba_onnx.cost(network(), {"conv1": "kulisch", "depthwise": SPEC, "classifier": SPEC})
    assert [node.node for node in found.unpriced] == ["conv1"]
    assert found.unpriced[0].reason.startswith("kulisch: its kind, kulisch, tells no datapath")
    assert found.totals.macs == 1152 + 1280 and found.to_json()["unpriced"] == ["conv1"]


def test_selected_nodes_alone_are_priced_as_if_converted():
    found = lba_onnx.cost(network(), SPEC, selection=Selection(nodes_to_exclude=["conv.*"]))
    assert [node.spec for node in found.nodes] == [None, SPEC, SPEC]
    assert found.nodes[0].reason == "excluded by 'conv.*'"


def test_measured_gates_take_the_place_of_the_models(tmp_path):
    entry = {"accumulator": SPEC, "operands": "M4E3", "gates": 100, "source": "synthesis"}
    (tmp_path / "my.json").write_text(json.dumps({"name": "mine", "measured": [entry]}))
    found = lba_onnx.cost(network(), SPEC, cost_table=tmp_path / "my.json")
    assert found.totals.gate_macs == 704000 and found.table.name == "mine"
    assert found.gates_by_group()["measured"] == (100, 0)


def test_json_tells_all_of_it():
    value = json.loads(json.dumps(lba_onnx.cost(network(), SPEC, reference=network()).to_json(), allow_nan=False))
    assert list(value) == [
        "operand_format", "operand_sources", "table", "nodes", "totals", "gates_by_group", "int8", "left", "unknown",
        "unpriced", "stored_operands", "reference", "over_reference",
    ]  # fmt: skip
    assert set(value["nodes"][0]) == {
        "node", "op_type", "spec", "operands", "told_operands", "assumed_operands", "assumed_by", "stored_types",
        "operands_from_model", "reason", "macs", "depth", "levels", "chunks", "padded_macs", "zero_weight_macs",
        "unit", "float32", "gate_macs", "pj", "float32_gate_macs", "partial_sum_bits",
    }  # fmt: skip
    assert value["table"]["cells"]["FA"] == 9 and "2401.14110" in value["table"]["sources"]["cells"]
    unit = value["nodes"][2]["unit"]
    assert unit["unit_gates"] == 808 and unit["gates"] == pytest.approx(sum(unit["components"].values()))
    assert unit["joins"] == 7 / 128  # 8 chunks, of which the first is loaded
    assert [(node["levels"], node["chunks"]) for node in value["nodes"]] == [(2, [1]), (2, [1]), (2, [8])]
    assert value["totals"]["over_float32"] == value["over_reference"]


@pytest.mark.parametrize(
    ("arguments", "error", "problem"),
    [
        ({"operand_format": "M4"}, ValueError, "operand_format: expected the format of an operand"),
        ({"operand_format": 8}, TypeError, "operand_format: expected a text"),
        ({"spec": "banana"}, ValueError, "banana"),
        ({"spec": {"conv_1": SPEC}}, SelectionError, "conv_1"),
        ({"cost_table": "missing.json"}, DataError, "missing.json"),
        ({"input_shapes": {"z": (1,)}}, ValueError, "input_shapes: expected some of the inputs x, got 'z'"),
    ],
)
def test_bad_arguments_are_one_error(arguments, error, problem):
    with pytest.raises(error, match=problem):
        lba_onnx.cost(network(), **arguments)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    onnx.save(network(), tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", x=images(2))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    result = CliRunner().invoke(main, ["cost", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_prints_the_operands_beside_the_figures(folder):
    text = run("-i", "model.onnx", "--spec", SPEC, "--split")
    assert "node by node" in text and text.count("classifier") == 2
    assert text.count("operands M4E3") == 2 and "13.1 % multiply padding" in text
    assert "with float32 operands, whose multiplier dominates, the same sums save 21 %" in text
    assert next(line.split()[4:7] for line in text.splitlines() if line.startswith("classifier")) == ["128", "2", "8"]
    left = run("-i", "model.onnx", "--nodes_to_exclude", "conv1", "--spec", SPEC, "-r", "model.onnx")
    assert "1 left, and priced at float32" in left and "over the reference" in left


def test_the_command_counts_by_data_or_shapes(folder):
    plain = json.loads(run("-i", "model.onnx", "--json"))
    assert (
        plain["totals"]["macs"]
        == json.loads(run("-i", "model.onnx", "--data_path", "data.npz", "--json"))["totals"]["macs"]
    )
    doubled = json.loads(run("-i", "model.onnx", "--input_shapes", "x:2x1x8x8", "--json"))
    assert doubled["totals"]["macs"] == 2 * plain["totals"]["macs"]
    result = CliRunner().invoke(main, ["cost", "-i", "model.onnx", "--input_shapes", "x:1", "--data_path", "data.npz"])
    assert result.exit_code == 1 and "plays no part with --data_path" in result.stderr


def test_the_self_test_prints_published_figures(folder):
    text = run("--self_test")
    assert "2208" in text and "arXiv 2303.17951" in text
    points = json.loads(run("--self_test", "--json"))["points"]
    assert {"name", "published", "model", "source", "error_percent"} == set(points[0])
    assert all(f"not compared: {name}" in " ".join(text.split()) for name in NOT_COMPARED)
    (folder / "my.json").write_text(json.dumps({"cells": {"gates": {"FA": 10}}}))
    changed = json.loads(run("--self_test", "--cost_table", "my.json", "--json"))["points"]
    assert changed[0]["model"] > points[0]["model"] == 2208


def test_the_command_takes_a_model_or_tests_itself():
    result = CliRunner().invoke(main, ["cost"])
    assert result.exit_code == 1 and "expected -i FILE, or --self_test" in result.stderr


def test_sums_that_cost_more_than_float32_are_said_to(tmp_path):
    """Never a negative share that is saved."""
    found = lba_onnx.cost(network(), "M22E7b63,round=nearest,chunk=2x2x2")
    (said,) = [line for line in map(str, cost_text(found)) if "the model does not say" in line]
    assert found.totals.over_float32 > 1 and re.search(r"the same sums take \d+ % more gates than float32 sums", said)
    saved = [line for line in map(str, cost_text(lba_onnx.cost(network(), SPEC))) if "the model does not say" in line]
    assert re.search(r"the same sums save \d+ % of the gates of float32 sums", saved[0])
    onnx.save(network(), tmp_path / "m.onnx")
    subject = Subject(tmp_path / "m.onnx", spec="M22E7b63,round=nearest,chunk=2x2x2")
    report = make_report(subject)
    (saving,) = [h for h in highlights(report) if h.section == "cost"]
    percent = round(100 * (found.totals.over_float32 - 1))
    assert (saving.heading, saving.figure) == ("Gates added", f"{percent} %")
    assert saving.note == "more than float32 sums, operands M4E3 by default"
    assert "the same sums take" in cost_sentence(report.cost)

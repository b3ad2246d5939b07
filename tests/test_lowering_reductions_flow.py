"""A block of a transformer whose sums accumulate: the ledger, conversion, calibration, diagnosis and the command."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

import lba_onnx
from lba_onnx import Selection, calibrate, convert, debug
from lba_onnx.cli import main
from lba_onnx.errors import SelectionError
from lba_onnx.rewrite import list_candidates

REDUCTIONS = ["reductions"]
ON_REQUEST = Selection(accumulate=REDUCTIONS)
SPEC = lba_onnx.AccumulatorSpec.parse("M7E4b8")


def block() -> onnx.ModelProto:
    """Return a block of a transformer: x + softmax(q k) v W, of what is normalized; then a pool."""
    nodes = [
        helper.make_node("LayerNormalization", ["x", "scale", "bias"], ["n"], name="norm"),
        helper.make_node("MatMul", ["n", "q"], ["nq"], name="query"),
        helper.make_node("Transpose", ["n"], ["nt"], name="keys", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["nq", "nt"], ["scores"], name="scores"),
        helper.make_node("Softmax", ["scores"], ["p"], name="softmax"),
        helper.make_node("MatMul", ["p", "n"], ["mixed"], name="mixed"),
        helper.make_node("Add", ["x", "mixed"], ["r"], name="residual"),
        helper.make_node("ReduceMean", ["r"], ["y"], name="pooled", axes=[1], keepdims=0),
    ]
    rng = np.random.default_rng(3)
    arrays = {"scale": rng.uniform(0.5, 1.5, 16), "bias": rng.normal(size=16), "q": rng.normal(size=(16, 16)) / 4}
    tensors = [onnx.numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "length", 16])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 16])
    graph = helper.make_graph(nodes, "block", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


SUMS = {"norm/mean", "norm/variance", "softmax/sum", "pooled/sum"}
PRODUCTS = {"query", "scores", "mixed"}
DATA = {"x": np.random.default_rng(5).normal(0.5, 1, (24, 6, 16)).astype(np.float32)}


def test_nothing_changes_without_the_option():
    assert {entry.node for entry in list_candidates(block())} == PRODUCTS
    converted, report = convert(block(), SPEC)
    assert {entry.node for entry in report} == PRODUCTS
    types = [node.op_type for node in block().graph.node]
    assert [node.op_type.removeprefix("Lba") for node in converted.graph.node] == types
    assert "accumulate" not in {**Selection().described()}
    assert not [item for item in converted.metadata_props if "accumulate" in item.value and "reductions" in item.value]


def test_ledger_counts_each_addition():
    ledger = {entry.node: entry for entry in list_candidates(block(), {"x": (2, 6, 16)}, ON_REQUEST)}
    assert set(ledger) == SUMS | PRODUCTS
    macs = {name: ledger[name].macs for name in SUMS}
    assert macs == {"norm/mean": 192, "norm/variance": 192, "softmax/sum": 72, "pooled/sum": 192}
    assert ledger["norm/mean"].op_type == "LayerNormalization"


def test_sums_have_the_bits_of_the_operator_on_ones():
    converted, _ = convert(block(), SPEC, selection=ON_REQUEST)
    nodes = {node.name: node for node in converted.graph.node if node.domain == "lba_onnx"}
    assert set(nodes) == SUMS | PRODUCTS
    names = sorted({name for key in SUMS for name in (*nodes[key].input, *nodes[key].output)} - {"x"})
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in converted.graph.initializer}
    made = [name for name in names if name not in constants]
    converted.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in made if n != "y")
    values = dict(zip(made, lba_onnx.make_session(converted).run(made, DATA), strict=True)) | constants | DATA
    for key in SUMS:
        a, b = (values[operand] for operand in nodes[key].input)
        assert np.all(b == 1) and b.shape == (a.shape[-1], 1)
        np.testing.assert_array_equal(values[nodes[key].output[0]], lba_onnx.matmul(a, b, SPEC), key)


def test_node_whose_sums_are_not_converted_is_what_it_was():
    selection = Selection(nodes_to_exclude=["norm", "softmax/sum"], accumulate=REDUCTIONS)
    converted, report = convert(block(), SPEC, selection=selection)
    before = {node.name: node for node in block().graph.node}
    after = {node.name: node for node in converted.graph.node}
    assert all(after[name] == before[name] for name in ("norm", "softmax"))
    assert {entry.node for entry in report.converted} == PRODUCTS | {"pooled/sum"}


def test_operator_types_select_reductions():
    selection = Selection(op_types_to_convert=["Softmax"], accumulate=REDUCTIONS)
    assert {entry.node for entry in convert(block(), SPEC, selection=selection)[1].converted} == {"softmax/sum"}
    with pytest.raises(SelectionError, match="op_types_to_convert"):
        Selection(op_types_to_convert=["Softmax"])
    with pytest.raises(SelectionError, match="accumulate: expected some of reductions, got 'sums'"):
        Selection(accumulate=["sums"])


def test_block_is_calibrated_converted_and_diagnosed():
    calibration = calibrate(block(), DATA, "M5E4", selection=ON_REQUEST)
    assert set(calibration.specs) == SUMS | PRODUCTS
    converted, report = convert(block(), calibration, selection=ON_REQUEST)
    assert {entry.node for entry in report.converted} == SUMS | PRODUCTS
    diagnosis = debug(converted, DATA, block())
    assert {layer.node for layer in diagnosis.ranking} == SUMS | PRODUCTS


def test_variance_stays_positive_where_the_mean_is_large():
    rng = np.random.default_rng(5)
    x = rng.normal(10, 1, (64, 2, 16)).astype(np.float32)
    (y,) = lba_onnx.make_session(convert(norm(), "M7E4b8", selection=ON_REQUEST)[0]).run(None, {"x": x})
    centred = x - x.mean(-1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    assert np.isfinite(y).all() and np.corrcoef(y.ravel(), expected.ravel())[0, 1] > 0.98


def norm() -> onnx.ModelProto:
    node = helper.make_node("LayerNormalization", ["x", "scale"], ["y"], name="norm")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2, 16]) for name in "xy")
    scale = onnx.numpy_helper.from_array(np.ones(16, np.float32), "scale")
    graph = helper.make_graph([node], "graph", [x], [y], [scale])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_portable_block_runs_without_the_library():
    converted, _ = convert(block(), SPEC, selection=ON_REQUEST, portable=True)
    whole, plain = (
        onnxruntime.InferenceSession(m.SerializeToString()).run(None, DATA)[0] for m in (block(), converted)
    )
    np.testing.assert_allclose(plain, whole, atol=1e-5)


def test_command_takes_the_option(tmp_path: Path):
    path, output = tmp_path / "block.onnx", tmp_path / "out.onnx"
    onnx.save(block(), path)
    arguments = [
        "convert",
        "-i",
        str(path),
        "-o",
        str(output),
        "--spec",
        "M7E4b8",
        "--accumulate",
        "reductions",
        "--json",
    ]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert {n.name for n in onnx.load(output).graph.node if n.domain == "lba_onnx"} == SUMS | PRODUCTS
    (options,) = [item.value for item in onnx.load(output).metadata_props if "options" in item.key]
    assert json.loads(options)["accumulate"] == REDUCTIONS
    listed = CliRunner().invoke(main, ["inspect", "-i", str(path), "--accumulate", "reductions", "--json"])
    assert {entry["node"] for entry in json.loads(listed.stdout)["ledger"]["nodes"]} == SUMS | PRODUCTS


def test_sums_inside_of_what_is_taken_apart_are_no_products():
    """Converting them ended in a KeyError."""
    node = helper.make_node("Einsum", ["x", "y"], ["z"], "node", equation="ijm,jk->ik")
    fed = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [2, 3, 4]), ("y", [3, 5]))
    ]
    result = helper.make_tensor_value_info("z", TensorProto.FLOAT, [2, 5])
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(helper.make_graph([node], "one", fed, [result]), opset_imports=opsets, ir_version=8)
    converted, report = convert(model, SPEC, selection=ON_REQUEST)
    assert [(entry.node, entry.is_done) for entry in report] == [("node", True)]
    assert converted.graph == convert(model, SPEC)[0].graph

"""A model of operators that are taken apart, from float32 to corrected: each step speaks of the same products."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import small_models
from lowered_network import network, samples
from onnx import helper

import lba_onnx
from lba_onnx import AccumulatorSpec, Selection, calibrate, convert, correct, debug, sweep
from lba_onnx.rewrite import list_candidates
from lba_onnx.rewrite.folding import find_scalable

SPEC = AccumulatorSpec.parse("M7E4b10")
PRODUCTS = {
    "conv": "com.microsoft.FusedConv",
    "attention/projection": "com.microsoft.Attention",
    "einsum": "Einsum",
    "gemm": "com.microsoft.FusedGemm",
    "out": "com.microsoft.FusedMatMul",
}
OWN = Selection(nodes_to_convert=list(PRODUCTS))


def test_ledger_and_conversion_name_the_same_products():
    listed = {entry.node: entry.op_type for entry in list_candidates(network()) if not entry.reason}
    assert PRODUCTS.items() <= listed.items()
    converted, report = convert(network(), SPEC, selection=OWN)
    assert {entry.node: entry.op_type for entry in report.converted} == PRODUCTS
    assert {n.name for n in converted.graph.node if n.domain == "lba_onnx"} == set(PRODUCTS)


def test_each_product_has_the_bits_of_its_operator_on_what_it_reads():
    converted, _ = convert(network(), SPEC, selection=OWN)
    nodes = {node.name: node for node in converted.graph.node if node.domain == "lba_onnx"}
    tapped = {name for node in nodes.values() for name in (*node.input, *node.output)}
    values = run_with(converted, sorted(tapped))
    for name in ("attention/projection", "einsum", "out"):
        a, b = (values[operand] for operand in nodes[name].input)
        np.testing.assert_array_equal(values[nodes[name].output[0]], lba_onnx.matmul(a, b, SPEC), name)
    x, w, bias = (values[operand] for operand in nodes["conv"].input)
    np.testing.assert_array_equal(values[nodes["conv"].output[0]], lba_onnx.conv(x, w, SPEC) + bias[:, None])
    a, b, c = (values[operand] for operand in nodes["gemm"].input)
    np.testing.assert_array_equal(values[nodes["gemm"].output[0]], lba_onnx.matmul(a, b.T, SPEC) + c)


def run_with(model: onnx.ModelProto, names: list[str]) -> dict[str, np.ndarray]:
    """Return what values hold, constants included."""
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made = [name for name in names if name not in constants and name != "x"]
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    tapped.graph.output.extend(helper.make_tensor_value_info(name, 1, None) for name in made if name != "y")
    x = samples(3)
    results = lba_onnx.make_session(tapped).run(made, {"x": x})
    return {**constants, "x": x, **dict(zip(made, results, strict=True))}


def test_calibration_correction_and_diagnosis_speak_of_the_products_that_conversion_names():
    calibration = calibrate(network(), samples(32), "M5E4", selection=OWN)
    assert set(calibration.specs) == set(PRODUCTS)
    converted, report = convert(network(), calibration)
    assert {entry.node for entry in report.converted} == set(PRODUCTS)
    corrected, correction = correct(converted, samples(64))
    assert {node.node for node in correction.corrected} == set(PRODUCTS)
    others = samples(64, seed=2)
    distances = [lba_onnx.compare(network(), m, others).outputs[0].sqnr_db for m in (converted, corrected)]
    assert distances[1] > distances[0]
    diagnosis = debug(converted, others, network())
    assert {layer.node for layer in diagnosis.ranking} == set(PRODUCTS)


def test_sweep_measures_models_that_are_taken_apart():
    swept = sweep(network(), samples(8), families=["M7E4", "M10E5"], biases=[10, 12], selection=OWN)
    assert len(swept.to_json()["points"]) == 4


def test_constant_weights_can_be_corrected_wherever_they_come_from():
    scalable = find_scalable(convert_own())
    nodes, reasons = scalable.nodes, scalable.reasons
    assert set(nodes) == set(PRODUCTS) and not reasons


def test_portable_model_runs_without_the_library():
    converted, _ = convert(network(), SPEC, selection=OWN, portable=True)
    plain = onnxruntime.InferenceSession(converted.SerializeToString(), providers=["CPUExecutionProvider"])
    given = onnxruntime.InferenceSession(network().SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(plain.run(None, {"x": samples()})[0], given.run(None, {"x": samples()})[0], atol=1e-5)


def test_model_converted_in_two_steps_is_that_of_one():
    half, _ = convert(network(), SPEC, selection=Selection(op_types_to_convert=["FusedConv", "Einsum"]))
    again, _ = convert(half, SPEC, selection=Selection(op_types_to_convert=["Attention", "FusedGemm", "FusedMatMul"]))
    once, _ = convert(network(), SPEC)
    operators = [(node.op_type, node.name) for node in once.graph.node]
    assert [(node.op_type, node.name) for node in again.graph.node] == operators
    x = samples()
    results = [lba_onnx.make_session(model).run(None, {"x": x})[0] for model in (again, once)]
    np.testing.assert_array_equal(*results)


def test_weights_outside_of_the_model_stay_where_they_are(tmp_path: Path):
    path = tmp_path / "model.onnx"
    onnx.save_model(network(), path, save_as_external_data=True, location="weights", size_threshold=56)
    before = (tmp_path / "weights").read_bytes()
    convert(path, SPEC, selection=OWN, model_output=tmp_path / "converted.onnx")
    assert (tmp_path / "weights").read_bytes() == before
    outside = onnx.load(tmp_path / "converted.onnx", load_external_data=False)
    kept = {t.name for t in outside.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL}
    assert kept == {tensor.name for tensor in network().graph.initializer} - {"flat"}
    sessions = [lba_onnx.make_session(tmp_path / "converted.onnx"), lba_onnx.make_session(convert_own())]
    np.testing.assert_array_equal(*(session.run(None, {"x": samples()})[0] for session in sessions))


def convert_own() -> onnx.ModelProto:
    return convert(network(), SPEC, selection=OWN)[0]


def test_regular_expressions_and_names_of_nodes_select_products():
    _, report = convert(network(), SPEC, selection=Selection(nodes_to_convert=["att.*", "out"]))
    names = {entry.node for entry in report.converted}
    assert {"attention/projection", "out"} <= names and not names & {"conv", "einsum", "gemm"}


@pytest.mark.parametrize("bias_start", [False, True])
def test_model_that_onnxruntime_has_fused_gives_the_bits_of_the_one_before(tmp_path: Path, bias_start: bool):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    before = small_models.network()
    onnxruntime.InferenceSession(before.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert "FusedConv" in {node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node}
    models = [convert(source, SPEC, bias_start=bias_start)[0] for source in (before, tmp_path / "fused.onnx")]
    x = small_models.images(4)
    results = [lba_onnx.make_session(model).run(None, {"x": x})[0] for model in models]
    np.testing.assert_array_equal(*results)

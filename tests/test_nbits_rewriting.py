"""MatMulNBits of com.microsoft through the tool, up to models that onnxruntime's quantizer makes."""

import copy

import numpy as np
import onnx
import onnxruntime
import pytest
from nbits_models import NBits, draw
from onnx import helper, numpy_helper

import lba_onnx
from lba_onnx.correction.correcting import NOT_MOVED
from lba_onnx.rewrite import list_candidates
from lba_onnx.rewrite.folding import ChannelAffine, find_scalable, fold

WIDE = "M22E7b63"
SPEC = "M7E4b10"


def as_onnxruntime(model: onnx.ModelProto, feeds: dict[str, np.ndarray], *, is_optimized: bool = True) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    if not is_optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


def op_types(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_the_ledger_tells_operator_weights_and_type():
    (entry,) = list_candidates(draw(1, dtype=np.float16, has_bias=True).model())
    assert (entry.node, entry.op_type) == ("proj", "com.microsoft.MatMulNBits")
    assert (entry.weights, entry.element_type, entry.reason) == ("initializer 'B'", "float16", "")


def test_the_node_keeps_its_weights_and_gets_an_accumulator():
    case = draw(1, zero_points="codes", accuracy_level=4)
    model = case.model()
    converted, _ = lba_onnx.convert(model, SPEC)
    (node,) = converted.graph.node
    assert (node.op_type, node.domain, node.name) == ("LbaMatMulNBits", "lba_onnx", "proj")
    assert list(node.input) == ["A", "B", "scales", "zero_points"]
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    assert attributes == {**case.attributes, "accumulator": b"M7E4b12/M7E4b10"}
    assert list(converted.graph.initializer) == list(model.graph.initializer)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_bias_is_added_behind(dtype):
    case = draw(1, zero_points="codes", has_bias=True, dtype=dtype)
    converted, _ = lba_onnx.convert(case.model(), SPEC)
    assert op_types(converted) == ["LbaMatMulNBits", "Add"]
    product = lba_onnx.matmul(case.multiplied, case.weights, SPEC).astype(dtype)
    np.testing.assert_array_equal(case.run(converted), product + case.bias)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_zero_points_are_filled_in_beside_g_idx(bits: int):
    case = draw(1, bits=bits, has_g_idx=True)
    assert case.inputs[2] is None
    converted, _ = lba_onnx.convert(case.model(), SPEC)
    (node,) = converted.graph.node
    assert list(node.input) == ["A", "B", "scales", "proj_zero_points", "g_idx"]
    np.testing.assert_array_equal(case.run(converted), lba_onnx.matmul(case.a, case.weights, SPEC))


def test_a_layout_of_cuda_kernels_is_left_with_its_reason():
    model = draw(1).model(weight_prepacked=1)
    converted, report = lba_onnx.convert(model, SPEC)
    assert not report.converted and op_types(converted) == ["MatMulNBits"]
    assert report.entries[0].reason == "its weights have a layout of CUDA kernels (weight_prepacked)"
    converted, report = lba_onnx.convert(draw(1).model(weight_prepacked=0), SPEC)
    assert report.converted and "weight_prepacked" not in {a.name for a in converted.graph.node[0].attribute}


def test_what_is_not_selected_stays_as_it_was():
    model = draw(1, has_bias=True, has_g_idx=True).model()
    selection = lba_onnx.Selection(nodes_to_exclude=["proj"])
    converted, report = lba_onnx.convert(model, SPEC, selection=selection)
    assert not report.converted
    assert converted.graph == model.graph


def test_nodes_are_selected_by_operator_type():
    selection = lba_onnx.Selection(op_types_to_convert=["MatMulNBits"])
    assert len(lba_onnx.convert(draw(1).model(), SPEC, selection=selection)[1].converted) == 1
    selection = lba_onnx.Selection(op_types_to_convert=["MatMul"])
    assert len(lba_onnx.convert(draw(1).model(), SPEC, selection=selection)[1].converted) == 0


@pytest.mark.parametrize("options", [{}, {"has_bias": True}, {"zero_points": "floats", "has_g_idx": True}])
def test_a_portable_model_runs_without_the_library(options):
    case = draw(1, **options)
    portable, _ = lba_onnx.convert(case.model(), SPEC, portable=True)
    np.testing.assert_array_equal(case.run(portable), case.run(lba_onnx.convert(case.model(), SPEC)[0]))
    found, wanted = (as_onnxruntime(model, case.feeds(model)) for model in (portable, case.model()))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2.0**-20 * np.abs(wanted).max())  # a bias is added apart


def test_nodes_in_functions_are_converted():
    case = draw(1, has_bias=True)
    model = case.model()
    inner = copy.deepcopy(model.graph.node[0])
    constants = [
        helper.make_node("Constant", [], [tensor.name], value=tensor)
        for tensor in copy.deepcopy(model.graph.initializer)
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    function = helper.make_function("mine", "Block", ["A"], ["Y"], [*constants, inner], opsets)
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.append(helper.make_node("Block", ["A"], ["Y"], domain="mine"))
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    converted, report = lba_onnx.convert(model, SPEC)
    assert [entry.location for entry in report.converted] == ["function mine:Block"]
    expected = lba_onnx.matmul(case.a, case.weights, SPEC) + case.bias
    np.testing.assert_array_equal(case.run(converted), expected)


def test_results_of_unknown_operators_have_the_type_of_their_scales():
    """onnx infers nothing behind a MatMulNBits; the MatMul behind it has a type all the same."""
    model = draw(1, dtype=np.float16, columns=6).model()
    model.graph.node[0].output[0] = "hidden"
    model.graph.node.append(helper.make_node("MatMul", ["hidden", "w"], ["Y"], "next"))
    model.graph.initializer.append(numpy_helper.from_array(np.ones((6, 2), np.float16), "w"))
    for proto in (model, lba_onnx.convert(model, SPEC, selection=lba_onnx.Selection(nodes_to_exclude=["next"]))[0]):
        assert list_candidates(proto).entries[-1].element_type == "float16"


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("is_flat", [False, True])
@pytest.mark.parametrize("zero_points", ["codes", "floats"])
def test_scales_and_offsets_of_channels_are_folded(zero_points: str, is_flat: bool, dtype):
    """Scales that are powers of two change no other bit: the sums of wide accumulators are scaled exactly."""
    case = draw(1, zero_points=zero_points, columns=6, dtype=dtype)
    if is_flat:
        case = NBits(case.a, (case.inputs[0], case.inputs[1].reshape(-1), *case.inputs[2:]), case.attributes)
    converted, _ = lba_onnx.convert(case.model(), WIDE)
    scale = 2.0 ** (np.arange(6, dtype=np.float32) % 3 - 1)
    offset = np.arange(6, dtype=np.float32)
    changed = copy.deepcopy(converted)
    fold(changed, {"proj": ChannelAffine(scale, offset)})
    assert op_types(changed) == ["Constant", "LbaMatMulNBits", "Add"]
    np.testing.assert_array_equal(case.run(changed), case.run(converted) * scale.astype(dtype) + offset.astype(dtype))
    before, after = (tensors(model)["scales"].reshape(6, -1) for model in (converted, changed))
    np.testing.assert_array_equal(after, before * scale.astype(dtype)[:, np.newaxis])
    assert all(np.array_equal(tensors(converted)[name], tensors(changed)[name]) for name in ("B", "zero_points"))


def test_shared_scales_stay_for_their_other_reader():
    case = draw(1, columns=6)
    model = case.model()
    model.graph.node.append(helper.make_node("ReduceSum", ["scales"], ["total"], keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("total", 1, []))
    converted, _ = lba_onnx.convert(model, WIDE)
    plain = case.run(converted)
    fold(converted, {"proj": ChannelAffine(np.full(6, 2, np.float32), np.zeros(6, np.float32))})
    assert "Mul" in op_types(converted)
    np.testing.assert_array_equal(case.run(converted), 2 * plain)


def test_computed_weights_are_left_to_themselves():
    converted, _ = lba_onnx.convert(draw(1).model(is_dynamic=True), WIDE)
    scalable = find_scalable(converted)
    assert (scalable.nodes, scalable.reasons) == ({}, {"proj": "no constant operand to scale"})


def tensors(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def network() -> onnx.ModelProto:
    """Two layers of floats."""
    rng = np.random.default_rng(0)
    weights = {"w1": rng.standard_normal((48, 64)) / 7, "w2": rng.standard_normal((64, 10)) / 8}
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], "first"),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w2"], ["y"], "second"),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", 1, ["n", 3, 48])],
        [helper.make_tensor_value_info("y", 1, ["n", 3, 10])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def quantized(layout: str, **options) -> onnx.ModelProto:
    """The network as onnxruntime's quantizer makes it, of MatMulNBits ("QOperator") or of DequantizeLinear ("QDQ")."""
    pytest.importorskip("onnx_ir")
    quantizer = pytest.importorskip("onnxruntime.quantization.matmul_nbits_quantizer")
    config = quantizer.DefaultWeightOnlyQuantConfig(
        block_size=16, quant_format=quantizer.QuantFormat[layout], **options
    )
    made = quantizer.MatMulNBitsQuantizer(network(), algo_config=config)
    made.process()
    return made.model.model


SAMPLES = {"x": np.random.default_rng(1).standard_normal((48, 3, 48)).astype(np.float32)}


@pytest.mark.parametrize("accuracy_level", [0, 4])
@pytest.mark.parametrize("is_symmetric", [False, True])
def test_a_quantized_model_is_converted_calibrated_corrected_and_judged(is_symmetric: bool, accuracy_level: int):
    model = quantized("QOperator", is_symmetric=is_symmetric, accuracy_level=accuracy_level)
    assert op_types(model) == ["MatMulNBits", "Relu", "MatMulNBits"]
    wide = lba_onnx.convert(model, WIDE)[0]
    np.testing.assert_allclose(run(wide), as_onnxruntime(model, SAMPLES), rtol=0, atol=1e-4)
    calibration = lba_onnx.calibrate(model, SAMPLES, family="M4E4")
    assert len(calibration.specs) == 2
    converted, report = lba_onnx.convert(model, calibration)
    assert report.summary().startswith("2 of 2 nodes converted")
    corrected, told = lba_onnx.correct(converted, SAMPLES)
    assert told.recipe in ("refit", "refit_rows") and told.gain > 3  # dB, by scales alone
    assert {node.remark for node in told.nodes} == {NOT_MOVED}
    assert "remark" in told.to_json()["nodes"][0]
    for name, before in tensors(converted).items():
        after = tensors(corrected)[name]
        if name.endswith("_scales"):
            factors = (after / before).reshape(len(after), -1)
            assert np.ptp(factors, axis=1).max() < 1e-6 < np.abs(factors - 1).max()  # one for all blocks of a column
        else:
            np.testing.assert_array_equal(after, before)
    errors = [np.square(run(m) - run(wide)).sum() for m in (converted, corrected)]
    assert errors[1] < errors[0] / 2
    assert not lba_onnx.evaluate(corrected, SAMPLES).outputs[0].not_finite


def test_a_quantized_model_is_debugged_compared_and_swept():
    model = quantized("QOperator", is_symmetric=True, accuracy_level=4)
    converted, _ = lba_onnx.convert(model, "M4E4b8")
    diagnosis = lba_onnx.debug(converted, SAMPLES)
    assert [(layer.node, layer.op_type) for layer in diagnosis.layers] == [
        ("first_Q4", "MatMulNBits"),
        ("second_Q4", "MatMulNBits"),
    ]
    assert all(layer.outputs and layer.qdq_err > 0 for layer in diagnosis.layers)
    assert lba_onnx.compare(model, converted, SAMPLES).outputs[0].sqnr_db > 0
    swept = lba_onnx.sweep(model, SAMPLES, families=["M4E4", "M7E4"], calibration_data=SAMPLES)
    small, large = (point.comparison.outputs[0].sqnr_db for point in swept.points)
    assert small < large


def run(model: onnx.ModelProto) -> np.ndarray:
    return lba_onnx.make_session(model).run(None, SAMPLES)[0]


@pytest.mark.parametrize("is_symmetric", [False, True])
def test_products_behind_a_blocked_dequantizer_are_those_of_floats(is_symmetric: bool):
    """Of QDQ, onnxruntime's optimizer makes MatMulNBits of accuracy_level 4: it is kept from that."""
    model = quantized("QDQ", is_symmetric=is_symmetric)
    assert op_types(model) == ["DequantizeLinear", "MatMul", "Relu", "DequantizeLinear", "MatMul"]
    types = {tensor.data_type for tensor in model.graph.initializer}
    assert types & {onnx.TensorProto.INT4, onnx.TensorProto.UINT4}
    converted, report = lba_onnx.convert(model, WIDE)
    assert [entry.op_type for entry in report.converted] == ["MatMul"] * 2
    assert op_types(converted) == ["LbaMatMulNBits", "Relu", "LbaMatMulNBits"]
    wanted = as_onnxruntime(model, SAMPLES, is_optimized=False)
    np.testing.assert_allclose(run(converted), wanted, rtol=0, atol=1e-4)
    same = lba_onnx.convert(quantized("QOperator", is_symmetric=is_symmetric, accuracy_level=0), SPEC)[0]
    np.testing.assert_array_equal(run(lba_onnx.convert(model, SPEC)[0]), run(same))

"""Biases that enter the accumulator first: the attribute bias_start, and the models that convert makes with it."""

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper
from onnx.reference import ReferenceEvaluator
from operator_models import node_model
from same_bits import assert_same_bits
from small_models import images, model, network, tensor

import lba_onnx
from lba_onnx import kernels, make_session, ops, reference
from lba_onnx.arithmetic import as_spec
from lba_onnx.cli import main
from lba_onnx.correction import correct
from lba_onnx.data.batches import Batch
from lba_onnx.diagnosis import debug
from lba_onnx.errors import SelectionError
from lba_onnx.observation.observer import observing_session
from lba_onnx.post_training import convert_with_data
from lba_onnx.rewrite import converted_nodes, list_candidates
from lba_onnx.rewrite.folding import ChannelAffine, fold

TEXT = "M4E4b8/M4E4b6,chunk=5"
TWINS = [ops.LbaMatMul, ops.LbaGemm, ops.LbaConv]
rng = np.random.default_rng(4)


def values(*shape: int, dtype=np.float32) -> np.ndarray:
    return (rng.standard_normal(shape) * 3).astype(dtype)


def outputs(op_type: str, operands: dict[str, np.ndarray], **attributes: object) -> np.ndarray:
    """What onnxruntime makes of a node, held against the twin for onnx's reference evaluator."""
    inputs = {name: (value.dtype, value.shape) for name, value in operands.items()}
    made = node_model(op_type, inputs, {}, {"accumulator": TEXT, "bias_start": 1, **attributes})
    y = make_session(made).run(None, operands)[0]
    twin = ReferenceEvaluator(onnx.load_from_string(made), new_ops=TWINS).run(None, operands)[0]
    assert y.dtype == twin.dtype
    assert_same_bits(y, twin)
    return y


@pytest.mark.parametrize("shape", [(7,), (5, 1), (5, 7), (1, 7), (1,), ()])
@pytest.mark.parametrize("beta", [1.0, 0.3, 0.0])
def test_gemm_starts_from_beta_c(shape, beta):
    operands = {"A": values(33, 5), "B": values(33, 7), "C": np.array(values(*shape))}
    y = outputs("LbaGemm", operands, transA=1, beta=beta)
    start = operands["C"] * np.float32(beta)
    assert_same_bits(y, reference.matmul(operands["A"].T.copy(), operands["B"], TEXT, np.asarray(start)))


def test_gemm_of_float16_and_without_c():
    operands = {"A": values(5, 33, dtype=np.float16), "B": values(33, 7, dtype=np.float16)}
    a, b = (value.astype(np.float32) for value in operands.values())
    assert_same_bits(outputs("LbaGemm", operands), kernels.matmul(a, b, TEXT).astype(np.float16))
    c = values(7, dtype=np.float16)
    expected = kernels.matmul(a, b, TEXT, initial=c.astype(np.float32) * np.float32(0.1))
    assert_same_bits(outputs("LbaGemm", {**operands, "C": c}, beta=0.1), expected.astype(np.float16))


@pytest.mark.parametrize("text", ["kulisch(M7E4b8)", "splitk3(M4E4b8/M4E4b6),sum=M4E4b6"])
def test_exact_sums_and_slices_start_from_the_bias(text):
    proto, x = lba_onnx.convert(network(), text, bias_start=True)[0], images(2)
    y = make_session(proto).run(None, {"x": x})[0]
    assert_same_bits(ReferenceEvaluator(proto, new_ops=TWINS).run(None, {"x": x})[0], y)
    plain = lba_onnx.convert(network(), text)[0]
    assert np.any(make_session(plain).run(None, {"x": x})[0] != y)


@pytest.mark.parametrize("group", [1, 2, 6])
def test_conv_starts_from_its_bias(group):
    operands = {"A": values(2, 6, 9, 8), "B": values(6, 6 // group, 3, 3), "C": values(6) * 5}
    y = outputs("LbaConv", operands, group=group, pads=[1, 1, 0, 0], strides=[1, 2])
    settings = {"group": group, "pads": [1, 1, 0, 0], "strides": [1, 2]}
    start = operands["C"][:, np.newaxis, np.newaxis]
    assert_same_bits(y, reference.conv(operands["A"], operands["B"], TEXT, **settings, initial=start))
    added = kernels.conv(operands["A"], operands["B"], TEXT, **settings) + start
    assert np.any(y != added)
    assert_same_bits(outputs("LbaConv", operands, bias_start=0, **settings), added)


def test_what_makes_no_sense_is_refused():
    shapes = {"A": (np.float32, (2, 3)), "B": (np.float32, (3, 4)), "C": (np.float32, (4,))}
    for attributes, reason in (
        ({"bias_start": 2}, "attribute bias_start: expected 0 or 1, got 2"),
        ({"bias_start": 1, "alpha": 0.5}, "attribute alpha: expected 1 beside bias_start=1, got 0.5"),
    ):
        made = node_model("LbaGemm", shapes, {}, {"accumulator": TEXT, **attributes})
        with pytest.raises(Exception, match=f"node 'node' .*{reason}"):
            make_session(made)
        feeds = {name: values(*shape) for name, (_, shape) in shapes.items()}
        with pytest.raises(ValueError, match=reason):
            ReferenceEvaluator(onnx.load_from_string(made), new_ops=TWINS).run(None, feeds)


def started(portable: bool = False) -> onnx.ModelProto:
    return lba_onnx.convert(network(), TEXT, bias_start=True, portable=portable)[0]


def attributes_of(proto: onnx.ModelProto) -> dict[str, dict[str, object]]:
    return {
        name: {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        for name, node in converted_nodes(proto)
    }


def test_convert_lets_sums_start_where_there_is_a_bias():
    proto = started()
    assert {name: told.get("bias_start") for name, told in attributes_of(proto).items()} == {
        "conv1": 1,
        "depthwise": None,
        "classifier": 1,
    }
    told = {entry.key: entry.value for entry in proto.metadata_props}
    assert json.loads(told["lba_onnx.options"])["bias_start"] is True
    plain, _ = lba_onnx.convert(network(), TEXT)
    assert all("bias_start" not in attributes for attributes in attributes_of(plain).values())
    assert "bias_start" not in {entry.key: entry.value for entry in plain.metadata_props}["lba_onnx.options"]
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    x = images(3)
    h = kernels.conv(x, weights["w1"], TEXT, pads=[1] * 4, initial=weights["b1"][:, np.newaxis, np.newaxis])
    h = kernels.conv(np.maximum(h, 0), weights["w2"], TEXT, strides=[2, 2], pads=[1] * 4, group=8)
    expected = kernels.matmul(h.reshape(3, -1), weights["w3"].T, TEXT, initial=weights["b3"])
    for portable in (False, True):
        made = started(portable)
        assert_same_bits(make_session(made).run(None, {"x": x})[0], expected)
    assert_same_bits(ReferenceEvaluator(proto, new_ops=TWINS).run(None, {"x": x})[0], expected)
    assert [entry.reason for entry in list_candidates(proto)] == ["already converted"] * 3


def test_a_gemm_with_an_alpha_is_left_and_the_ledger_says_why():
    def gemm(name: str, *operands: str, **attributes: float) -> onnx.NodeProto:
        return helper.make_node("Gemm", operands, [f"{name}_y"], name, **attributes)

    nodes = [gemm("scaled", "x", "w", "c", alpha=0.5), gemm("bare", "x", "w", alpha=0.5), gemm("plain", "x", "w", "c")]
    outputs = [tensor(f"{name}_y", 2, 4) for name in ("scaled", "bare", "plain")]
    source = model(nodes, [tensor("x", 2, 3)], outputs, {"w": values(3, 4), "c": values(4)})
    proto, report = lba_onnx.convert(source, TEXT, bias_start=True)
    reason = "its sums cannot start from the bias (bias_start): expected an alpha of 1, got 0.5"
    assert {entry.node: entry.reason for entry in report} == {"scaled": reason, "bare": "", "plain": ""}
    assert [name for name, told in attributes_of(proto).items() if "bias_start" in told] == ["plain"]
    selection = lba_onnx.Selection(nodes_to_convert=["scaled"])
    with pytest.raises(SelectionError, match="'scaled' cannot be converted: its sums cannot start"):
        lba_onnx.convert(source, TEXT, selection=selection, bias_start=True)
    with pytest.raises(SelectionError, match="'scaled' cannot take .*: its sums cannot start"):
        lba_onnx.convert(source, {"scaled": TEXT}, bias_start=True)
    assert len(lba_onnx.convert(source, TEXT)[1].converted) == 3


def test_observers_see_the_start_in_the_sums():
    proto, seen = started(), []
    other = as_spec("M9E5b15/M9E5b15,chunk=3")

    def observer(call):
        assert_same_bits(call.compute(call.spec), call.y)
        for position in range(4):
            part = call.sample(call.products // 5, position)
            assert part.y.size < call.y.size
            assert_same_bits(part.compute(call.spec), part.y)
            assert np.isin(part.compute(other), call.compute(other)).all()
        seen.append(call.node)

    with observing_session(proto, observer) as observing:
        observing.run(Batch({"x": images(6)}, 6, None, None, "the test"))
    assert seen == ["conv1", "depthwise", "classifier"]


def test_tools_take_such_models():
    proto, x = started(), images(32)
    assert lba_onnx.evaluate(proto, x).samples == 32
    assert lba_onnx.compare(network(), proto, x).outputs[0].sqnr_db > 3
    for given in (None, network()):
        found = debug(proto, x, reference=given)
        assert {layer.node for layer in found.layers} == {"conv1", "depthwise", "classifier"}
    result = convert_with_data(network(), x, TEXT, bias_start=True)
    assert attributes_of(result.model)["conv1"]["bias_start"] == 1


def test_correction_folds_into_biases_that_sums_start_from():
    """Scales reach the bias, which is among what the sums add; exact where nothing is lost."""
    wide = lba_onnx.convert(network(), "M22E7b63/M22E7b63", bias_start=True)[0]
    folded = onnx.ModelProto()
    folded.CopyFrom(wide)
    scale, offset = np.full(8, 2, np.float32), np.arange(8, dtype=np.float32)
    fold(folded, {"conv1": ChannelAffine(scale, offset)})
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in network().graph.initializer}
    for proto, b in ((wide, weights["b1"]), (folded, weights["b1"] * 2 + offset)):
        node = next(node for node in proto.graph.node if node.name == "conv1")
        found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
        np.testing.assert_array_equal(found[node.input[2]], b)
    corrected, report = correct(started(), images(64))
    assert report.scores[report.recipe] >= report.scores["none"]
    assert attributes_of(corrected)["conv1"]["bias_start"] == 1


def test_the_command_line_takes_the_option(tmp_path):
    onnx.save(network(), tmp_path / "model.onnx")
    arguments = ["convert", "-i", tmp_path / "model.onnx", "-o", tmp_path / "out.onnx", "--spec", TEXT, "--bias_start"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert attributes_of(onnx.load(tmp_path / "out.onnx"))["classifier"]["bias_start"] == 1


def raised(size: float) -> onnx.ModelProto:
    proto = network()
    bias = next(tensor for tensor in proto.graph.initializer if tensor.name == "b3")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(10, size, np.float32), "b3"))
    return proto


@pytest.mark.parametrize("method", ["max", "mse"])
def test_calibrate_sees_the_bias_that_sums_start_from(method):
    source, data = raised(3e4), {"x": images(16)}
    plain = lba_onnx.calibrate(source, data, "M7E4", method)
    found = lba_onnx.calibrate(source, data, "M7E4", method, bias_start=True)
    largest = {name: at.nodes["classifier"].range.max_abs_sum for name, at in (("plain", plain), ("found", found))}
    assert largest["found"] > 2.9e4 and largest["plain"] < 1e3
    tops = [at.nodes["classifier"].spec.ranges[1].max_exponent for at in (plain, found)]
    assert tops[1] >= 14 > tops[0]
    converted = convert_with_data(source, data, "M7E4", method=method, bias_start=True, with_correction=False)
    assert converted.conversion.specs["classifier"].ranges[1].max_exponent >= 14


def test_sweep_measures_what_convert_makes(tmp_path):
    source, data = raised(40.0), {"x": images(24)}
    settings = {"families": "M5E4", "biases": (8,)}
    swept, plain = (lba_onnx.sweep(source, data, **settings, bias_start=is_so).points[0] for is_so in (True, False))
    made, _ = lba_onnx.convert(source, "M5E4b8", bias_start=True)
    expected = lba_onnx.compare(source, made, data)
    assert swept.comparison.outputs[0].sqnr_db == expected.outputs[0].sqnr_db != plain.comparison.outputs[0].sqnr_db
    np.savez(tmp_path / "x.npz", **data)
    onnx.save(source, tmp_path / "m.onnx")
    files = ["-i", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "s.json"), "--data_path", str(tmp_path / "x.npz")]
    done = CliRunner().invoke(main, ["sweep", *files, "--families", "M5E4", "--biases", "8", "--bias_start", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["points"] == [swept.to_json()]

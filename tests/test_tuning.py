"""Tuning by gradient: it helps on samples that it has not seen, never harms, and changes weights and biases alone."""

import sys

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper
from small_models import branching_model, function_model, images, loop_model, model, network, tensor

import lba_onnx
from benchmarks.results import measure_model
from lba_onnx import Samples, Tuning, correct
from lba_onnx.cli import main
from lba_onnx.correction.reference import widened
from lba_onnx.errors import LbaError, ModelError
from lba_onnx.rewrite.folding import ChannelAffine, as_operand, find_scalable, fold
from lba_onnx.rewrite.model_files import OpenModel, open_model
from lba_onnx.session import make_session
from models.zoo import Likeness, ZooModel

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.torch

from lba_onnx.torch.tuning.program import Change, Program  # noqa: E402
from lba_onnx.torch.tuning.tuner import _Layer  # noqa: E402

FEW = Tuning(epochs=3, learning_rate=0.005)
SPEC = "M3E5b16"


def converted(proto: onnx.ModelProto, spec: str = SPEC, **settings) -> onnx.ModelProto:
    return lba_onnx.convert(proto, spec, **settings)[0]


def layouts() -> onnx.ModelProto:
    """Products whose constant operand lies in every way: left and right, transposed, a vector, a stack of one."""
    random = np.random.default_rng(3)
    nodes = [
        helper.make_node("MatMul", ["x", "right"], ["h1"], "right"),
        helper.make_node("Gemm", ["h1", "plain", "c"], ["h2"], "plain", alpha=0.5, beta=2.0),
        helper.make_node("Gemm", ["h2", "swapped"], ["h3"], "swapped", transB=1, alpha=2.0),
        helper.make_node("Transpose", ["h3"], ["t3"], "transpose", perm=[1, 0]),
        helper.make_node("MatMul", ["left", "t3"], ["h4"], "left"),
        helper.make_node("Gemm", ["first", "h4"], ["h5"], "first", transA=1),
        helper.make_node("Relu", ["h5"], ["y1"], "relu"),
        helper.make_node("MatMul", ["h3", "vector"], ["y2"], "vector"),
        helper.make_node("MatMul", ["h1", "stack"], ["y3"], "stack"),
    ]
    shapes = {"right": (8, 6), "plain": (6, 5), "c": (5,), "swapped": (7, 5), "left": (4, 7), "first": (4, 3)}
    shapes |= {"vector": (7,), "stack": (1, 6, 2)}
    weights = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    outputs = [tensor("y1", 3, "batch"), tensor("y2", "batch"), tensor("y3", 1, "batch", 2)]
    return model(nodes, [tensor("x", "batch", 8)], outputs, weights)


LAYOUTS = pytest.mark.parametrize(("made", "starts"), [(network, False), (layouts, False), (network, True)])


@LAYOUTS
def test_products_are_those_of_the_accumulators(made, starts):
    proto = converted(made(), bias_start=starts)
    x = images(4) if made is network else np.random.default_rng(1).standard_normal((4, 8)).astype(np.float32)
    names = [output.name for output in proto.graph.output]
    found = Program(open_model(proto), accumulates=True).run({"x": x}, names)
    for name, expected in zip(names, make_session(proto).run(None, {"x": x}), strict=True):
        assert np.array_equal(found[name].numpy(), expected), name


@LAYOUTS
def test_what_is_tuned_is_what_is_folded(made, starts):
    """Weights and offsets that a layer gets in PyTorch, in every layout, are those that the model gets."""
    proto = widened(converted(made(), bias_start=starts))
    x = images(4) if made is network else np.random.default_rng(1).standard_normal((4, 8)).astype(np.float32)
    names = [output.name for output in proto.graph.output]
    program, random = Program(open_model(proto), accumulates=False), np.random.default_rng(2)
    changes, affines = {}, {}
    for name, node in find_scalable(proto).nodes.items():
        layer = _Layer(node, program.operand(name, node.operand))
        layer._deviation = 1.0
        with torch.no_grad():
            for parameter in layer.parameters:
                parameter += torch.from_numpy(random.standard_normal(parameter.shape).astype(np.float32))
        changes[name], tuned = layer.change, layer.tuned
        assert isinstance(changes[name], Change)
        affines[name] = ChannelAffine(np.ones_like(tuned.offset), tuned.offset, tuned.weights)
    assert len(changes) == len(find_scalable(proto).nodes) == (3 if made is network else 7)
    found = program.run({"x": x}, names, changes)
    fold(proto, affines)
    for name, expected in zip(names, make_session(proto).run(None, {"x": x}), strict=True):
        assert np.allclose(found[name].detach().numpy(), expected, rtol=1e-4, atol=1e-3), name


def test_tuning_helps_on_samples_that_it_has_not_seen():
    plain = converted(network())
    tuned, report = correct(plain, Samples(images(192), max_samples=192, batch_size=32), recipes=["chain"], tune=FEW)
    assert report.recipe == "chain+tune"
    assert report.scores.keys() == report.scores_on_all.keys() == {"none", "chain", "chain+tune"}
    assert report.scores["chain+tune"] > report.scores["chain"] + 0.5
    assert report.samples + report.held_out_samples + report.reported_samples == 192
    assert report.reported_samples > 24 and report.held_out_samples > 32
    assert report.reported_scores["chain+tune"] > report.reported_scores["chain"] > report.reported_scores["none"]
    assert "seen by neither: none" in report.summary()
    assert report.to_json()["reported_scores"].keys() == report.scores.keys()
    others = lba_onnx.compare(network(), tuned, images(64, seed=9)).outputs[0].sqnr_db
    assert others == pytest.approx(report.reported_scores["chain+tune"], abs=1.5)
    kinds = [[node.op_type for node in proto.graph.node if node.op_type != "Constant"] for proto in (plain, tuned)]
    assert kinds[0] == kinds[1]  # the depthwise convolution gets a bias, a Constant
    names = [{constant.name for constant in proto.graph.initializer} for proto in (plain, tuned)]
    assert names[0] == names[1]
    assert tuned.graph.input == plain.graph.input and tuned.graph.output == plain.graph.output


def test_results_are_measured_tuned_where_that_is_asked_for(tmp_path, monkeypatch):
    def corrected(model, samples, *, tune):
        return correct(model, samples, recipes=["chain"], tune=tune)

    monkeypatch.setattr(lba_onnx, "correct", corrected)
    onnx.save(network(), tmp_path / "network.onnx")
    likeness = Likeness("nearness", lambda found, float32: -np.abs(found["y"] - float32["y"]).mean(axis=1), True)
    measured = ZooModel("small", tmp_path / "network.onnx", images(192), images(64, seed=9), None, likeness)
    rows = list(measure_model(measured, ["M3E5"], ["max"], FEW))
    assert [(row["variant"], row["recipe"]) for row in rows] == [
        ("plain", None),
        ("corrected", "chain"),
        ("tuned", "chain+tune"),
    ]
    assert rows[0]["likeness"] < rows[1]["likeness"] < rows[2]["likeness"]


def test_biases_that_sums_start_from_are_tuned():
    plain, data = converted(network(), bias_start=True), Samples(images(64), max_samples=64, batch_size=32)
    _, report = correct(plain, data, recipes=["scale"], tune=Tuning(3, 0.005, "recursive_overflow"))
    assert report.scores["scale+tune"] > report.scores["scale"]


def test_tuning_that_harms_is_not_taken():
    plain = converted(network())
    found, report = correct(plain, images(16), recipes=["scale"], tune=Tuning(epochs=2, learning_rate=100.0))
    assert report.scores["scale+tune"] < report.scores["scale"]
    assert report.recipe == "scale"
    assert lba_onnx.compare(network(), found, images(16)).outputs[0].sqnr_db > report.scores["none"]


def test_the_same_call_gives_the_same_model():
    plain, data = converted(network()), images(16)
    first, second = (correct(plain, data, recipes=["chain"], tune=Tuning(2))[0] for _ in range(2))
    assert first.graph == second.graph


def unknown_operator() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], "layer"),
        helper.make_node("CumSum", ["h", "axis"], ["y"], "running_sum"),
    ]
    weights = {"w": np.eye(4, dtype=np.float32), "axis": np.array(1)}
    return model(nodes, [tensor("x", "batch", 4)], [tensor("y", "batch", 4)], weights)


@pytest.mark.parametrize(
    ("proto", "size", "message"),
    [
        (unknown_operator(), 4, "node 'running_sum': expected an operator with a gradient here, got CumSum"),
        (branching_model(), 2, "_matmul': expected nodes of the main graph, got one of a subgraph"),
        (function_model(), 2, "expected nodes of the main graph, got one of a subgraph or function"),
        (loop_model(2), 2, "node 'loop_matmul': expected nodes of the main graph"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_any_work(proto, size, message, monkeypatch):
    def never(*_, **__):
        raise AssertionError("a recipe was tried")

    monkeypatch.setattr("lba_onnx.correction.correcting.correct_in_sequence", never)
    data = [{"x": row} for row in np.ones((8, 1, size), np.float32)]
    with pytest.raises(ModelError, match=message):
        correct(converted(proto), data, tune=FEW)


def test_without_pytorch_the_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("lba_onnx.torch.tuning")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(LbaError, match=r"tuning needs: pip install 'lba-onnx\[torch\]'"):
        correct(converted(network()), images(8), tune=FEW)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"learning_rate": 0.0}, "expected a learning_rate above 0, got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"estimator": "newton"}, "newton"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        Tuning(**settings)


def test_the_command_tunes(tmp_path):
    onnx.save(network(), tmp_path / "model.onnx")
    np.savez(tmp_path / "samples.npz", x=images(40))
    arguments = ["convert", "-i", str(tmp_path / "model.onnx"), "-o", str(tmp_path / "lba.onnx"), "--spec", SPEC]
    arguments += ["--calibration_data_path", str(tmp_path / "samples.npz")]
    result = CliRunner().invoke(main, [*arguments, "--effort", "quick", "--tune", "--tune_epochs", "2"])
    assert result.exit_code == 0, result.output
    assert "+tune" in result.output and "seen by neither" in result.output
    for further, message in (
        (["--tune_epochs", "2"], "--tune_epochs takes --tune"),
        (["--no_correct", "--tune"], "--tune is of no effect with --no_correct"),
    ):
        result = CliRunner().invoke(main, [*arguments, *further])
        assert result.exit_code == 1 and message in result.output


def test_operands_are_as_kernels_see_them():
    nodes = find_scalable(converted(layouts())).nodes
    program = Program(OpenModel(converted(layouts()), None), accumulates=False)
    shapes = {name: as_operand(node, program.operand(name, node.operand).numpy()).shape for name, node in nodes.items()}
    expected = {"right": (8, 6), "plain": (6, 5), "swapped": (5, 7), "left": (4, 7), "first": (3, 4)}
    assert shapes == expected | {"vector": (7, 1), "stack": (6, 2)}

"""Two models on the same data: figures equal those of all outputs at once, and parts add up to the whole."""

import hashlib
import json
import math
import pickle

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper
from small_models import images, matmul_model, model, network, tensor

from lba_onnx import Execution, Samples
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.cli import main
from lba_onnx.data.batches import read_batches
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.errors import DataError, ModelError
from lba_onnx.evaluation import PairedDifference, Proportion, compare, evaluate
from lba_onnx.evaluation.class_outputs import find_class_outputs
from lba_onnx.evaluation.evaluating import Measured, gather_comparison
from lba_onnx.evaluation.evaluation_result import OutputComparison
from lba_onnx.evaluation.figures import ComparisonFigures
from lba_onnx.evaluation.intervals import mean_interval, paired_interval
from lba_onnx.rewrite import convert
from lba_onnx.session import make_session


def one_hot_model(batch: int | str = "batch") -> onnx.ModelProto:
    return matmul_model(np.eye(7, dtype=np.float32), batch)


def noisy_model(seed: int = 3, noise: float = 0.5) -> onnx.ModelProto:
    weights = np.eye(7) + noise * np.random.default_rng(seed).standard_normal((7, 7))
    return matmul_model(weights.astype(np.float32))


def scores(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 7)).astype(np.float32)


def labelled(count: int) -> dict[str, np.ndarray]:
    return {"x": scores(count), "label": np.random.default_rng(1).integers(0, 7, count)}


def largest_score(outputs, labels):
    return outputs["y"].max(axis=1)


def is_right(outputs, labels):
    return outputs["y"].argmax(axis=1) == labels


def test_likeness_is_that_of_all_outputs():
    data = {"x": images(20), "label": np.zeros(20, np.int64)}
    converted, _ = convert(network(), AccumulatorSpec.parse("M7E4b10"))
    result = compare(network(), converted, Samples(data, batch_size=6))
    expected = make_session(network()).run(None, {"x": data["x"]})[0].astype(np.float64)
    got = make_session(converted).run(None, {"x": data["x"]})[0].astype(np.float64)
    (output,) = result.outputs
    assert output.name == "y"
    assert output.max_abs_difference == pytest.approx(np.abs(got - expected).max(), rel=1e-4)
    noise = np.square(got - expected).sum()
    assert output.sqnr_db == pytest.approx(10 * np.log10(np.square(expected).sum() / noise), abs=1e-3)
    cosines = (got * expected).sum(axis=1) / np.linalg.norm(got, axis=1) / np.linalg.norm(expected, axis=1)
    assert output.mean_cosine == pytest.approx(cosines.mean(), abs=1e-6)
    assert result.agreement == Proportion(int((got.argmax(axis=1) == expected.argmax(axis=1)).sum()), 20)
    assert result.reference.top1 == Proportion(int((expected.argmax(axis=1) == 0).sum()), 20)


def test_each_model_has_the_figures_that_it_has_alone():
    data = labelled(50)
    result = compare(one_hot_model(), noisy_model(), data, metric=largest_score)
    assert result.reference == evaluate(one_hot_model(), data, metric=largest_score)
    assert result.candidate == evaluate(noisy_model(), data, metric=largest_score)
    assert result.samples == 50


def test_accuracies_are_paired():
    data = labelled(60)
    result = compare(one_hot_model(), noisy_model(), Samples(data, batch_size=7))
    got = make_session(noisy_model()).run(None, {"x": data["x"]})[0]
    for k, difference in ((1, result.top1_difference), (5, result.top5_difference)):
        first, second = (
            (np.argsort(-y, axis=1)[:, :k] == data["label"][:, None]).any(axis=1) for y in (data["x"], got)
        )
        counts = ((first & second).sum(), (first & ~second).sum(), (~first & second).sum(), (~first & ~second).sum())
        assert difference == PairedDifference(*map(int, counts))
        assert difference.points == pytest.approx(100 * (second.mean() - first.mean()))
        low, high = paired_interval(counts[0], counts[2], counts[1], counts[3])
        assert difference.interval == pytest.approx((100 * low, 100 * high))
    assert result.top1_difference.only_reference > 0 and result.top1_difference.only_candidate > 0


@pytest.mark.parametrize(
    ("counts", "is_significant"),
    [((930, 0, 2, 68), False), ((920, 10, 12, 58), False), ((900, 31, 10, 59), True), ((900, 0, 0, 100), False)],
)
def test_a_difference_is_a_finding_only_where_its_interval_excludes_0(counts, is_significant):
    difference = PairedDifference(*counts)
    assert difference.is_significant == is_significant
    assert (difference.interval[0] <= 0 <= difference.interval[1]) != is_significant


def test_metric_differences_are_paired():
    data = labelled(40)
    result = compare(one_hot_model(), noisy_model(), Samples(data, batch_size=9), metric=largest_score)
    got = make_session(noisy_model()).run(None, {"x": data["x"]})[0].astype(np.float64)
    differences = got.max(axis=1) - data["x"].max(axis=1)
    assert result.metric_difference.mean == pytest.approx(differences.mean(), rel=1e-6)
    expected = mean_interval(differences.mean(), differences.var(ddof=1), 40)
    assert result.metric_difference.interval == pytest.approx(expected, rel=1e-6)


def test_metric_of_truths_is_paired_as_accuracies_are():
    result = compare(one_hot_model(), noisy_model(), labelled(60), metric=is_right)
    low, high = result.top1_difference.interval
    assert result.metric_difference.interval == pytest.approx((low / 100, high / 100))
    assert result.metric_difference.mean == pytest.approx(result.top1_difference.points / 100)


def test_model_is_like_itself():
    result = compare(network(), network(), {"x": images(5)}, metric=largest_score)
    assert result.agreement == Proportion(5, 5)
    assert result.outputs[0].max_abs_difference == 0
    assert result.reference.top1 is None
    assert result.top1_difference is None
    assert result.metric_difference.mean == 0
    assert not result.metric_difference.is_significant


def test_filling_of_a_fixed_batch_does_not_count():
    x = scores(5)
    silent = matmul_model(np.diag([0, 1, 1, 1, 1, 1, 1]).astype(np.float32), 4)
    result = compare(one_hot_model(4), silent, {"x": x})
    assert result.samples == 5
    expected = 10 * np.log10(np.square(x).sum() / np.square(x[:, 0]).sum())
    assert result.outputs[0].sqnr_db == pytest.approx(expected, rel=1e-5)


def test_converted_at_a_wide_format_agrees_with_float32():
    converted, _ = convert(network(), AccumulatorSpec.parse("M22E7b63/M22E7b63"))
    assert compare(network(), converted, {"x": images(8)}).outputs[0].sqnr_db > 100


def test_nan_of_the_candidate_is_shown():
    broken = matmul_model(np.full((7, 7), np.nan, np.float32))
    result = compare(one_hot_model(), broken, labelled(6), metric=largest_score)
    assert result.candidate.top1.hits == 0
    assert result.agreement.hits == 0
    assert math.isnan(result.outputs[0].max_abs_difference)
    assert math.isnan(result.metric_difference.mean) and not result.metric_difference.is_significant
    value = json.loads(json.dumps(result.to_json(), allow_nan=False))
    (output,) = value["outputs"]
    assert {name for name, figure in output.items() if figure is None} == {
        *("mean_cosine", "cosine_interval", "sqnr_db", "sqnr_interval_db", "max_abs_difference")
    }
    assert (output["equal"]["hits"], output["agreement"]["hits"]) == (0, 0)


def test_json_has_null_for_what_json_cannot_hold():
    value = OutputComparison("y", math.nan, math.inf, 0.0, True, Proportion(0, 2)).to_json()
    assert (value["mean_cosine"], value["sqnr_db"], value["max_abs_difference"]) == (None, None, 0.0)


@pytest.mark.parametrize("metric", [None, largest_score, is_right])
def test_figures_of_shards_merge_to_those_of_one_pass(metric):
    sessions = make_session(one_hot_model()), make_session(noisy_model())
    batches = list(read_batches(Samples(labelled(97), batch_size=8), describe_inputs(sessions[0])))
    classes = find_class_outputs(one_hot_model())
    whole = gather_comparison(*sessions, batches, Measured(classes, metric))
    shards = [gather_comparison(*sessions, batches[start::3], Measured(classes, metric)) for start in range(3)]
    shards = [pickle.loads(pickle.dumps(shard)) for shard in shards]  # as between processes
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        merged = ComparisonFigures(whole.reference.metric_name)
        for index in order:
            merged.merge(shards[index])
        assert merged.samples == 97
        assert merged.result() == whole.result()  # to the last bit
        assert vars(merged.candidate).keys() == vars(whole.candidate).keys()


def test_progress_counts_samples():
    calls = []
    compare(
        one_hot_model(),
        noisy_model(),
        Samples({"x": scores(10)}, batch_size=4),
        execution=Execution(progress=lambda *c: calls.append(c)),
    )
    assert calls == [(4, 10), (8, 10), (10, 10)]


def test_candidate_with_other_names_is_refused():
    other = model([helper.make_node("Relu", ["z"], ["y"])], [tensor("z", "batch", 7)], [tensor("y", "batch", 7)])
    with pytest.raises(ModelError, match="expected the inputs of the reference, z, got x"):
        compare(other, one_hot_model(), {"x": scores(3)})


def test_candidate_with_other_shapes_is_refused():
    other = matmul_model(np.ones((7, 3), np.float32))
    with pytest.raises(ModelError, match="output y: expected the reference's shape"):
        compare(other, one_hot_model(), {"x": scores(3)})


@pytest.mark.parametrize("name", ["reference", "candidate"])
def test_the_model_that_does_not_take_the_data_is_named(name):
    # A fixed size that only shows when the model runs.
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"], "reshape")]
    constants = {"shape": np.array([2, 7], np.int64)}
    broken = model(nodes, [tensor("x", "batch", 7)], [tensor("y", "batch", 7)], constants)
    models = {"reference": one_hot_model(), "candidate": one_hot_model(), name: broken}
    with pytest.raises(DataError, match=f"sample 0: the {name} does not run on these data"):
        compare(**models, data={"x": scores(3)})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    onnx.save(one_hot_model(), tmp_path / "model.onnx")
    onnx.save(noisy_model(noise=0.01), tmp_path / "near.onnx")
    onnx.save(matmul_model(np.eye(7, dtype=np.float32)[::-1].copy()), tmp_path / "far.onnx")
    x = scores(200)
    np.savez(tmp_path / "data.npz", x=x, label=x.argmax(axis=1))
    np.savez(tmp_path / "unlabelled.npz", x=x)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(main, ["compare", "-r", "model.onnx", *arguments])


def stated_hash(model: onnx.ModelProto) -> str:
    """The SHA-256 of the model without values of tensors, then of these."""
    values = [initializer.raw_data for initializer in model.graph.initializer]
    for initializer in model.graph.initializer:
        initializer.ClearField("raw_data")
    return hashlib.sha256(model.SerializeToString(deterministic=True) + b"".join(values)).hexdigest()


def test_command_prints_the_comparison_as_json(folder):
    result = run("-i", "far.onnx", "--data_path", "data.npz", "--json")
    assert result.exit_code == 0, result.output
    expected = compare(folder / "model.onnx", folder / "far.onnx", folder / "data.npz").to_json()
    hashes = {
        f"{name}_sha256": stated_hash(onnx.load(folder / file))
        for name, file in (("model", "far.onnx"), ("reference", "model.onnx"))
    }
    assert json.loads(result.stdout) == json.loads(json.dumps({**expected, **hashes}))


@pytest.mark.parametrize(("candidate", "finding"), [("near", "no difference shown"), ("far", "candidate worse")])
def test_command_says_whether_a_difference_was_found(folder, candidate, finding):
    result = run("--candidate_path", f"{candidate}.onnx", "--data_path", "data.npz")
    assert result.exit_code == 0, result.output
    (line,) = (line for line in result.stdout.splitlines() if "top-1 %" in line)
    assert finding in line
    assert "SQNR" in result.stdout and "only the candidate on" in result.stdout


def test_command_without_labels_shows_likeness_alone(folder):
    result = run("-i", "near.onnx", "--data_path", "unlabelled.npz")
    assert result.exit_code == 0, result.output
    assert "same top-1 in both" in result.stdout
    assert "no difference shown" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-i", "missing.onnx", "--data_path", "data.npz"], "missing.onnx"),
        (["-i", "near.onnx", "--data_path", "missing.npz"], "missing.npz"),
        (["-i", "near.onnx"], "--data_path"),
        (["--data_path", "data.npz"], "--candidate_path"),
        (["-i", "near.onnx", "--data_path", "data.npz", "--metric", "nowhere:f"], "cannot import nowhere"),
        (["-i", "near.onnx", "--data_path", "data.npz", "--labels_path", "data.npz"], "data.npz"),
    ],
)
def test_command_errors_are_one_line(folder, arguments, words):
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ") and words in line

"""The methods beyond plain ranges: what they choose, what they refuse, and what they say of it."""

import itertools
import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import images, matmul_model, network, tensor
from small_models import model as make_model

from lba_onnx import Samples, Selection, native
from lba_onnx.arithmetic import Exponents, as_spec, parse_family
from lba_onnx.calibration import Calibration, calibrate
from lba_onnx.calibration.candidate_errors import least_errors
from lba_onnx.calibration.methods import OF_FLOATS, Mse, ZeroShot
from lba_onnx.calibration.methods.max import fit_max
from lba_onnx.calibration.scores import Scores
from lba_onnx.calibration.session_subject import SessionSubject
from lba_onnx.calibration.settings import Settings
from lba_onnx.calibration.trial_model import TrialModel
from lba_onnx.data.batches import read_batches
from lba_onnx.data.inputs import ModelInput
from lba_onnx.evaluation.judge import Judge
from lba_onnx.rewrite import convert
from lba_onnx.session import make_session

M4E3 = parse_family("M4E3")
WIDE = as_spec("M22E7b63/M22E7b63")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def image_batches(count: int):
    return list(read_batches(Samples({"x": images(count)}), (ModelInput("x", "float32", (None, 1, 8, 8)),)))


@pytest.mark.parametrize("method", OF_FLOATS.values())
@pytest.mark.parametrize("settings", [{}, {"is_tied": True}, {"granularity": "model"}])
def test_every_method_gives_specs_of_the_family(method, settings):
    result = calibrate(network(), {"x": images(24)}, "M5E3", method(**settings))
    assert {str(spec)[:4] for spec in result.specs.values()} == {"M5E3"}
    assert (result.verdict is not None) == (method in (Mse, ZeroShot))
    if "granularity" in settings:
        assert len(set(result.specs.values())) == 1
    for spec in result.specs.values():
        product, accumulator = spec.product_format.exponent_bias, spec.accumulator_format.exponent_bias
        assert not result.tied or product == accumulator + 2


@pytest.mark.parametrize("method", OF_FLOATS)
def test_results_are_the_same_each_time_and_survive_the_file(tmp_path, method):
    result = calibrate(network(), {"x": images(24)}, "M4E3", method)
    assert calibrate(network(), {"x": images(24)}, "M4E3", method) == result
    result.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == result


def subject(wide: onnx.ModelProto) -> SessionSubject:
    return SessionSubject(wide, TrialModel(wide, (), None), None, ["CPUExecutionProvider"])


def brute_force(x: np.ndarray, w: np.ndarray, settings: Settings, start: Exponents) -> Exponents:
    """The pair of exponents with the least error of a whole product, columns weighted as docs/calibration.md says."""
    exact = native.matmul(x[None], w[None], WIDE, 1)[0].astype(np.float64)
    square = np.mean(np.square(exact), axis=0)
    errors = {}
    for accumulator, product in itertools.product((2, 1, 0, -1, -2, -3), repeat=2):
        moved = start.moved(product, accumulator)
        y = native.matmul(x[None], w[None], settings.family.with_exponents(moved), 1)[0]
        errors[moved] = np.mean(np.mean(np.square(y - exact), axis=0) / (square + square.mean()))
    return min(errors, key=errors.__getitem__)


def test_mse_finds_the_least_error_of_a_small_layer(monkeypatch):
    monkeypatch.setattr("lba_onnx.calibration.candidate_errors._ALLOWANCE", 1e6)  # whole calls, not parts of them
    x, w = normal(24, 48), normal(48, 6, seed=1)
    settings = Settings(M4E3)
    batches = list(read_batches(Samples({"x": x}, batch_size=24), (ModelInput("x", "float32", (None, 48)),)))
    ranges = calibrate(matmul_model(w), {"x": x}, "M4E3").nodes
    start = fit_max({"matmul": ranges["matmul"].range}, settings)
    wide = convert(matmul_model(w), WIDE)[0]
    found = least_errors(subject(wide), batches, start, settings, None)
    assert found["matmul"] == brute_force(x, w, settings, start["matmul"])


def test_mse_keeps_the_start_of_a_node_that_does_not_run():
    settings = Settings(M4E3)
    start = {"conv1": Exponents(1, 2), "elsewhere": Exponents(3, 4)}
    wide = convert(network(), WIDE, selection=Selection(nodes_to_convert=["conv1"]))[0]
    found = least_errors(subject(wide), image_batches(4), start, settings, None)
    assert found["elsewhere"] == Exponents(3, 4)


def test_mse_is_left_for_plain_ranges_where_these_do_better(monkeypatch):
    monkeypatch.setattr(
        "lba_onnx.calibration.methods.mse.least_errors",
        lambda model, batches, start, *_: {name: e.moved(-9, -9) for name, e in start.items()},
    )
    result = calibrate(network(), {"x": images(24)}, "M7E4", "mse")
    assert result.verdict.chosen != "mse"
    assert result.verdict.scores["mse"] < result.verdict.scores[result.verdict.chosen]
    assert result.specs == calibrate(network(), {"x": images(24)}, "M7E4", result.verdict.chosen).specs


def test_judged_samples_are_not_those_fitted_to(monkeypatch):
    fitted, judged = [], []
    monkeypatch.setattr(
        "lba_onnx.calibration.methods.mse.least_errors",
        lambda model, batches, start, *_: (fitted.extend(b.feeds["x"] for b in batches), start)[1],
    )

    def judge(reference, batches, **settings):
        judged.extend(batch.feeds["x"] for batch in batches)
        return Judge(reference, batches, **settings)

    monkeypatch.setattr("lba_onnx.calibration.session_subject.Judge", judge)
    result = calibrate(network(), {"x": images(40)}, "M7E4", "mse")
    fitted_samples, judged_samples = ({row.tobytes() for row in np.concatenate(part)} for part in (fitted, judged))
    assert len(fitted_samples) + len(judged_samples) == 40 and not fitted_samples & judged_samples
    assert result.verdict.samples == len(judged_samples) and not result.verdict.is_shared


def test_one_sample_is_fitted_to_and_judged_by():
    assert calibrate(network(), {"x": images(1)}, "M7E4", "mse").verdict.is_shared


def bowl(best: dict[str, Exponents]):
    """Scores a choice by its distance to the best one."""
    return lambda choice: -float(np.abs(np.array([choice[name] for name in best]) - list(best.values())).sum())


def ranges_of_network():
    return {name: node.range for name, node in calibrate(network(), {"x": images(8)}).nodes.items()}


def test_search_climbs_to_the_best_common_offset():
    ranges = ranges_of_network()
    settings = Settings(M4E3, "model")
    best = {name: e.moved(-2, 3) for name, e in fit_max(ranges, settings).items()}
    scores = Scores(bowl(best), settings)
    ZeroShot(evaluations=40).search(ranges, settings, scores)
    assert scores.best == best


def test_search_of_layers_finds_what_no_common_offset_is():
    ranges = ranges_of_network()
    settings = Settings(M4E3)
    best = {name: e.moved(i - 1, 1 - i) for i, (name, e) in enumerate(fit_max(ranges, settings).items())}
    scores = Scores(bowl(best), settings)
    ZeroShot(layer_evaluations=200).search(ranges, settings, scores)
    assert scores.best == best


@pytest.mark.parametrize(("evaluations", "layer_evaluations"), [(1, 0), (3, 0), (5, 4), (12, 30)])
def test_search_keeps_to_its_budget(evaluations, layer_evaluations):
    ranges = ranges_of_network()
    settings = Settings(M4E3)
    counter = itertools.count()
    scores = Scores(lambda choice: float(next(counter)), settings)  # ever better
    ZeroShot(evaluations=evaluations, layer_evaluations=layer_evaluations).search(ranges, settings, scores)
    assert scores.evaluations == next(counter) == evaluations + layer_evaluations


def test_search_never_ends_below_max():
    result = calibrate(network(), {"x": images(40)}, "M3E3", ZeroShot(layer_evaluations=10))
    scores = result.verdict.scores
    assert scores["zero_shot"] >= scores["max"] and result.verdict.evaluations <= 20 + 10 + 1
    judge = Judge(network(), image_batches(40))
    assert judge.score(convert(network(), result.specs)[0]) == pytest.approx(scores["zero_shot"])


def test_users_metric_decides():
    def wanted(outputs, labels):
        return np.full(len(outputs["y"]), -np.abs(outputs["y"]).max())  # the smaller the output, the better

    result = calibrate(network(), {"x": images(16)}, "M4E3", "zero_shot", metric=wanted)
    assert result.verdict.unit.endswith("wanted")
    largest = np.abs(judged_output(convert(network(), result.specs)[0])).max()
    assert largest < np.abs(judged_output(network())).max() / 2


def judged_output(model) -> np.ndarray:
    return make_session(model).run(None, {"x": images(16)})[0]


def test_rates_are_those_of_the_formats_chosen():
    x, w = normal(64, 32), normal(32, 5, seed=1)
    result = calibrate(matmul_model(w), Samples({"x": x}, batch_size=1), "M4E3")  # one row of each run is sampled: all
    node = result.nodes["matmul"]
    products = np.abs(x[:, :, None].astype(np.float64) * w)
    top = 2.0 ** (7 - node.spec.product_format.exponent_bias + 1)
    assert node.rates["product_overflow"] == np.mean(products >= top)
    assert node.rates["product_underflow"] == pytest.approx(np.mean(products < node.spec.product_format.min_value))
    assert 0 < node.rates["partial_sum_swamped"] < 1
    assert 0 <= node.rates["total_swamped"] < 1


def test_rates_count_swamping_with_the_formats_chosen():
    x = np.full((8, 16), 1.0, np.float32)
    x[:, 1:] = 2.0**-7  # below half an ulp of 1 at M4: every product after the first is swamped
    rates = calibrate(matmul_model(np.ones((16, 2), np.float32)), {"x": x}, "M4E4").nodes["matmul"].rates
    assert rates["partial_sum_swamped"] == 15 / 16
    assert rates["total_swamped"] == 0.0


def test_narrow_family_is_told_of_but_no_warning_is_logged(caplog):
    """What it costs is not known before the model's output is measured."""
    x, w = normal(32, 64), np.float32(10.0) ** normal(64, 4, seed=3)
    result = calibrate(matmul_model(w), {"x": x}, "M4E2")
    (warning,) = result.warnings.values()
    assert "would lose less" in warning and "M4E2 would" not in warning
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == []
    advised = warning.split(": ")[-1].split()[0]
    assert "lose" not in calibrate(matmul_model(w), {"x": x}, advised).warnings.get("matmul", "")


def test_integer_outputs_are_judged_by_agreement():
    nodes = [*network().graph.node, helper.make_node("ArgMax", ["y"], ["class"], "argmax", axis=1, keepdims=0)]
    weights = {i.name: numpy_helper.to_array(i) for i in network().graph.initializer}
    classes = [tensor("class", "batch", kind=TensorProto.INT64)]
    model = make_model(nodes, [tensor("x", "batch", 1, 8, 8)], classes, weights)
    verdict = calibrate(model, {"x": images(16)}, "M4E3", "mse").verdict
    assert verdict.unit == "%" and all(0 <= score <= 100 for score in verdict.scores.values())


def test_scores_of_nothing_but_nan_do_not_stop_the_search():
    settings = Settings(M4E3)
    scores = Scores(lambda choice: -math.inf, settings)
    ranges = ranges_of_network()
    ZeroShot(evaluations=4).search(ranges, settings, scores)
    assert scores.best == fit_max(ranges, settings)

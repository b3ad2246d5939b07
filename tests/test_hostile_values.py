"""Infinities, NaN, huge and tiny values in outputs: figures are what they can be, and NumPy warns nobody.

A converted model gave infinite scores on one image; between two lines of the report stood "RuntimeWarning: invalid
value encountered in subtract", with a path of the installed package. The suite turns every warning into an error.
"""

import itertools

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import model, tensor

import lba_onnx
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.calibration import calibrate
from lba_onnx.calibration.methods import ZeroShot
from lba_onnx.correction import correct
from lba_onnx.correction.estimators import AFFINE, CHAIN, SCALE
from lba_onnx.correction.moments import PairedSums
from lba_onnx.data.batches import Batch
from lba_onnx.diagnosis import debug
from lba_onnx.errors import LbaError
from lba_onnx.evaluation import compare, evaluate
from lba_onnx.evaluation.class_outputs import by_shape
from lba_onnx.evaluation.figures import ComparisonFigures
from lba_onnx.evaluation.likeness import Likeness, class_divergence

VALUES = [0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, 3e38, -3e38, 1e-45, 1e-30, 1e20]
X = np.random.default_rng(1).standard_normal((12, 8)).astype(np.float32)
DATA = {
    "huge": X * np.float32(1e38),
    "one huge": np.where(np.arange(12)[:, np.newaxis] == 3, np.float32(3e38), X),
    "denormal": X * np.float32(1e-40),
    "zeros": X * 0,
    "constant": np.ones_like(X),
}


def drawn(kind: type, count: int, seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    with np.errstate(over="ignore"):
        return [random.choice(random.choice(VALUES, random.integers(1, 4)), (4, 5)).astype(kind) for _ in range(count)]


def first_column(outputs, labels):
    return outputs["y"][:, 0].astype(np.float64)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_figures_take_any_outputs(kind):
    for a, b in itertools.pairwise(drawn(kind, 60, seed=0)):
        batch = Batch({"x": a}, 4, 4, np.arange(4), "the test", 0)
        figures, likeness = ComparisonFigures("metric"), Likeness({"y": a}, by_shape("y"))
        figures.update(batch, {"y": a}, {"y": b}, by_shape("y"), first_column)
        likeness.update(batch, {"y": a}, {"y": b})
        figures.result().to_json()
        assert not np.isnan(likeness.assessment.score)
        class_divergence(a, b)


@pytest.mark.parametrize("estimator", [SCALE, AFFINE, CHAIN], ids=["scale", "affine", "chain"])
@pytest.mark.parametrize("takes_offset", [True, False])
def test_estimators_give_finite_corrections_for_any_values(estimator, takes_offset):
    for a, b in itertools.pairwise(drawn(np.float32, 60, seed=1)):
        sums = PairedSums.of(a, b, 1) + PairedSums.of(b, a, 1)
        assert np.isfinite(estimator.scale(sums, takes_offset)).all()
        assert estimator.offset is None or np.isfinite(estimator.offset(sums)).all()


def exploding(factor: float) -> onnx.ModelProto:
    """Two MatMuls, with a factor between and behind them that may make infinities or zeros of all there is."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "first"),
        helper.make_node("Mul", ["a", "c"], ["b"]),
        helper.make_node("Mul", ["b", "c"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["e"], "second"),
        helper.make_node("Mul", ["e", "c"], ["y"]),
    ]
    weights = {"w": np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32), "c": np.float32(factor)}
    return model(nodes, [tensor("x", "n", 8)], [tensor("y", "n", 8)], weights)


@pytest.mark.parametrize("factor", [1.0, 1e30, 1e-30])
@pytest.mark.parametrize("name", DATA)
def test_nothing_warns_from_calibration_to_diagnosis(factor, name):
    float_model = exploding(factor)
    converted, _ = lba_onnx.convert(float_model, AccumulatorSpec.parse("M7E4b10"))
    x = {"x": DATA[name]}
    labelled = {**x, "label": np.arange(12) % 8}
    runs = (
        lambda: calibrate(float_model, x, "M4E3", "mse"),
        lambda: calibrate(float_model, x, "M4E3", ZeroShot(evaluations=3)),
        lambda: correct(converted, x)[1],
        lambda: evaluate(float_model, labelled),
        lambda: compare(float_model, converted, labelled),
        lambda: debug(converted, x, float_model),
        lambda: lba_onnx.sweep(float_model, labelled, biases=[10]),
    )
    for run in runs:
        try:
            run().to_json()
        except LbaError as error:  # a reference whose outputs are no numbers may be refused, in one line
            assert len(str(error).splitlines()) == 1

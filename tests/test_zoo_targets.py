"""What docs/results.md promises of real models, measured again."""

from dataclasses import replace

import pytest

import lba_onnx
from models import zoo

pytestmark = [pytest.mark.zoo, pytest.mark.slow]


def measure(
    name: str, family: str, method: str, corrects: bool = False, most: int | None = None
) -> tuple[float | None, float]:
    """Samples that are right (None without labels), and the likeness to float32; of the first so many feeds."""
    model = zoo.load(name)
    model = model if most is None else replace(model, test=model.test[:most])
    float32 = zoo.run(model.model_path, model.test)
    specs = lba_onnx.calibrate(model.model_path, model.calibration, family, method).specs
    converted, _ = lba_onnx.convert(model.model_path, specs)
    if corrects:
        converted, _ = lba_onnx.correct(converted, model.calibration)
    result = zoo.run(converted, model.test)
    samples = sum(len(next(iter(outputs.values()))) for outputs in result.outputs)
    right = None if model.metric is None else model.metric.mean(result) * samples
    return right, model.likeness.mean(result, float32)


@pytest.mark.parametrize("method", ["max", "percentile", "mse", "zero_shot"])
@pytest.mark.parametrize(("name", "most"), [("rnet", 0.0045), ("onet", 0.006)])
def test_mtcnn_at_12_bits(name: str, most: float, method: str) -> None:
    right, difference = measure(name, "M7E4", method)
    assert right == 200
    assert difference <= most


@pytest.mark.parametrize(("name", "least", "most"), [("rnet", 200, 0.012), ("onet", 199, 0.03)])
@pytest.mark.parametrize("method", ["percentile", "mse", "zero_shot"])
def test_mtcnn_at_10_bits_with_3_of_exponent(name: str, least: int, most: float, method: str) -> None:
    right, difference = measure(name, "M6E3", method)
    assert right >= least
    assert difference <= most


@pytest.mark.parametrize(
    ("family", "method", "corrects", "least"),
    [("M7E4", "max", False, 926), ("M6E4", "zero_shot", True, 926), ("M5E4", "max", True, 921)],
)
def test_demo_stays_close_to_the_931_of_float32(family: str, method: str, corrects: bool, least: int) -> None:
    right, _ = measure("demo", family, method, corrects)
    assert right >= least


def test_corrected_mobilenet_is_within_one_image_of_float32() -> None:
    right, _ = measure("mobilenet_v2", "M6E4", "max", corrects=True)
    assert right >= 17


def test_corrected_embeddings_of_minilm_stay_close() -> None:
    _, cosine = measure("minilm", "M6E4", "max", corrects=True, most=50)  # of 200
    assert cosine >= 0.97

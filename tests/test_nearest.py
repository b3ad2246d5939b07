"""Rounding to nearest through every tool: what is converted, calibrated, corrected, measured, trained and exported."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from operator_models import node_model
from processor import force_path
from small_models import images, network

import lba_onnx
from lba_onnx import native, reference
from lba_onnx.estimators import ESTIMATORS
from lba_onnx.ops import LbaConv, LbaGemm, LbaMatMul
from lba_onnx.reference import gradients
from lba_onnx.rewrite.specs import read_specs

NEAREST = "M5E4b9/M5E4b7,round=nearest"
rng = np.random.default_rng(8)


def normal(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def test_it_is_another_arithmetic_and_closer_to_float32() -> None:
    """Truncation loses half a last bit a step on average, always toward zero; nearest loses none on average."""
    a, b = np.abs(normal(20, 200)), np.abs(normal(200, 20))
    exact = a.astype(np.float64) @ b
    errors = [np.abs(native.matmul(a[None], b[None], f"M7E5b16{r}", 1)[0] - exact) for r in ("", ",round=nearest")]
    assert np.mean(errors[1]) < np.mean(errors[0]) / 4


@pytest.mark.parametrize("path", native.CPU_PATHS)
def test_a_product_halfway_between_two_sums_is_tipped_by_the_smallest_sum(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Products have more bits than sums here, and the sum before is too small for float64 to see it beside them."""
    force_path(monkeypatch, path)
    spec = lba_onnx.AccumulatorSpec.parse("M10E7b63/M2E7b63,chunk=none,round=nearest")
    for sign, expected in ((1, 1.25), (-1, 1.0)):
        a = np.array([[sign * 2.0**-60, 1.125]], np.float32)
        ones = np.ones((2, 1), np.float32)
        assert spec.dot(a[0].tolist(), [1.0, 1.0]) == expected
        assert reference.matmul(a, ones, spec)[0, 0] == expected
        assert native.matmul(a[None], ones[None], spec, 1)[0, 0, 0] == expected


@pytest.mark.parametrize("path", native.CPU_PATHS)
@pytest.mark.parametrize(
    "text", [NEAREST, "M7E4b12/M7E4b10,chunk=5,round=nearest", "M12E5b14,round=nearest,underflow=off"]
)
def test_a_node_has_the_references_bits_on_every_path(path: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    force_path(monkeypatch, path)
    a, b = normal(9, 70) * 2, normal(70, 35)
    a[3, 5], a[4, 6] = np.nan, -np.inf
    model = node_model("LbaMatMul", {"A": (a.dtype, a.shape)}, {"B": b}, {"accumulator": text})
    expected = reference.matmul(a, b, text)
    np.testing.assert_array_equal(lba_onnx.make_session(model).run(None, {"A": a})[0], expected)
    twins = ReferenceEvaluator(onnx.load_from_string(model), new_ops=[LbaMatMul, LbaGemm, LbaConv])
    np.testing.assert_array_equal(twins.run(None, {"A": a})[0], expected)


@pytest.mark.parametrize("path", native.CPU_PATHS)
@pytest.mark.parametrize(("steps", "expected"), [(1, 2.0**-10), (2, 0.0), (0, 2.0**-10)])
def test_a_sum_that_rounds_up_to_the_smallest_value_is_kept(
    path: str, steps: int, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """min_value * (1 - 2^-9) is a tie, and even is min_value; hardware that flushes before it rounds makes it 0."""
    force_path(monkeypatch, path)
    a = np.zeros((1, 17, 16), np.float32)
    a[..., 0], a[..., 1] = 1.25 * 2.0**-10, -(2.0**-12) * (1 + steps * 2.0**-7)
    got = native.matmul(a, np.ones((1, 16, 33), np.float32), "M7E4b12/M7E4b10,round=nearest", 1)
    assert np.all(got == expected)
    assert reference.dot(a[0, 0], np.ones(16), "M7E4b12/M7E4b10,round=nearest") == expected


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gradients_are_the_references(estimator: str) -> None:
    gating = ESTIMATORS[estimator].gating
    if gating is None:
        return
    a, b, grad = normal(2, 9, 40) * 20, normal(2, 40, 34) * 20, np.ones((2, 9, 34), np.float32)
    found = native.matmul_gradients(grad, a, b, NEAREST, gating.code, 2)
    first, second = gradients.matmul_gradients(grad, a, b, NEAREST, estimator)
    np.testing.assert_allclose(found.first, first, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(np.swapaxes(found.second, -1, -2), second, rtol=1e-5, atol=1e-3)
    masks = gradients.matmul_masks(a, b, NEAREST, estimator)
    assert found.gated == (~masks).sum() > 0


def test_it_is_calibrated_converted_corrected_and_measured(tmp_path: Path) -> None:
    data = {"x": images(64)}
    result = lba_onnx.convert_with_data(network(), data, "M4E4,round=nearest", model_output=tmp_path / "m.onnx")
    assert result.calibration.family == "M4E4,round=nearest"
    assert all(str(spec).endswith(",round=nearest") for spec in read_specs(result.model).values())
    assert result.verdict.comparison.outputs[0].sqnr_db > 0
    path = tmp_path / "biases.json"
    result.calibration.save(path)
    assert lba_onnx.Calibration.load(path).specs == result.calibration.specs
    assert json.loads(path.read_text())["family"] == "M4E4,round=nearest"


def test_debug_tells_its_causes_and_counts_its_events() -> None:
    converted, _ = lba_onnx.convert(network(), "M3E4b10,round=nearest")
    layers = lba_onnx.debug(converted, {"x": images(8)}, network(), samples_alone=0).layers
    for layer in layers:
        assert {"product_rounding", "accumulator_rounding", "rounding", "chunk_size"} <= layer.shares.keys()
        assert not any("truncation" in name for name in layer.shares)
        assert layer.events is not None and 0 < layer.events["swamping"] < 1
    assert "rounding" in {layer.main_cause and layer.main_cause.rpartition("_")[2] for layer in layers}


def test_a_sweep_sets_both_roundings_side_by_side() -> None:
    result = lba_onnx.sweep(
        network(), {"x": images(32)}, families=("M3E5", "M3E5,round=nearest"), biases=(14,), calibration_data=None
    )
    truncated, nearest = (point.comparison.outputs[0].sqnr_db for point in result.points)
    assert [point.to_json()["rounding"] for point in result.points] == ["truncate", "nearest"]
    assert nearest > truncated + 3


@pytest.mark.torch
def test_pytorch_computes_trains_and_exports_it(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("onnxscript", reason="export needs onnxscript")
    from torch_models import make_mlp, seeded

    from lba_onnx.torch import LbaConfig, check_export, export, lba_matmul, quantize_, set_underflow_

    x, w = torch.from_numpy(normal(3, 40)).requires_grad_(), torch.from_numpy(normal(40, 5))
    y = lba_matmul(x, w, spec=NEAREST, estimator="immediate_difference")
    np.testing.assert_array_equal(y.detach().numpy(), reference.matmul(x.detach().numpy(), w.numpy(), NEAREST))
    y.sum().backward()
    ones = np.ones((3, 5), np.float32)
    expected, _ = gradients.matmul_gradients(ones, x.detach().numpy(), w.numpy(), NEAREST, "immediate_difference")
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-5, atol=1e-5)
    model = seeded(lambda: make_mlp(8, 8, 3)).eval()
    quantize_(model, LbaConfig(NEAREST))
    set_underflow_(model, False)
    set_underflow_(model, True)
    inputs = torch.from_numpy(normal(4, 8))
    export(model, inputs, tmp_path / "m.onnx")
    assert {str(spec) for spec in read_specs(onnx.load(tmp_path / "m.onnx")).values()} == {NEAREST}
    assert check_export(model, tmp_path / "m.onnx", inputs).is_bit_equal

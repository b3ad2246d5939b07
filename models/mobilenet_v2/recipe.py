"""MobileNetV2 as an entry of the zoo."""

from models.fetch import write_to_cache
from models.mobilenet_v2.build import build_model, read_calibration_images, read_images
from models.zoo import ZooModel, agreement, top1


def load() -> ZooModel:
    """Returns the network with 30 crops of photographs to calibrate on, and foolbox's 20 labelled images to test."""
    images, labels = read_images()
    return ZooModel(
        name="mobilenet_v2",
        model_path=write_to_cache("mobilenet_v2.onnx", build_model().SerializeToString()),
        calibration={"image": read_calibration_images()},
        test={"image": images, "label": labels},
        metric=top1("logits"),
        likeness=agreement("logits"),
    )

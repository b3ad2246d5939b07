"""RNet and ONet as entries of the zoo."""

from models.fetch import write_to_cache
from models.mtcnn.build import build_model, read_images
from models.zoo import ZooModel, distance, top1

CALIBRATION_STEP = 4


def load_rnet() -> ZooModel:
    """Returns RNet; see `load_onet`."""
    return _load("rnet")


def load_onet() -> ZooModel:
    """Returns ONet with all 200 images as the test; every fourth, without its label, is for calibration."""
    return _load("onet")


def _load(network: str) -> ZooModel:
    images, labels = read_images(network)
    return ZooModel(
        name=network,
        model_path=write_to_cache(f"{network}.onnx", build_model(network).SerializeToString()),
        calibration={"image": images[::CALIBRATION_STEP]},
        test={"image": images, "label": labels},
        metric=top1("probability"),
        likeness=distance("probability", 1, "face probability"),
    )

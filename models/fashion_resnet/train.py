"""Trains the residual network on Fashion-MNIST and writes the model beside this script.

Run from the repository root: python -m models.fashion_resnet.train
"""

import onnx
import torch

from models.demo.fashion_mnist import read_split
from models.demo.train import IMAGE_SHAPE, add_conv_relu, add_residual, measure_top1, parse_arguments, train
from models.fashion_resnet.network import BLOCKS, FashionResNet
from models.fashion_resnet.recipe import MODEL_PATH, TRAINING
from models.graph_builder import GraphBuilder

EPOCHS = 6


def main() -> None:
    """Reads the data, trains on all images but those that calibrate, measures, and writes the ONNX model."""
    arguments = parse_arguments(__doc__ or "", MODEL_PATH.parent, EPOCHS)
    torch.set_num_threads(arguments.threads)
    network = train(FashionResNet, read_split(arguments.data_path, "train", TRAINING), arguments.epochs)
    test = read_split(arguments.data_path, "t10k")
    print(f"top-1 on the {len(test.labels)} test images: {measure_top1(network, test):.4f}")
    onnx.save(export(network), arguments.output_path / MODEL_PATH.name)


def export(network: FashionResNet) -> onnx.ModelProto:
    """Returns the trained network as ONNX, BatchNorm folded; its forward pass is that of FashionResNet."""
    builder = GraphBuilder({name: value.detach().numpy() for name, value in network.state_dict().items()})
    x = "image"
    for stage, blocks in enumerate(BLOCKS):
        x = add_conv_relu(builder, x, f"down.{stage}", stride=2)
        for block in range(blocks):
            x = add_residual(builder, x, f"stage.{stage}.{block}")
    logits = builder.linear(builder.mean_over_pixels(x, "mean"), "classifier")
    return builder.build("fashion_resnet", IMAGE_SHAPE, {"logits": logits})


if __name__ == "__main__":
    main()

"""Trains the demo network on Fashion-MNIST and writes the model and its data files beside this script.

Run from the repository root: python -m models.demo.train
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from models.demo.fashion_mnist import LabelledImages, find_data_path, read_split
from models.demo.network import FashionCnn
from models.graph_builder import GraphBuilder

SEED = 0
EPOCHS = 10
BATCH = 128
PEAK_LEARNING_RATE = 0.1
WEIGHT_DECAY = 5e-4
MAX_SHIFT = 2
TEST_IMAGES = 1000
CALIBRATION_IMAGES = 256
IMAGE_SHAPE = (1, 28, 28)

Network = TypeVar("Network", bound=nn.Module)


def main() -> None:
    """Reads the data, trains, measures, and writes the ONNX model and the two .npz files."""
    arguments = parse_arguments(__doc__ or "", Path(__file__).parent, EPOCHS)
    torch.set_num_threads(arguments.threads)
    training, test = (read_split(arguments.data_path, split) for split in ("train", "t10k"))
    write_data_files(arguments.output_path, training, test)
    network = train(FashionCnn, training, arguments.epochs)
    print(f"top-1 on the {len(test.labels)} test images: {measure_top1(network, test):.4f}")
    onnx.save(export(network), arguments.output_path / "fashion_cnn.onnx")


def train(make_network: Callable[[], Network], data: LabelledImages, epochs: int, seed: int = SEED) -> Network:
    """Trains from random weights by SGD with momentum, one cycle of the learning rate; same seed, same order."""
    torch.manual_seed(seed)
    network: Network = make_network().to(memory_format=torch.channels_last)  # twice as fast on CPUs
    optimizer = torch.optim.SGD(
        network.parameters(), lr=PEAK_LEARNING_RATE, momentum=0.9, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    steps = epochs * (len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, total_steps=steps, pct_start=0.2)
    for epoch in range(epochs):
        start = time.monotonic()
        loss = _train_epoch(network, optimizer, schedule, images, labels)
        print(f"epoch {epoch + 1} of {epochs}: mean loss {loss:.4f}, {time.monotonic() - start:.0f} s", flush=True)
    network.eval()
    return network


def measure_top1(network: nn.Module, data: LabelledImages) -> float:
    """Returns the share of images whose largest logit is the labelled class."""
    with torch.inference_mode():
        logits = torch.cat([network(batch) for batch in torch.from_numpy(data.images).split(1000)])
    return float(np.mean(logits.argmax(1).numpy() == data.labels))


def export(network: FashionCnn) -> onnx.ModelProto:
    """Returns the trained network as ONNX, BatchNorm folded; its forward pass is that of FashionCnn."""
    builder = GraphBuilder({name: value.detach().numpy() for name, value in network.state_dict().items()})
    x = add_residual(builder, add_conv_relu(builder, "image", "stem"), "block1", group=16)
    x = add_residual(builder, add_conv_relu(builder, x, "down2", stride=2), "block2")
    x = add_residual(builder, add_conv_relu(builder, x, "down3", stride=2), "block3", group=4)
    logits = builder.linear(builder.mean_over_pixels(x, "mean"), "classifier")
    return builder.build("fashion_cnn", IMAGE_SHAPE, {"logits": logits})


def add_conv_relu(builder: GraphBuilder, x: str, name: str, stride: int = 1, group: int = 1) -> str:
    """Appends relu(ConvNorm)."""
    return builder.relu(builder.conv(x, f"{name}.conv", f"{name}.norm", stride, group), f"{name}.relu")


def add_residual(builder: GraphBuilder, x: str, name: str, group: int = 1) -> str:
    """Appends the Residual whose first convolution has so many groups."""
    inner = add_conv_relu(builder, x, f"{name}.first", group=group)
    inner = builder.conv(inner, f"{name}.second.conv", f"{name}.second.norm")
    return builder.relu(builder.add(x, inner, f"{name}.add"), f"{name}.relu")


def write_data_files(folder: Path, training: LabelledImages, test: LabelledImages) -> None:
    """Writes the first test images with their labels, and the first training images without, as .npz."""
    np.savez_compressed(
        folder / "fashion_test_1000.npz", image=test.images[:TEST_IMAGES], label=test.labels[:TEST_IMAGES]
    )
    np.savez_compressed(folder / "fashion_calibration_256.npz", image=training.images[:CALIBRATION_IMAGES])


def parse_arguments(description: str, output_path: Path, epochs: int) -> argparse.Namespace:
    """Options of a script that trains, with these defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_path", type=Path, help="folder of the four IDX files; default: of Debian's package")
    parser.add_argument("--output_path", type=Path, default=output_path, help="folder to write into")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--threads", type=int, default=1, help="more threads: faster, other last bits")
    arguments = parser.parse_args()
    arguments.data_path = arguments.data_path or find_data_path()
    return arguments


def _train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    images: Tensor,
    labels: Tensor,
) -> float:
    losses: list[float] = []
    order = torch.randperm(len(labels))
    for chosen in order[: len(order) // BATCH * BATCH].split(BATCH):
        loss = nn.functional.cross_entropy(
            network(_augment(images[chosen]).contiguous(memory_format=torch.channels_last)), labels[chosen]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


def _augment(images: Tensor) -> Tensor:
    """Shifts each image by up to MAX_SHIFT pixels and mirrors half of them."""
    count, _, height, width = images.shape
    windows = nn.functional.pad(images, [MAX_SHIFT] * 4).unfold(2, height, 1).unfold(3, width, 1)
    rows, columns = torch.randint(2 * MAX_SHIFT + 1, (2, count))
    shifted = windows[torch.arange(count), :, rows, columns]
    return torch.where(torch.rand(count, 1, 1, 1) < 0.5, shifted, shifted.flip(3))


if __name__ == "__main__":
    main()

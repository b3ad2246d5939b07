"""The float32 networks that the experiments on Fashion-MNIST start from: the demo's CNN, one for each seed."""

import os
from pathlib import Path

import torch

from examples.finetuning.data import READERS
from models.demo.fashion_mnist import LabelledImages
from models.demo.network import FashionCnn
from models.demo.train import train
from models.fetch import get_cache_dir

DATA = "Fashion-MNIST"
FLOAT32_EPOCHS = 5


def trained_cnn(seed: int, cache_path: Path | None = None) -> FashionCnn:
    """Return the network of a seed, trained by the demo's recipe in fewer epochs; trained once, then read.

    Args:
        seed: Of the weights, and of the order of the images.
        cache_path: Folder of the trained weights; default: "finetuning" in the cache of models/fetch.py.
    """
    folder = cache_path or get_cache_dir() / "finetuning"
    path = folder / f"fashion_cnn-{len(READERS[DATA]().train)}-epochs{FLOAT32_EPOCHS}-seed{seed}.pt"
    if not path.exists():
        _train(path, seed)
    network = FashionCnn()
    network.load_state_dict(torch.load(path, weights_only=True))
    network.eval()
    return network


def _train(path: Path, seed: int) -> None:
    data = READERS[DATA]().train
    network = train(FashionCnn, LabelledImages(data.inputs.numpy(), data.labels.numpy()), FLOAT32_EPOCHS, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    torch.save(network.state_dict(), temporary)
    os.replace(temporary, path)

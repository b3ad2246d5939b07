"""The multilayer perceptron of the experiments on digits and clothes, and its training in float32."""

import copy
import itertools
from functools import cache

import torch
from torch import nn

from examples.finetuning.data import READERS
from examples.finetuning.training import shuffled_batches, train_epoch

BATCH = 50
LEARNING_RATE = 1e-3
PIXELS, CLASSES = 784, 10


def make_mlp(hidden: str, seed: int) -> nn.Sequential:
    """Return a network with hidden layers such as "256-256" and ReLU between them, initialised from the seed."""
    torch.manual_seed(seed)
    sizes = (PIXELS, *map(int, hidden.split("-")))
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], CLASSES))


def train_mlp(network: nn.Module, data: str, epochs: int, seed: int) -> None:
    """Train by Adam at a constant learning rate; the same seed gives the same order of samples."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    for _ in range(epochs):
        train_epoch(network, optimizer, shuffled_batches(READERS[data]().train, BATCH, generator))


def trained_mlp(hidden: str, data: str, epochs: int, seed: int) -> nn.Sequential:
    """Return a network of its own, trained in float32; trained once in a process."""
    return copy.deepcopy(_trained_once(hidden, data, epochs, seed))


@cache
def _trained_once(hidden: str, data: str, epochs: int, seed: int) -> nn.Sequential:
    network = make_mlp(hidden, seed)
    train_mlp(network, data, epochs, seed)
    return network

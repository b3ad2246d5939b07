"""Data for the tests of calibrating PyTorch models."""

import torch
from torch import Tensor, nn
from torch_models import make_mlp, seeded


def batches_of(*tensors: Tensor, size: int = 8) -> list:
    """Return the batches of one tensor, or tuples of those of several."""
    parts = [tensor.split(size) for tensor in tensors]
    return list(parts[0]) if len(parts) == 1 else list(zip(*parts, strict=True))


def vectors(count: int = 32, width: int = 20, seed: int = 0) -> Tensor:
    """Return float32 [count, width]."""
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def mlp() -> nn.Module:
    """Return a model of [batch, 20], with two layers called "0" and "2"."""
    return seeded(lambda: make_mlp(20, 16, 5))

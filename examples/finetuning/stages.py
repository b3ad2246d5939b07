"""Fine-tuning in one stage or two, of a network that is trained already."""

import torch
from torch import nn

from examples.finetuning.data import Split
from examples.finetuning.training import shuffled_batches, train_epoch
from lba_onnx.torch import DualStage, lba_sites

ONE_STAGE, TWO_STAGES = "one stage", "two stages"
STAGES = (ONE_STAGE, TWO_STAGES)
FIRST_SHARE = 0.5  # of the steps, in the first of two stages


def fine_tune(
    network: nn.Module, optimizer: torch.optim.Optimizer, data: Split, batch: int, epochs: int, stages: str, seed: int
) -> None:
    """Train a network, converted or not, with a learning rate that decays along a cosine in each stage.

    Args:
        network: With LBA layers, whose underflow the stages switch; or without any.
        optimizer: Of its parameters; its learning rate is where each stage starts.
        data: What to train on.
        batch: Samples per step.
        epochs: Passes over the data.
        stages: "one stage" or "two stages".
        seed: Of the order of the samples.
    """
    steps = epochs * (len(data) // batch)
    schedule: torch.optim.lr_scheduler.LRScheduler
    if lba_sites(network):
        first = round(FIRST_SHARE * steps) if stages == TWO_STAGES else 0
        schedule = DualStage(network, optimizer, (first, steps - first))
    else:
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        train_epoch(network, optimizer, shuffled_batches(data, batch, generator), schedule.step)


def subset(data: Split, count: int, seed: int) -> Split:
    """Return so many samples, drawn at random."""
    chosen = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:count]
    return Split(data.inputs[chosen], data.labels[chosen])

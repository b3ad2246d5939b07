"""A plain training loop, as short as it can be, and the measure of what it achieved."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from examples.finetuning.data import Split

EVALUATION_BATCH = 500
AfterStep = Callable[[], object]


def train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[tuple[Tensor, Tensor]],
    after_step: AfterStep | None = None,
) -> float:
    """Return the mean loss of one pass over the batches.

    Args:
        network: Takes a batch's inputs, gives logits [batch, classes].
        optimizer: Of the network's parameters.
        batches: Inputs and labels.
        after_step: Called after each step of the optimizer, such as a schedule's step.
    """
    network.train()
    losses: list[float] = []
    for inputs, labels in batches:
        loss = nn.functional.cross_entropy(network(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if after_step is not None:
            after_step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


def shuffled_batches(data: Split, batch: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield every sample once, in random order; the last batch is left out where it is not full."""
    order = torch.randperm(len(data), generator=generator)
    for chosen in order[: len(order) // batch * batch].split(batch):
        yield data.inputs[chosen], data.labels[chosen]


def predict(network: nn.Module, data: Split) -> Tensor:
    """Return the class with the largest logit of each sample, int64 [count], in evaluation mode."""
    network.eval()
    with torch.no_grad():
        return torch.cat([network(inputs).argmax(1) for inputs in data.inputs.split(EVALUATION_BATCH)])


def accuracy(predictions: Tensor, data: Split) -> float:
    """Return the percentage of the predictions that are right."""
    return 100 * int((predictions == data.labels).sum()) / len(data)

"""The samples of run.json: an .npz with the model's input and the classes."""

from typing import Any

import numpy as np
from olive.data.component.dataset import BaseDataset
from olive.data.registry import Registry


class Samples(BaseDataset):
    """Pairs of what the model is fed and the class."""

    def __init__(self, path: str) -> None:
        with np.load(path, allow_pickle=False) as arrays:
            self.classes = arrays["label"]
            self.inputs = {name: arrays[name] for name in arrays.files if name != "label"}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.classes)

    def __getitem__(self, index: int) -> tuple[dict[str, Any], int]:
        """Return one."""
        return {name: values[index] for name, values in self.inputs.items()}, int(self.classes[index])


@Registry.register_dataset()
def load_samples(path: str, **_: Any) -> Samples:
    """Return the samples in a file."""
    return Samples(path)


@Registry.register_post_process()
def largest(scores: Any, **_: Any) -> Any:
    """Return the class with the largest score."""
    return scores.argmax(dim=-1)

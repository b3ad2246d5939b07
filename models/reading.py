"""What the recipes of networks that read text share: texts out of their outputs, and how many characters are wrong."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Outputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Reading:
    """How a network's outputs are read, and what it should have read.

    Attributes:
        read: called with a batch's outputs; returns a text per sample.
        texts: what the samples say; a sample's label is the number of its text.
    """

    read: Callable[[Outputs], list[str]]
    texts: Sequence[str]

    def is_right(self, outputs: Outputs, labels: NDArray[Any]) -> NDArray[np.float64]:
        """Returns 1 for each sample that is read as it should be, else 0."""
        wanted = [self.texts[label] for label in labels]
        return np.array([text == right for text, right in zip(self.read(outputs), wanted, strict=True)], np.float64)

    def is_same(self, outputs: Outputs, other: Outputs) -> NDArray[np.float64]:
        """Returns 1 for each sample that both outputs are read alike, else 0."""
        pairs = zip(self.read(outputs), self.read(other), strict=True)
        return np.array([text == expected for text, expected in pairs], np.float64)

    def errors(self, outputs: Outputs, labels: NDArray[Any]) -> NDArray[np.float64]:
        """Returns for each sample the characters that are wrong, and those that there are, [samples, 2]."""
        wanted = [self.texts[label] for label in labels]
        pairs = zip(self.read(outputs), wanted, strict=True)
        return np.array([(edit_distance(text, right), len(right)) for text, right in pairs], np.float64)


def edit_distance(a: str, b: str) -> int:
    """Returns how many characters have to be inserted, removed or replaced to make b of a."""
    row = list(range(len(b) + 1))
    for i, character in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (character != other))
    return row[-1]

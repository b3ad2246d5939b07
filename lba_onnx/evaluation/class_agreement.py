"""Counts whether two models put samples into the same class, and how much of that chance alone would give."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.evaluation.estimates import Proportion
from lba_onnx.evaluation.metrics import Share, is_in_top


class ClassAgreement:
    """Top-1 of one output of two models: kept are counts per class, whatever the number of samples."""

    def __init__(self) -> None:
        self._same = Share()
        self._reference: dict[int, int] = {}
        self._candidate: dict[int, int] = {}

    def update(self, reference: NDArray[Any], candidate: NDArray[Any]) -> NDArray[np.bool_]:
        """Add samples; return whether both have the same top-1.

        Args:
            reference: Scores [samples, classes].
            candidate: Scores of the same shape; a row with a NaN in it agrees with nothing.

        Returns:
            bool [samples].
        """
        expected = reference.argmax(axis=1)
        same = is_in_top(candidate, expected, 1)
        self._same.update(same)
        _count(self._reference, expected)
        _count(self._candidate, candidate.argmax(axis=1))
        return same

    def merge(self, other: "ClassAgreement") -> None:
        """Add all that another object has counted."""
        self._same.merge(other._same)
        for own, others in ((self._reference, other._reference), (self._candidate, other._candidate)):
            for index, count in others.items():
                own[index] = own.get(index, 0) + count

    @property
    def proportion(self) -> Proportion | None:
        """Samples with the same top-1; None without samples."""
        return self._same.proportion

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa: agreement beyond that of models which choose classes as often, but by chance.

        1 where all samples agree, 0 or less where no more do than by chance; None where all of the reference's samples
        are in one class, so that agreement shows nothing. Cohen, A coefficient of agreement for nominal scales,
        Educational and Psychological Measurement 20 (1960).
        """
        samples = self._same.samples
        if len(self._reference) < 2:
            return None
        by_chance = sum(n * self._candidate.get(index, 0) for index, n in self._reference.items()) / samples**2
        return (self._same.hits / samples - by_chance) / (1 - by_chance)


def _count(counts: dict[int, int], classes: NDArray[Any]) -> None:
    for index, count in zip(*np.unique(classes, return_counts=True), strict=True):
        counts[int(index)] = counts.get(int(index), 0) + int(count)

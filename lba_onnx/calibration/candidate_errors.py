"""Per node the biases with the least squared output error, of the real kernel on the node's own inputs.

    for each of a few samples:                      # the model runs with accumulators that stand for float32
        for each node:
            part   = some of its rows or output positions, with all columns or channels
            for each candidate (product exponent, accumulator exponent):
                errors[node][candidate] += error(kernel(part, candidate), the wide result)

The candidates are pairs of exponents some binades around those that hold the largest values seen. The error of a column
(channel) is its mean squared difference over its mean square plus that of all columns: one column with huge values
counts as one column, and a column of next to nothing counts by its difference alone. Only the table of errors is kept.

How large the parts are follows from an allowance: all candidates of a node together may cost as much as a few runs of
the node. The kernel has to pack a node's weights for each candidate, which counts too; where that is most of the work,
as for classifiers, only some of the samples are looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lba_onnx.arithmetic import Exponents
from lba_onnx.calibration.settings import Choice, Settings
from lba_onnx.calibration.subject import Subject
from lba_onnx.data.tally import note
from lba_onnx.data.watching import enter_phase

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lba_onnx.data.batch import Batch
    from lba_onnx.data.execution import Progress
    from lba_onnx.native import ObservedCall

_MOVES = (2, 1, 0, -1, -2, -3)
_MOVES_OF_MODEL = (1, 0, -1, -2, -3, -4, -5)
_ALLOWANCE = 1.0  # products computed for candidates, per product of the model
_PRODUCTS_OF_ONE_THREAD = 1 << 22  # below, starting threads takes longer than they save
_PACKING = 40  # what packing a weight costs, in products


@dataclass
class NodeErrors:
    """The errors of a node's candidates.

    Attributes:
        candidates: Pairs of exponents, from the widest ranges to the narrowest.
        errors: float64 [candidates], sums of relative squared errors over rows or positions.
        positions: Rows or positions added up.
        calls: Executions of the node.
        products: Products of these executions.
        spent: Products computed for candidates, packing included.
    """

    candidates: tuple[Exponents, ...]
    errors: "NDArray[np.float64]" = field(init=False)
    positions: int = 0
    calls: int = 0
    products: int = 0
    spent: int = 0

    def __post_init__(self) -> None:
        """Start at zero."""
        self.errors = np.zeros(len(self.candidates))

    @property
    def mean_errors(self) -> "NDArray[np.float64]":
        """Mean relative squared error of each candidate, float64 [candidates]; zeros where nothing was looked at."""
        return self.errors / max(self.positions, 1)

    def add(self, call: "ObservedCall", settings: Settings) -> None:
        """Compute a part of a call with every candidate, if the allowance is not used up."""
        self.products += call.products
        self.calls += 1
        if self.spent > _ALLOWANCE * self.products or call.y.size == 0:
            return
        part = call.sample(int(_ALLOWANCE * call.products / len(self.candidates)), self.calls - 1)
        expected = _by_column(part, part.y)
        family = settings.family.at_depth(part.depth)
        threads = 1 if part.products < _PRODUCTS_OF_ONE_THREAD else None
        for index, exponents in enumerate(self.candidates):
            note(products=part.products)
            got = _by_column(part, part.compute(family.with_exponents(exponents), threads))
            self.errors[index] += _relative_error(expected, got) * len(expected)
        self.positions += len(expected)
        self.spent += len(self.candidates) * (part.products + _PACKING * part.depth * expected.shape[1])


class ErrorTables:
    """The errors of all nodes' candidates, filled while a model runs."""

    def __init__(self, start: Choice, settings: Settings) -> None:
        """Start at zero.

        Args:
            start: Exponents that hold the largest values seen, around which the candidates lie.
            settings: Family, granularity and tie.
        """
        self._start = start
        self._settings = settings
        self._tables = {name: NodeErrors(_candidates(exponents, settings)) for name, exponents in start.items()}

    def observe(self, call: "ObservedCall") -> None:
        """Compute a part of a node's call with every candidate."""
        if call.node in self._tables:
            self._tables[call.node].add(call, self._settings)

    def least(self) -> Choice:
        """Return the exponents with the least error for each node; those of the start where a node did not run."""
        return _least(self._tables, self._start, self._settings)


def least_errors(
    subject: Subject, batches: "Sequence[Batch]", start: Choice, settings: Settings, progress: "Progress | None"
) -> Choice:
    """Return the exponents with the least error for each node; those of `start` where a node did not run.

    Args:
        subject: The model.
        batches: A few samples.
        start: Exponents that hold the largest values seen.
        settings: Family, granularity and tie.
        progress: Called with the samples done and in all.
    """
    tables = ErrorTables(start, settings)
    done, total = 0, sum(batch.samples for batch in batches)
    with subject.observing(tables.observe) as run:
        enter_phase("errors of candidates", total=total)
        for batch in batches:
            run(batch)
            done += batch.samples
            if progress is not None:
                progress(done, total)
    return tables.least()


def _candidates(start: Exponents, settings: Settings) -> tuple[Exponents, ...]:
    moves = _MOVES_OF_MODEL if settings.granularity == "model" else _MOVES
    if settings.is_tied:
        return tuple(settings.family.tied(start.moved(0, move)) for move in moves)
    return tuple(start.moved(product, accumulator) for accumulator in moves for product in moves)


def _least(tables: Mapping[str, NodeErrors], start: Choice, settings: Settings) -> Choice:
    """Choose per node, or once for all by the sum of the nodes' mean errors; of equals the widest ranges."""
    seen = {name: table for name, table in tables.items() if table.positions}
    if settings.granularity == "model" and seen:
        total = sum((table.mean_errors for table in seen.values()), np.zeros(1))
        common = next(iter(seen.values())).candidates[int(np.argmin(total))]
        return dict.fromkeys(start, common)
    found = {name: table.candidates[int(np.argmin(table.errors))] for name, table in seen.items()}
    return {name: found.get(name, exponents) for name, exponents in start.items()}


def _by_column(call: "ObservedCall", values: "NDArray[np.float32]") -> "NDArray[np.float64]":
    """Return values of a call's shape as [positions, columns]."""
    from lba_onnx.native import ObservedMatMul

    columns_last = values if isinstance(call, ObservedMatMul) else np.moveaxis(values, 1, -1)
    return columns_last.reshape(-1, columns_last.shape[-1]).astype(np.float64)


def _relative_error(expected: "NDArray[np.float64]", got: "NDArray[np.float64]") -> float:
    """Return the mean over columns of the squared error relative to the column's square and that of all columns."""
    is_finite = np.isfinite(expected)
    square = np.mean(np.square(expected, where=is_finite, out=np.zeros_like(expected)), axis=0)
    difference = np.subtract(got, expected, where=is_finite, out=np.zeros_like(expected))
    scale = square + square.mean()
    error = np.mean(np.square(difference), axis=0)
    return float(np.mean(np.divide(error, scale, where=scale > 0, out=np.zeros_like(scale))))

"""Dual-stage against one-stage training at equal epochs: underflow off first and on at the end, or on throughout.

Run from the repository root: python -m examples.finetuning.dual_stage --json_path dual_stage.json
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from examples.finetuning.data import READERS
from examples.finetuning.estimators import FLOAT32_EPOCHS, SCRATCH, SHORT_NAMES, TRAINED
from examples.finetuning.experiment import Experiment, biases, main
from examples.finetuning.mlp import BATCH, LEARNING_RATE, make_mlp, trained_mlp
from examples.finetuning.store import Row
from examples.finetuning.tables import markdown, mean_and_spread
from examples.finetuning.training import accuracy, predict, shuffled_batches, train_epoch
from lba_onnx.torch import DualStage, LbaConfig, quantize_

ONE_STAGE, DUAL_STAGE, SLOW_SECOND = COLUMNS = ("one stage", "two stages", "two stages, second rate a tenth")
DATA, HIDDEN = "MNIST", "256-256"


@dataclass(frozen=True)
class Case:
    """What is trained, and in which stages.

    Attributes:
        start: "from scratch" or "from float32".
        spec: Text of the arithmetic.
        estimator: Its name.
        first_share: Share of the epochs with underflow off; 0 for one stage.
        second_rate: Learning rate of the second stage, as a share of the first stage's.
        epochs: Of both stages.
    """

    start: str
    spec: str
    estimator: str
    first_share: float
    second_rate: float
    epochs: int

    @property
    def title(self) -> str:
        """Say in the progress what is run."""
        return f"{self.start} {self.spec} {self.estimator} {_column_label(vars(self))}"


def make_cases() -> Iterator[Case]:
    """Yield the lines of the table, each with its columns."""
    for start, spec, estimator, first_share in (
        (SCRATCH, "M4E3b8/M4E3b6", "immediate_difference", 0.75),
        (SCRATCH, "M4E3b8/M4E3b6", "recursive_overflow", 0.75),
        (TRAINED, "M4E3b6/M4E3b4", "identity", 0.5),
        (TRAINED, "M4E3b9/M4E3b7", "recursive_overflow", 0.5),
        (TRAINED, "M7E4b5/M7E4b3", "identity", 0.5),
        (TRAINED, "M7E4b12/M7E4b10", "identity", 0.5),
    ):
        for share, rate in ((0.0, 1.0), (first_share, 1.0), (first_share, 0.1)):
            yield Case(start, spec, estimator, share, rate, 8)


def run(case: Case, seed: int) -> Row:
    """Train and measure, always with underflow on at the end."""
    network = make_mlp(HIDDEN, seed) if case.start == SCRATCH else trained_mlp(HIDDEN, DATA, FLOAT32_EPOCHS, seed)
    data = READERS[DATA]()
    quantize_(network, LbaConfig(case.spec, case.estimator))
    before = accuracy(predict(network, data.test), data.test)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    steps = case.epochs * (len(data.train) // BATCH)
    first = round(case.first_share * steps)
    schedule = DualStage(network, optimizer, (first, steps - first), factors=(1.0, case.second_rate))
    generator = torch.Generator().manual_seed(seed)
    for _ in range(case.epochs):
        train_epoch(network, optimizer, shuffled_batches(data.train, BATCH, generator), schedule.step)
    return {"before": before, "accuracy": accuracy(predict(network, data.test), data.test)}


def render(rows: Sequence[Row]) -> str:
    """Return a table with a line for each arithmetic, and the gain of two stages over one, seed by seed."""
    headings = ["", "before", *COLUMNS, "gain"]
    lines = []
    for name in dict.fromkeys(map(_line_label, rows)):
        own = [row for row in rows if _line_label(row) == name]
        columns = [[row for row in own if _column_label(row) == column] for column in COLUMNS]
        one, dual, _ = ({row["seed"]: row["accuracy"] for row in column} for column in columns)
        gains = [dual[seed] - one[seed] for seed in one if seed in dual]
        figures = [[row["before"] for row in own], *([row["accuracy"] for row in column] for column in columns), gains]
        lines.append([name, *map(mean_and_spread, figures)])
    return markdown(headings, lines)


def _line_label(row: Row) -> str:
    return f"{biases(row['spec'])}, {SHORT_NAMES[row['estimator']]}, {row['start']}, {row['epochs']} epochs"


def _column_label(row: Row) -> str:
    if row["first_share"] == 0:
        return ONE_STAGE
    return DUAL_STAGE if row["second_rate"] == 1 else SLOW_SECOND


EXPERIMENT = Experiment("dual_stage", tuple(make_cases()), run, render)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)

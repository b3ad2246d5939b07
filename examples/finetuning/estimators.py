"""Which gradient estimator trains a network whose sums are M4E3, 8 bits: an MLP on MNIST and on Fashion-MNIST.

Run from the repository root: python -m examples.finetuning.estimators --json_path estimators.json
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from examples.finetuning.data import READERS
from examples.finetuning.experiment import FLOAT32, Experiment, biases, main
from examples.finetuning.mlp import make_mlp, train_mlp, trained_mlp
from examples.finetuning.store import Row
from examples.finetuning.tables import cross_table
from examples.finetuning.training import accuracy, predict
from lba_onnx.torch import LbaConfig, quantize_

SCRATCH, TRAINED = "from scratch", "from float32"
FLOAT32_EPOCHS = 10  # of the networks that fine-tuning starts from
SHORT_NAMES = {
    "identity": "identity",
    "immediate_overflow": "IM/OF",
    "recursive_overflow": "R/OF",
    "immediate_difference": "IM/DIFF",
}
UNDERFLOWS = {"U": "", "n": ",underflow=off"}  # as the tables name it: what is appended to a spec's text


@dataclass(frozen=True)
class Case:
    """A network, how it is trained, and the estimator.

    Attributes:
        data: Name of the data set.
        hidden: Sizes of the hidden layers.
        start: "from scratch" or "from float32".
        spec: Text of the arithmetic that the line of the table is about.
        underflow: What is appended to the text.
        estimator: Its name, or "float32".
        epochs: Of training.
    """

    data: str
    hidden: str
    start: str
    spec: str
    underflow: str
    estimator: str
    epochs: int

    @property
    def title(self) -> str:
        """Say in the progress what is run."""
        return f"{self.data} {self.hidden} {self.start} {self.spec}{self.underflow} {self.estimator}"


def make_cases() -> Iterator[Case]:
    """Yield the lines of the table, each with its columns."""
    for data, hidden, start, spec, epochs in (
        ("MNIST", "256-256", SCRATCH, "M4E3b8/M4E3b6", 10),
        ("MNIST", "512-512-512", SCRATCH, "M4E3b9/M4E3b7", 8),
        ("MNIST", "512-512-512", TRAINED, "M4E3b9/M4E3b7", 3),
        ("MNIST", "256-256", SCRATCH, "M4E3b6/M4E3b4,chunk=none", 5),
        ("Fashion-MNIST", "256-256", SCRATCH, "M4E3b9/M4E3b7", 3),
    ):
        yield Case(data, hidden, start, spec, "", FLOAT32, epochs)
        for estimator in SHORT_NAMES:
            for underflow in UNDERFLOWS.values():
                yield Case(data, hidden, start, spec, underflow, estimator, epochs)


def run(case: Case, seed: int) -> Row:
    """Train and measure."""
    if case.start == TRAINED:
        network = trained_mlp(case.hidden, case.data, FLOAT32_EPOCHS, seed)
    else:
        network = make_mlp(case.hidden, seed)
    if case.estimator != FLOAT32:
        quantize_(network, LbaConfig(spec=case.spec + case.underflow, estimator=case.estimator))
    train_mlp(network, case.data, case.epochs, seed)
    test = READERS[case.data]().test
    return {"accuracy": accuracy(predict(network, test), test)}


def render(rows: Sequence[Row]) -> str:
    """Return a table with a line for each network and arithmetic."""
    return cross_table(rows, "", _line_label, _column_label)


def _line_label(row: Row) -> str:
    chunk = ", no chunks" if "chunk=none" in row["spec"] else ""
    return f"{row['data']}, {row['hidden']}, {biases(row['spec'])}{chunk}, {row['start']}, {row['epochs']} epochs"


def _column_label(row: Row) -> str:
    underflow = next(name for name, text in UNDERFLOWS.items() if text == row["underflow"])
    return FLOAT32 if row["estimator"] == FLOAT32 else f"{SHORT_NAMES[row['estimator']]} {underflow}"


EXPERIMENT = Experiment("estimators", tuple(make_cases()), run, render)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)

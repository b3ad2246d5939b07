"""A trained float32 CNN brought to narrow accumulators: as it is, corrected, and fine-tuned in one stage or two.

Every network is exported and evaluated again in onnxruntime. Run from the repository root:
python -m examples.finetuning.cnn --json_path cnn.json
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import torch
from torch import nn

import lba_onnx
from examples.finetuning.data import READERS, Split
from examples.finetuning.experiment import FLOAT32, Experiment, main
from examples.finetuning.fashion_cnn import DATA, trained_cnn
from examples.finetuning.onnx_run import INPUT, export_to, measure, predict_in_onnxruntime
from examples.finetuning.stages import ONE_STAGE, STAGES, fine_tune, subset
from examples.finetuning.store import Row
from examples.finetuning.tables import below, cross_table
from examples.finetuning.training import accuracy
from lba_onnx.torch import LbaConfig, calibrate, quantize_

CALIBRATION_IMAGES = 256
BATCH = 64
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.02, 0.9, 5e-4
ZERO_SHOT, CORRECTED = "zero-shot", "corrected"
FAMILIES = {
    "M7E4": ("max", "identity"),
    "M5E4": ("max", "identity"),
    "M4E3": ("mse", "recursive_overflow"),
}
"""Method of calibration, and estimator: with 3 exponent bits sums saturate."""
_LABELS = itemgetter("family"), itemgetter("treatment")


@dataclass(frozen=True)
class Case:
    """A family of formats and what is done about it.

    Attributes:
        family: Of products and sums, or "float32".
        method: Of the calibration; "" for float32.
        estimator: Of the gradients; "" where nothing is trained, or for float32.
        treatment: "zero-shot", "corrected", "one stage" or "two stages".
        images: Of the training set, that are trained on.
        epochs: Passes over them.
    """

    family: str
    method: str
    estimator: str
    treatment: str
    images: int
    epochs: int

    @property
    def title(self) -> str:
        """Say in the progress what is run."""
        return f"{self.family} {self.treatment}"


def make_cases() -> Iterator[Case]:
    """Yield float32, the lines of the table, and float32 trained on the same images."""
    images = 20_000
    yield Case(FLOAT32, "", "", ZERO_SHOT, images, 0)
    for family, (method, estimator) in FAMILIES.items():
        for treatment in (ZERO_SHOT, CORRECTED):
            yield Case(family, method, "", treatment, images, 0)
        for treatment in STAGES:
            yield Case(family, method, estimator, treatment, images, 1)
    yield Case(FLOAT32, "", "", ONE_STAGE, images, 1)


def run(case: Case, seed: int) -> Row:
    """Convert, train and measure, in PyTorch and in onnxruntime."""
    data = READERS[DATA]()
    network: nn.Module = trained_cnn(seed)
    images = data.train.inputs[:CALIBRATION_IMAGES]
    if case.family != FLOAT32:
        calibration = calibrate(network, [images], case.family, case.method)
        quantize_(network, LbaConfig(calibration.specs, case.estimator or "identity"))
    if case.epochs:
        train(network, subset(data.train, case.images, seed), case.epochs, case.treatment, seed)
    if case.treatment != CORRECTED:
        return measure(network, data.test)
    with tempfile.TemporaryDirectory() as folder:
        corrected, _ = lba_onnx.correct(export_to(Path(folder), network, images), {INPUT: images.numpy()})
    return {"accuracy": accuracy(predict_in_onnxruntime(corrected, data.test), data.test)}


def train(network: nn.Module, data: Split, epochs: int, stages: str, seed: int) -> None:
    """Fine-tune all parameters; BatchNorm follows the statistics of the low-bit convolutions."""
    optimizer = torch.optim.SGD(
        network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    fine_tune(network, optimizer, data, BATCH, epochs, stages, seed)


def render(rows: Sequence[Row]) -> str:
    """Return the accuracies, how far each is below float32, and how often onnxruntime predicts otherwise."""
    tables = [
        cross_table(rows, "accuracy in %", *_LABELS),
        cross_table(below(rows, "family", (FLOAT32, ZERO_SHOT)), "points below float32", *_LABELS, "below", 2),
        cross_table(
            [row for row in rows if "differing_predictions" in row],
            "differing predictions",
            *_LABELS,
            "differing_predictions",
        ),
    ]
    return "\n\n".join(tables)


EXPERIMENT = Experiment("cnn", tuple(make_cases()), run, render)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)

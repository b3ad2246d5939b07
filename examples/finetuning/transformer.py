"""A transformer at M7E4, 12 bits: texts told positive from negative, with Linear layers and attention converted.

The float32 network, the first two layers of all-MiniLM-L6-v2, is trained on the texts first. Every converted network is
exported and evaluated again in onnxruntime. Run from the repository root:
python -m examples.finetuning.transformer --json_path transformer.json
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter

import torch

from examples.finetuning.cnn import ZERO_SHOT
from examples.finetuning.data import READERS
from examples.finetuning.experiment import FLOAT32, Experiment, main
from examples.finetuning.onnx_run import measure
from examples.finetuning.stages import ONE_STAGE, STAGES, fine_tune
from examples.finetuning.store import Row
from examples.finetuning.tables import below, cross_table
from examples.finetuning.text_classifier import TextClassifier, make_text_classifier
from lba_onnx.torch import LbaConfig, calibrate, quantize_

DATA = "texts"
LAYERS, CLASSES = 2, 2
BATCH, LEARNING_RATE = 32, 1e-4
CALIBRATION_TEXTS = 64
METHOD, ESTIMATOR = "max", "identity"
ATTENTION = ("re:encoder.*attention.self",)
_LABELS = itemgetter("family"), itemgetter("treatment")


@dataclass(frozen=True)
class Case:
    """A family of formats and what is done about it.

    Attributes:
        family: Of products and sums, or "float32".
        treatment: "zero-shot", "one stage" or "two stages".
        epochs: Of fine-tuning, after as many of float32.
    """

    family: str
    treatment: str
    epochs: int

    @property
    def title(self) -> str:
        """Say in the progress what is run."""
        return f"{self.family} {self.treatment}"


def make_cases() -> Iterator[Case]:
    """Yield float32, as it is and trained on, then M7E4."""
    yield Case(FLOAT32, ZERO_SHOT, 0)
    yield Case(FLOAT32, ONE_STAGE, 1)
    yield Case("M7E4", ZERO_SHOT, 0)
    for stages in STAGES:
        yield Case("M7E4", stages, 1)


def run(case: Case, seed: int) -> Row:
    """Convert, train and measure, in PyTorch and in onnxruntime."""
    data = READERS[DATA]()
    network = copy.deepcopy(trained_classifier(seed))
    if case.family != FLOAT32:
        texts = data.train.inputs[:CALIBRATION_TEXTS]
        calibration = calibrate(network, [texts], case.family, METHOD, attention=ATTENTION)
        quantize_(network, LbaConfig(calibration.specs, ESTIMATOR, ATTENTION))
    if case.epochs:
        train(network, case.epochs, case.treatment, seed)
    return measure(network, data.test)


@cache
def trained_classifier(seed: int) -> TextClassifier:
    """Return the float32 network after one epoch; the embeddings stay as they were. Trained once in a process."""
    network = make_text_classifier(LAYERS, CLASSES, seed)
    network.embeddings.requires_grad_(False)
    train(network, 1, ONE_STAGE, seed)
    return network


def train(network: TextClassifier, epochs: int, stages: str, seed: int) -> None:
    """Train all but the embeddings."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE)
    fine_tune(network, optimizer, READERS[DATA]().train, BATCH, epochs, stages, seed)


def render(rows: Sequence[Row]) -> str:
    """Return the accuracies, how far each is below float32, and how often onnxruntime predicts otherwise."""
    exported = [row for row in rows if "differing_predictions" in row]
    tables = [
        cross_table(rows, "accuracy in %", *_LABELS),
        cross_table(below(rows, "family", (FLOAT32, ZERO_SHOT)), "points below float32", *_LABELS, "below"),
        cross_table(exported, "differing predictions", *_LABELS, "differing_predictions"),
    ]
    return "\n\n".join(tables)


EXPERIMENT = Experiment("transformer", tuple(make_cases()), run, render)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)

"""The setting of Blumenfeld, Hubara, Soudry (ICLR 2024) in small: FP8 weights and activations, 12-bit accumulators.

The FP8 baseline has the same quantizers and float32 dot products, and is fine-tuned alike. To run, from the root:
python -m examples.finetuning.float8 --json_path float8.json
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

import torch
from torch import Tensor, nn

from examples.finetuning.cnn import CALIBRATION_IMAGES, ZERO_SHOT, train
from examples.finetuning.data import READERS
from examples.finetuning.experiment import FLOAT32, Experiment, main
from examples.finetuning.fashion_cnn import DATA, trained_cnn
from examples.finetuning.stages import ONE_STAGE, STAGES, subset
from examples.finetuning.store import Row
from examples.finetuning.tables import below, cross_table
from examples.finetuning.training import accuracy, predict
from lba_onnx.torch import (
    Float8InputQuantizer,
    Float8Quantizer,
    LbaConfig,
    calibrate,
    quantize_,
    quantize_float8_,
    set_specs_,
)

FAMILY, METHOD = "M7E4", "max"
BEFORE_CALIBRATION = "M7E4b10"
_LABELS = itemgetter("accumulator"), itemgetter("treatment")


@dataclass(frozen=True)
class Case:
    """What the sums of a network with M4E3 weights and activations are, and how it is trained.

    Attributes:
        accumulator: "float32" or a family of formats.
        treatment: "zero-shot", "one stage" or "two stages".
        images: Of the training set, that are trained on.
        epochs: Passes over them.
    """

    accumulator: str
    treatment: str
    images: int
    epochs: int

    @property
    def title(self) -> str:
        """Say in the progress what is run."""
        return f"{self.accumulator} {self.treatment}"


def make_cases() -> Iterator[Case]:
    """Yield the lines of the table, each with its columns."""
    images = 20_000
    for accumulator, treatments in ((FLOAT32, (ONE_STAGE,)), (FAMILY, STAGES)):
        yield Case(accumulator, ZERO_SHOT, images, 0)
        for treatment in treatments:
            yield Case(accumulator, treatment, images, 1)


def run(case: Case, seed: int) -> Row:
    """Quantize, train and measure."""
    data = READERS[DATA]()
    network: nn.Module = trained_cnn(seed)
    images = data.train.inputs[:CALIBRATION_IMAGES]
    if case.accumulator == FLOAT32:
        quantize_float8_(network)
        show_ranges(network, images)
    else:
        quantize_(network, LbaConfig(BEFORE_CALIBRATION, "identity", (), Float8Quantizer, Float8InputQuantizer))
        show_ranges(network, images)
        set_specs_(network, calibrate(network, [images], case.accumulator, METHOD).specs)
    if case.epochs:
        chosen = subset(data.train, case.images, seed)
        train(network, chosen, case.epochs, case.treatment, seed)
    return {"accuracy": accuracy(predict(network, data.test), data.test)}


def show_ranges(network: nn.Module, images: Tensor) -> None:
    """Let the quantizers of the inputs, and nothing else, learn from a batch."""
    for module in network.modules():
        module.train(isinstance(module, Float8InputQuantizer))
    with torch.no_grad():
        network(images)
    network.eval()


def render(rows: Sequence[Row]) -> str:
    """Return the accuracies, and how far they are below the fine-tuned FP8 baseline."""
    tables = [
        cross_table(rows, "accuracy in %, FP8 with sums in", *_LABELS),
        cross_table(
            below(rows, "accumulator", (FLOAT32, ONE_STAGE)),
            "points below the fine-tuned FP8 baseline",
            *_LABELS,
            "below",
            2,
        ),
    ]
    return "\n\n".join(tables)


EXPERIMENT = Experiment("float8", tuple(make_cases()), run, render)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)

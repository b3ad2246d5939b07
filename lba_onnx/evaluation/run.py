"""Runs a model, and if wanted a reference beside it, over data, and gathers figures."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.arrays import open_npy, read_whole
from lba_onnx.data.batches import DEFAULT_BATCH_SIZE, Batch, Preprocess, read_batches
from lba_onnx.data.blocks import check_labels, sample_count
from lba_onnx.data.execution import Progress, has_sample_axis, run_batch
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.errors import DataError, ModelError
from lba_onnx.evaluation.metrics import OutputComparison, Share, Similarity, is_in_top
from lba_onnx.evaluation.result import Evaluation

if TYPE_CHECKING:
    import onnx
    import onnxruntime

_Outputs = dict[str, NDArray[Any]]


def evaluate(
    model: "str | PathLike[str] | bytes | onnx.ModelProto",
    data: Any,
    labels: "NDArray[Any] | Sequence[int] | str | PathLike[str] | None" = None,
    reference: "str | PathLike[str] | bytes | onnx.ModelProto | None" = None,
    *,
    batch_size: int = DEFAULT_BATCH_SIZE,
    max_samples: int | None = None,
    preprocess: Preprocess | None = None,
    progress: Progress | None = None,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> Evaluation:
    """Measure a model on data: accuracy where there are labels, likeness where there is a reference.

    The data run through once, whatever their number; only sums are kept. The scores are the first output that has the
    shape [samples, classes].

    Args:
        model: Path, bytes or ModelProto, converted or not.
        data: Samples, in any form that `data.blocks.open_blocks` takes; an entry "label" or "labels" is set apart.
        labels: Class numbers [samples], or the path of an .npy file with them; instead of labels in the data.
        reference: The float32 model; its inputs and outputs have the same names.
        batch_size: Samples per run where the model leaves it open.
        max_samples: Where to stop; None for the end of the data.
        preprocess: Called with the arrays of each feed; returns what the model is fed.
        progress: Called after each feed with the samples done and the samples in all (None where unknown).
        providers: onnxruntime's execution providers.

    Raises:
        DataError: The data cannot be read or do not fit the model, or there are fewer labels than samples.
        ModelError: A model cannot be read, or the reference has other inputs or outputs.
        ValueError: A number is not as described.
    """
    from lba_onnx.session import make_session

    session = make_session(model, providers=providers)
    reference_session = None if reference is None else make_session(reference, providers=providers)
    names = _tensor_outputs(session)
    if reference_session is not None:
        _check_same_interface(session, reference_session)
    given = None if labels is None else _read_labels(labels)
    gathering = _Gathering()
    total = sample_count(data, max_samples)
    for batch in read_batches(data, describe_inputs(session), batch_size, max_samples, preprocess):
        own_labels = batch.labels if given is None else _labels_of(batch, given, gathering.samples)
        outputs = dict(zip(names, run_batch(session, batch, names), strict=True))
        expected = None
        if reference_session is not None:
            expected = dict(zip(names, run_batch(reference_session, batch, names, "the reference"), strict=True))
        gathering.update(batch, own_labels, outputs, expected)
        if progress is not None:
            progress(gathering.samples, total)
    if given is not None and max_samples is None and len(given) != gathering.samples:
        raise DataError(f"expected a label per sample, got {len(given)} labels for {gathering.samples} samples")
    return gathering.result()


class _Gathering:
    """All figures of an evaluation, so far."""

    def __init__(self) -> None:
        self.samples = 0
        self._has_five = False
        self._accuracy = {(model, k): Share() for model in ("model", "reference") for k in (1, 5)}
        self._agreement = Share()
        self._similarities: dict[str, Similarity] = {}

    def update(self, batch: Batch, labels: NDArray[Any] | None, outputs: _Outputs, expected: _Outputs | None) -> None:
        self.samples += batch.samples
        scores = _scores(outputs, batch)
        expected_scores = None if expected is None else _scores(expected, batch)
        self._score("model", scores, labels)
        self._score("reference", expected_scores, labels)
        if scores is not None and expected_scores is not None:
            self._agreement.update(is_in_top(scores, expected_scores.argmax(axis=1), 1))
        for name, values in (expected or {}).items():
            self._compare(name, values, outputs[name], batch)

    def _score(self, model: str, scores: NDArray[Any] | None, labels: NDArray[Any] | None) -> None:
        if scores is None or labels is None:
            return
        self._has_five = scores.shape[1] > 5
        for k in (1, 5):
            self._accuracy[model, k].update(is_in_top(scores, labels, k))

    def _compare(self, name: str, expected: NDArray[Any], values: NDArray[Any], batch: Batch) -> None:
        if expected.shape != values.shape:
            raise ModelError(
                f"output {name}: expected the reference's shape {list(expected.shape)}, got {list(values.shape)}"
            )
        rows = batch.samples if has_sample_axis(expected, batch) else 1
        similarity = self._similarities.setdefault(name, Similarity())
        similarity.update(expected.reshape(rows, -1), values.reshape(rows, -1))

    def result(self) -> Evaluation:
        top1, top5 = (self._accuracy["model", k] for k in (1, 5))
        reference_top1, reference_top5 = (self._accuracy["reference", k] for k in (1, 5))
        return Evaluation(
            samples=self.samples,
            labelled_samples=top1.samples,
            top1=top1.percent,
            top5=top5.percent if self._has_five else None,
            reference_top1=reference_top1.percent,
            reference_top5=reference_top5.percent if self._has_five else None,
            agreement=self._agreement.percent,
            outputs=tuple(OutputComparison.of(name, s) for name, s in self._similarities.items()),
        )


def _scores(outputs: _Outputs, batch: Batch) -> NDArray[Any] | None:
    """Return the first output [samples, classes]; a feed without an axis for samples may give [classes]."""
    for output in outputs.values():
        if (
            output.ndim == 2
            and output.shape[1] > 1
            and (has_sample_axis(output, batch) or len(output) == batch.samples)
        ):
            return output
        if output.ndim == 1 and batch.rows is None and output.shape[0] > 1:
            return output[np.newaxis]
    return None


def _read_labels(labels: Any) -> NDArray[Any]:
    if isinstance(labels, (str, PathLike)):
        return check_labels(read_whole(open_npy(Path(labels))), str(labels))
    return check_labels(np.asarray(labels), "labels")


def _labels_of(batch: Batch, labels: NDArray[Any], start: int) -> NDArray[Any]:
    own = labels[start : start + batch.samples]
    if len(own) != batch.samples:
        raise DataError(f"expected a label per sample, got {len(labels)} labels for at least {start + batch.samples}")
    return own


def _tensor_outputs(session: "onnxruntime.InferenceSession") -> list[str]:
    types = {output.name: output.type for output in session.get_outputs()}
    names = [name for name, kind in types.items() if kind.startswith("tensor(") and kind != "tensor(string)"]
    if not names:
        raise ModelError(f"expected a model with an output that is a tensor of numbers, got {sorted(types.values())}")
    return names


def _check_same_interface(model: "onnxruntime.InferenceSession", reference: "onnxruntime.InferenceSession") -> None:
    for what, of_model, of_reference in (
        ("inputs", model.get_inputs(), reference.get_inputs()),
        ("outputs", model.get_outputs(), reference.get_outputs()),
    ):
        expected, got = sorted(v.name for v in of_reference), sorted(v.name for v in of_model)
        if expected != got:
            raise ModelError(f"expected the {what} of the reference, {', '.join(expected)}, got {', '.join(got)}")

"""A quick verdict on a model, from a few samples that stay in memory: for searches that try many models."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.batches import Batch
from lba_onnx.data.hooks import function_name
from lba_onnx.data.watching import enter_phase, passing
from lba_onnx.errors import DataError
from lba_onnx.evaluation.class_outputs import ClassOutputs, find_class_outputs
from lba_onnx.evaluation.likeness import Assessment, Likeness, comparable, unit_of
from lba_onnx.evaluation.outputs import Outputs, check_same_names, names_of, run_by_name, tensor_outputs
from lba_onnx.evaluation.perplexity import TokenLosses, TokenSums, is_perplexity
from lba_onnx.evaluation.sums import Moments
from lba_onnx.evaluation.user_metric import Metric, load_metric, measure
from lba_onnx.session import make_session

if TYPE_CHECKING:
    import onnxruntime

    from lba_onnx.rewrite.model_files import ModelSource


class Judge:
    """Scores models on the same few samples, larger is better.

    A score is the mean of the user's metric, or minus the logarithm of the perplexity; without one, the SQNR in dB of
    the model's floating-point outputs against the reference's, averaged over outputs; for a model without such outputs,
    the percentage of equal values.

    Attributes:
        unit: What scores count: the metric's name, "log-likelihood of a token", "dB" or "%".
    """

    def __init__(
        self,
        reference: "ModelSource",
        batches: Sequence[Batch],
        *,
        metric: Metric | str | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        """Run the reference once; keep the feeds and, without a metric, the reference's outputs.

        Args:
            reference: The float32 model, as path, bytes or ModelProto.
            batches: Few samples, as `data.batches.read_batches` yields them, with labels if the metric needs them.
            metric: Called with outputs by name and labels (or None), returns a number per sample; or "module:function".
            providers: onnxruntime's execution providers.

        Raises:
            DataError: There are no batches, or the reference does not run on them.
            ModelError: The reference cannot be read.
            ValueError: There is no such metric.
        """
        if not batches:
            raise DataError("expected at least one batch to judge by, got none")
        self._providers = tuple(providers)
        self._metric = load_metric(metric)
        self._batches = tuple(batches)
        session = make_session(reference, providers=self._providers)
        self._outputs = names_of(session.get_outputs())
        names = tensor_outputs(session)
        self._expected: list[Outputs] = []
        self._classes = ClassOutputs()
        if self._metric is None:
            self._classes = find_class_outputs(reference)
            enter_phase("outputs of the reference", unit="")
            for batch in passing(self._batches):
                outputs = comparable(run_by_name(session, batch, names, "the reference"))
                self._expected.append({name: values.copy() for name, values in outputs.items()})  # no part of a session
        self.unit = function_name(self._metric) if self._metric else unit_of(self._expected[0])
        if is_perplexity(self._metric):
            self.unit = "log-likelihood of a token"

    def score(self, model: "ModelSource") -> float:
        """Return how good a model is, larger is better.

        Returns:
            The mean of the metric, or the SQNR in dB, within -200 and 200 for each output, or the percentage of equal
            values. Minus infinity where a metric is NaN or a difference of outputs is.

        Raises:
            DataError: The model does not run on the samples.
            ModelError: The model cannot be read, or has other outputs than the reference.
            ValueError: The metric returned something else than a number per sample.
        """
        return self.assess(model).score

    def assess(self, model: "ModelSource") -> Assessment:
        """Return the score of a model, and whether it decides as the reference does; raises as `score`."""
        return self.assess_parts(model, [range(len(self._batches))])[0]

    def score_outputs(self, outputs: Sequence[Outputs]) -> float:
        """Return the score, without a metric, of a model whose outputs are the reference's, but for some.

        Args:
            outputs: By batch those that may differ.
        """
        verdict = Likeness(self._expected[0], self._classes)
        for batch, expected, given in zip(self._batches, self._expected, outputs, strict=True):
            verdict.update(batch, expected, {name: given.get(name, values) for name, values in expected.items()})
        return verdict.assessment.score

    def assess_parts(self, model: "ModelSource", parts: Sequence[range]) -> list[Assessment]:
        """Run a model once, and assess it for each choice of batches, told by their numbers; raises as `score`."""
        session = make_session(model, providers=self._providers)
        check_same_names("outputs", self._outputs, names_of(session.get_outputs()))
        verdicts = [self._verdict() for _ in parts]
        for number, batch in enumerate(passing(self._batches)):
            seen = self._seen(number, batch, session)
            for part, verdict in zip(parts, verdicts, strict=True):
                if number in part:
                    verdict.update(*seen)
        return [verdict.assessment for verdict in verdicts]

    def _verdict(self) -> "Likeness | _Measured | _Foretold":
        if is_perplexity(self._metric):
            return _Foretold()
        return _Measured() if self._metric is not None else Likeness(self._expected[0], self._classes)

    def _seen(self, number: int, batch: Batch, session: "onnxruntime.InferenceSession") -> Sequence[Any]:
        """Return what a verdict is updated with."""
        if self._metric is None:
            expected = self._expected[number]
            return batch, expected, run_by_name(session, batch, list(expected), "the model")
        outputs = run_by_name(session, batch, tensor_outputs(session), "the model")
        if is_perplexity(self._metric):
            return (TokenLosses.of(batch, outputs),)
        return (measure(self._metric, outputs, batch.labels, batch.samples, batch.sample_origin),)


class _Measured:
    """The mean of a user's metric so far."""

    def __init__(self) -> None:
        self._moments = Moments()

    def update(self, numbers: NDArray[np.float64]) -> None:
        self._moments.update(numbers.tolist())

    @property
    def assessment(self) -> Assessment:
        return Assessment.of(self._moments.mean)


class _Foretold:
    """How well a model has foretold tokens so far."""

    def __init__(self) -> None:
        self._sums = TokenSums()

    def update(self, tokens: TokenLosses) -> None:
        self._sums.update(tokens.losses, tokens.tokens)

    @property
    def assessment(self) -> Assessment:
        return Assessment.of(-self._sums.mean)

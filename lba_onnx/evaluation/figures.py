"""All figures of an evaluation or comparison, gathered batch by batch.

Only counts and sums are kept, and sums are exact: figures of parts of the data merge, in any order, into those of one
pass over the same batches, to the last bit.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.batches import Batch
from lba_onnx.evaluation.class_agreement import ClassAgreement
from lba_onnx.evaluation.class_outputs import ClassOutputs, by_shape
from lba_onnx.evaluation.estimates import MeanEstimate, PairedDifference, PerplexityChange
from lba_onnx.evaluation.evaluation_result import Comparison, Evaluation, OutputComparison
from lba_onnx.evaluation.metrics import Share, Similarity, is_in_top
from lba_onnx.evaluation.output_values import ValueSums
from lba_onnx.evaluation.outputs import Outputs, as_rows, check_class_labels
from lba_onnx.evaluation.perplexity import TokenLosses, TokenSums, is_perplexity
from lba_onnx.evaluation.sums import Moments
from lba_onnx.evaluation.user_metric import Metric, measure

_TOP = (1, 5)


@dataclass(frozen=True)
class BatchResult:
    """What one model gave on one batch, per sample.

    Attributes:
        samples: How many samples.
        scores: Class scores [samples, classes] by output; empty where no output has them.
        is_right: For 1, and 5 where there are more classes: whether the label is among so many highest scores of the
            first of these outputs, [samples]; empty without labels or scores.
        metric: The user's metric, bool or float64 [samples]; None without one.
        tokens: How the tokens were foretold, where the metric is perplexity; None otherwise.
        is_labelled: Whether the samples have labels.
        outputs: All of what it gave.
    """

    samples: int
    scores: Outputs
    is_right: dict[int, NDArray[np.bool_]]
    metric: NDArray[Any] | None
    tokens: TokenLosses | None
    is_labelled: bool
    outputs: Outputs

    @classmethod
    def of(cls, batch: Batch, outputs: Outputs, classes: ClassOutputs, metric: Metric | None) -> "BatchResult":
        """Return the results of a batch; labels make class scores of any output that has the shape.

        Raises:
            DataError: The data do not tell the perplexity.
            ModelError: The outputs do not.
            ValueError: The metric returned something else than a number per sample.
        """
        scores, labels = classes.find(outputs, batch), batch.labels
        is_right = {}
        if is_perplexity(metric):
            tokens = TokenLosses.of(batch, outputs)
            return cls(batch.samples, {}, {}, None, tokens, labels is not None, outputs)
        check_class_labels(batch)
        if labels is not None:
            scores = scores or by_shape(outputs).find(outputs, batch)
            for first in list(scores.values())[:1]:
                is_right = {k: is_in_top(first, labels, k) for k in _TOP if k < first.shape[1]}
        values = None if metric is None else measure(metric, outputs, labels, batch.samples, batch.sample_origin)
        return cls(batch.samples, scores, is_right, values, None, labels is not None, outputs)


class ModelFigures:
    """Figures of one model.

    Attributes:
        metric_name: The user's metric; None without one.
        samples: How many samples there were.
        labelled: How many of them had a label.
    """

    def __init__(self, metric_name: str | None = None) -> None:
        self.metric_name = metric_name
        self.samples = 0
        self.labelled = 0
        self._outputs: dict[str, ValueSums] = {}
        self._right = {k: Share() for k in _TOP}
        self._metric = Moments()
        self._tokens = TokenSums()
        self._true = Share()  # of a metric that gives truths; its samples stay behind where one gives numbers

    def update(self, result: BatchResult) -> None:
        """Add a batch."""
        self.samples += result.samples
        self.labelled += result.samples if result.is_labelled else 0
        for name, values in result.outputs.items():
            self._outputs.setdefault(name, ValueSums()).update(values)
        for k, is_right in result.is_right.items():
            self._right[k].update(is_right)
        if result.tokens is not None:
            self._tokens.update(result.tokens.losses, result.tokens.tokens)
        if result.metric is not None:
            self._metric.update(result.metric.astype(np.float64).tolist())
            if result.metric.dtype == bool:
                self._true.update(result.metric)

    def merge(self, other: "ModelFigures") -> None:
        """Add all that was gathered from another part of the data."""
        self.samples += other.samples
        self.labelled += other.labelled
        for name, sums in other._outputs.items():
            self._outputs.setdefault(name, ValueSums()).merge(sums)
        for k, share in self._right.items():
            share.merge(other._right[k])
        self._metric.merge(other._metric)
        self._tokens.merge(other._tokens)
        self._true.merge(other._true)

    def result(self) -> Evaluation:
        """Return the figures so far."""
        top1, top5 = (self._right[k].proportion for k in _TOP)
        outputs = tuple(sums.result(name) for name, sums in self._outputs.items())
        return Evaluation(self.samples, top1, top5, self.metric_name, self._mean(), self.labelled, outputs)

    def _mean(self) -> MeanEstimate | None:
        truths = self._true.proportion
        if truths is not None and truths.samples == self._metric.samples:
            return MeanEstimate.of_truths(truths)
        return MeanEstimate.of_numbers(self._metric) if self._metric.samples else self._tokens.perplexity


class PairCounts:
    """Counts on which samples two models are right: both, one of them, none."""

    def __init__(self) -> None:
        self._counts = [0, 0, 0, 0]

    def update(self, reference: NDArray[np.bool_], candidate: NDArray[np.bool_]) -> None:
        """Add truths [samples] of both."""
        for index, (of_reference, of_candidate) in enumerate(((True, True), (True, False), (False, True))):
            self._counts[index] += int(((reference == of_reference) & (candidate == of_candidate)).sum())
        self._counts[3] += int((~reference & ~candidate).sum())

    def merge(self, other: "PairCounts") -> None:
        """Add all that another object has counted."""
        self._counts = [own + others for own, others in zip(self._counts, other._counts, strict=True)]

    @property
    def difference(self) -> PairedDifference | None:
        """The counts so far; None without samples."""
        return PairedDifference(*self._counts) if any(self._counts) else None


class ComparisonFigures:
    """Figures of a candidate beside a reference.

    Attributes:
        reference: Figures of the reference alone.
        candidate: Figures of the candidate alone.
    """

    def __init__(self, metric_name: str | None = None) -> None:
        self.reference = ModelFigures(metric_name)
        self.candidate = ModelFigures(metric_name)
        self._right = {k: PairCounts() for k in _TOP}
        self._metric = Moments()  # of the differences
        self._tokens = TokenSums()  # of the differences
        self._true = PairCounts()
        self._agreement = Share()
        self._classes: dict[str, ClassAgreement] = {}
        self._similarities: dict[str, Similarity] = {}

    @property
    def samples(self) -> int:
        """How many samples there were."""
        return self.reference.samples

    def update(
        self, batch: Batch, expected: Outputs, outputs: Outputs, classes: ClassOutputs, metric: Metric | None = None
    ) -> None:
        """Add a batch.

        Args:
            batch: What was run.
            expected: The reference's outputs.
            outputs: The candidate's.
            classes: Which of the reference's outputs may hold class scores.
            metric: The user's metric.

        Raises:
            ModelError: An output has another shape than the reference's.
            ValueError: The metric returned something else than a number per sample.
        """
        for name, values in expected.items():
            self._similarities.setdefault(name, Similarity()).update(*as_rows(name, values, outputs[name], batch))
        reference = BatchResult.of(batch, expected, classes, metric)
        candidate = BatchResult.of(batch, outputs, classes, metric)
        self.reference.update(reference)
        self.candidate.update(candidate)
        self._pair(reference, candidate)

    def _pair(self, reference: BatchResult, candidate: BatchResult) -> None:
        for k, is_right in reference.is_right.items():
            self._right[k].update(is_right, candidate.is_right[k])
        if reference.scores:
            same = [
                self._classes.setdefault(name, ClassAgreement()).update(scores, candidate.scores[name])
                for name, scores in reference.scores.items()
            ]
            self._agreement.update(np.logical_and.reduce(same))
        if reference.tokens is not None and candidate.tokens is not None:
            with np.errstate(invalid="ignore"):
                self._tokens.update(candidate.tokens.losses - reference.tokens.losses, reference.tokens.tokens)
        if reference.metric is not None and candidate.metric is not None:
            with np.errstate(invalid="ignore", over="ignore"):  # infinite minus infinite
                differences = candidate.metric.astype(np.float64) - reference.metric.astype(np.float64)
            self._metric.update(differences.tolist())
            if reference.metric.dtype == candidate.metric.dtype == bool:
                self._true.update(reference.metric, candidate.metric)

    def merge(self, other: "ComparisonFigures") -> None:
        """Add all that was gathered from another part of the data."""
        self.reference.merge(other.reference)
        self.candidate.merge(other.candidate)
        for k, counts in self._right.items():
            counts.merge(other._right[k])
        self._metric.merge(other._metric)
        self._tokens.merge(other._tokens)
        self._true.merge(other._true)
        self._agreement.merge(other._agreement)
        for name, classes in other._classes.items():
            self._classes.setdefault(name, ClassAgreement()).merge(classes)
        for name, similarity in other._similarities.items():
            self._similarities.setdefault(name, Similarity()).merge(similarity)

    def result(self) -> Comparison:
        """Return the figures so far."""
        top1_difference, top5_difference = (self._right[k].difference for k in _TOP)
        return Comparison(
            reference=self.reference.result(),
            candidate=self.candidate.result(),
            top1_difference=top1_difference,
            top5_difference=top5_difference,
            metric_difference=self._mean_difference(),
            agreement=self._agreement.proportion,
            outputs=tuple(OutputComparison.of(n, s, self._classes.get(n)) for n, s in self._similarities.items()),
        )

    def _mean_difference(self) -> MeanEstimate | PerplexityChange | None:
        truths = self._true.difference
        if truths is not None and truths.samples == self._metric.samples:
            return MeanEstimate.of_truths(truths)
        return MeanEstimate.of_numbers(self._metric) if self._metric.samples else self._tokens.change

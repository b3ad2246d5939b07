"""What an evaluation and a comparison found, and their JSON forms."""

from dataclasses import dataclass
from typing import Any

from lba_onnx.evaluation.class_agreement import ClassAgreement
from lba_onnx.evaluation.estimates import MeanEstimate, PairedDifference, PerplexityChange, Proportion, finite_or_none
from lba_onnx.evaluation.intervals import Interval
from lba_onnx.evaluation.metrics import Similarity
from lba_onnx.evaluation.output_values import OutputValues


@dataclass(frozen=True)
class Evaluation:
    """Figures of one model on data.

    Attributes:
        samples: How many samples ran.
        top1: Labelled samples whose label has the highest score; None without labels or scores.
        top5: Labelled samples whose label is among the five highest; None without, or with five classes or fewer.
        metric_name: The user's metric; None without one.
        metric: Its mean, or the perplexity (`estimates.Perplexity`); None without one.
        labelled: How many samples had a label.
        outputs: What the values of each output are like.
    """

    samples: int
    top1: Proportion | None
    top5: Proportion | None
    metric_name: str | None
    metric: MeanEstimate | None
    labelled: int
    outputs: tuple[OutputValues, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; null stands for None, and for numbers that JSON cannot hold."""
        figures = {name: _json(getattr(self, name)) for name in ("top1", "top5", "metric")}
        outputs = {"outputs": [output.to_json() for output in self.outputs]} if self.outputs else {}
        return {
            "samples": self.samples,
            "labelled": self.labelled,
            "metric_name": self.metric_name,
            **figures,
            **outputs,
        }


@dataclass(frozen=True)
class OutputComparison:
    """How one output of a model compares with the reference's.

    Attributes:
        name: The output.
        mean_cosine: Mean over samples of the cosine with the reference.
        sqnr_db: Signal-to-quantization-noise ratio; infinite where nothing differs.
        max_abs_difference: Largest difference of two values.
        is_float: Whether the values are floating-point numbers.
        equal: Samples of which all values are the reference's; None without samples.
        cosine_interval: 95 % interval of mean_cosine; None where the samples allow none.
        sqnr_interval_db: 95 % interval of sqnr_db; None where the samples allow none.
        agreement: Samples whose highest score is the reference's; None for an output that is no class scores
            (`evaluation.class_outputs`).
        kappa: Cohen's kappa of that; None without, and where all of the reference's samples are in one class.
    """

    name: str
    mean_cosine: float | None
    sqnr_db: float | None
    max_abs_difference: float
    is_float: bool
    equal: Proportion | None
    cosine_interval: Interval | None = None
    sqnr_interval_db: Interval | None = None
    agreement: Proportion | None = None
    kappa: float | None = None

    @classmethod
    def of(cls, name: str, similarity: Similarity, classes: ClassAgreement | None) -> "OutputComparison":
        """Return the figures gathered so far."""
        return cls(
            name,
            similarity.mean_cosine,
            similarity.sqnr_db,
            similarity.max_abs_difference,
            similarity.is_float,
            similarity.equal.proportion,
            similarity.cosine_interval,
            similarity.sqnr_interval_db,
            None if classes is None else classes.proportion,
            None if classes is None else classes.kappa,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; numbers that JSON cannot hold (an infinite sqnr_db, NaN) become null."""
        plain = {name: finite_or_none(value) for name, value in vars(self).items()}
        intervals = {name: _listed(plain[name]) for name in ("cosine_interval", "sqnr_interval_db")}
        return {**plain, **intervals, "equal": _json(self.equal), "agreement": _json(self.agreement)}


@dataclass(frozen=True)
class Comparison:
    """Figures of a candidate beside a reference, on the same data.

    Attributes:
        reference: The reference alone.
        candidate: The candidate alone.
        top1_difference: By how much the candidate's top-1 is higher; None without labels or scores.
        top5_difference: The same for top-5; None without, or with five classes or fewer.
        metric_difference: Mean over samples of the candidate's metric minus the reference's; of perplexities, by how
            much the candidate's is higher; None without a metric.
        agreement: Samples whose highest score is the reference's, in all outputs that are class scores; None where
            none is.
        outputs: Per output, how its values compare.
    """

    reference: Evaluation
    candidate: Evaluation
    top1_difference: PairedDifference | None
    top5_difference: PairedDifference | None
    metric_difference: MeanEstimate | PerplexityChange | None
    agreement: Proportion | None
    outputs: tuple[OutputComparison, ...]

    @property
    def samples(self) -> int:
        """How many samples ran."""
        return self.reference.samples

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; null stands for None, and for numbers that JSON cannot hold."""
        names = ("reference", "candidate", "top1_difference", "top5_difference", "metric_difference", "agreement")
        values = {name: _json(getattr(self, name)) for name in names}
        if self.metric_difference is not None:
            values["metric_difference"]["is_significant"] = self.metric_difference.is_significant
        return {**values, "outputs": [output.to_json() for output in self.outputs]}


def _listed(interval: Interval | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _json(value: Evaluation | Proportion | PairedDifference | MeanEstimate | PerplexityChange | None) -> Any:
    return None if value is None else value.to_json()

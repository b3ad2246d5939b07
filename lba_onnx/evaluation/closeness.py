"""Whether a model that was measured beside float32 is close to it: one word, and one line.

    class scores          close: 95 % of the samples have the same top-1, and kappa is at least 0.8
                          does not work: the interval of that share ends below 80 %; or kappa is below 0.4 and the
                          SQNR below 10 dB
    other floating point  close: an SQNR of at least 17 dB (noise is 2 % of the energy)
                          does not work: below 10 dB (10 %), or values that are no numbers
    integers, where there close: 95 % of the samples are equal
    is nothing else       does not work: the interval of that share ends below 80 %

In between it differs. Of several outputs the worst decides. Class scores whose samples are all in one class, in
float32, are judged by their SQNR. Kappa is Cohen's: agreement beyond chance, which 95 % of samples that are all but in
one class would hide.
"""

import math
from dataclasses import dataclass
from typing import Any

from lba_onnx.evaluation.estimates import PerplexityChange, Proportion
from lba_onnx.evaluation.evaluation_result import Comparison, OutputComparison

CLOSE, DIFFERS, BROKEN, UNKNOWN = "close", "differs", "broken", "not measured"
LEAST_SAMPLES = 30
"""With fewer, a measurement is called not good."""

_ORDER = (CLOSE, DIFFERS, BROKEN)
_CLOSE_PERCENT, _BROKEN_PERCENT = 95.0, 80.0
_CLOSE_KAPPA, _CHANCE_KAPPA = 0.8, 0.4
_CLOSE_DB, _BROKEN_DB = 17.0, 10.0
_OPENINGS = {
    CLOSE: "close to float32",
    DIFFERS: "differs from float32",
    BROKEN: "the model does not work at this format",
}


@dataclass(frozen=True)
class Closeness:
    """What was measured of a converted model beside float32, and what it amounts to.

    Attributes:
        status: "close", "differs", "broken" or "not measured".
        samples: How many samples it was measured on.
        reason: The figure that decides, with its interval; for "not measured", why not.
        comparison: All figures; None for "not measured".
        remark: What else to know of the samples, or "".
    """

    status: str
    samples: int
    reason: str
    comparison: Comparison | None = None
    remark: str = ""

    @classmethod
    def of(cls, comparison: Comparison) -> "Closeness":
        """Return what a comparison of a converted model with float32 amounts to."""
        found = [_judge(output) for output in _outputs_that_count(comparison)]
        status = max((status for status, _, _ in found), key=_ORDER.index)
        worst = [(name, text) for of_output, name, text in found if of_output == status]
        name, text = worst[0]
        text = text if len(comparison.outputs) == 1 else f"{name}: {text}"
        return cls(status, comparison.samples, text, comparison)

    @classmethod
    def unknown(cls, reason: str) -> "Closeness":
        """Return that nothing was measured, and why."""
        return cls(UNKNOWN, 0, reason)

    @property
    def is_measured_well(self) -> bool:
        """Whether there were enough samples."""
        return self.samples >= LEAST_SAMPLES

    def __str__(self) -> str:
        """Return one line: the word, the figure that decides, and what labels and a metric add to it."""
        if self.comparison is None:
            return f"not measured: {self.reason}"
        doubt = "" if self.is_measured_well else f" (not measured well, on {self.samples} samples)"
        remarks = [self.remark] if self.remark else []
        return "; ".join([f"{_OPENINGS[self.status]}{doubt}: {self.reason}", *_further(self.comparison), *remarks])

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        comparison = None if self.comparison is None else self.comparison.to_json()
        flags = {"is_measured_well": self.is_measured_well, "summary": str(self)}
        return {**vars(self), "comparison": comparison, **flags}


def _outputs_that_count(comparison: Comparison) -> list[OutputComparison]:
    return [output for output in comparison.outputs if output.is_float] or list(comparison.outputs)


def _judge(output: OutputComparison) -> tuple[str, str, str]:
    """Return status, name and the figure that decides."""
    if output.agreement is not None and output.kappa is not None:
        return (
            _judge_classes(output, output.agreement, output.kappa),
            output.name,
            _share_text("same top-1 in", output.agreement),
        )
    if output.is_float or output.equal is None:
        return _judge_values(output), output.name, _values_text(output)
    return _judge_share(output.equal), output.name, _share_text("equal values in", output.equal)


def _judge_classes(output: OutputComparison, agreement: Proportion, kappa: float) -> str:
    status = _judge_share(agreement)
    if status == CLOSE and kappa < _CLOSE_KAPPA:
        status = DIFFERS
    is_chance = kappa < _CHANCE_KAPPA and _judge_values(output) == BROKEN
    return BROKEN if is_chance else status


def _judge_share(share: Proportion) -> str:
    if share.percent >= _CLOSE_PERCENT:
        return CLOSE
    return BROKEN if share.interval[1] < _BROKEN_PERCENT else DIFFERS


def _judge_values(output: OutputComparison) -> str:
    sqnr = output.sqnr_db
    if sqnr is None or not sqnr >= _BROKEN_DB:  # NaN among them
        return BROKEN
    return CLOSE if sqnr >= _CLOSE_DB else DIFFERS


def _share_text(what: str, share: Proportion) -> str:
    low, high = share.interval
    return f"{what} {share.percent:.1f} % of {share.samples} samples ({low:.1f} to {high:.1f})"


def _values_text(output: OutputComparison) -> str:
    sqnr, samples = output.sqnr_db, 0 if output.equal is None else output.equal.samples
    if sqnr is None or math.isnan(sqnr):
        return "its values are not all numbers"
    if math.isinf(sqnr):
        return f"{'no difference' if sqnr > 0 else 'infinite differences'} on {samples} samples"
    interval = output.sqnr_interval_db
    ranged = "" if interval is None else " ({:.1f} to {:.1f})".format(*interval)
    return f"SQNR {sqnr:.1f} dB{ranged} on {samples} samples"


def _further(comparison: Comparison) -> list[str]:
    """Return what labels and the user's metric say."""
    texts = []
    reference, candidate = comparison.reference, comparison.candidate
    if comparison.top1_difference is not None and reference.top1 is not None and candidate.top1 is not None:
        low, high = comparison.top1_difference.interval
        texts.append(
            f"top-1 {candidate.top1.percent:.1f} % against {reference.top1.percent:.1f} "
            f"({comparison.top1_difference.points:+.1f} points, {low:+.1f} to {high:+.1f})"
        )
    difference = comparison.metric_difference
    if difference is not None and reference.metric is not None and candidate.metric is not None:
        interval = difference.interval
        is_change = isinstance(difference, PerplexityChange)
        value = difference.percent if isinstance(difference, PerplexityChange) else difference.mean
        ranged = "" if interval is None else ", {:+.4g} to {:+.4g}".format(*interval)
        texts.append(
            f"{reference.metric_name} {candidate.metric.mean:.4g} against {reference.metric.mean:.4g} "
            f"({value:+.4g}{' %' if is_change else ''}{ranged})"
        )
    return texts

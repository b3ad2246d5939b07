"""Figures with their intervals, as tables show them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lba_onnx.evaluation import Evaluation, MeanEstimate, PairedDifference, PerplexityChange, Proportion


def estimate_text(estimate: "Proportion | MeanEstimate | None") -> tuple[str, str]:
    """Return the value and its interval; - where there is none."""
    from lba_onnx.evaluation import Proportion

    if estimate is None:
        return "-", "-"
    if isinstance(estimate, Proportion):
        low, high = estimate.interval
        return f"{estimate.percent:.2f}", f"{low:.2f} to {high:.2f}"
    return f"{estimate.mean:.5g}", "-" if estimate.interval is None else "{:.5g} to {:.5g}".format(*estimate.interval)


def with_interval(estimate: "Proportion | MeanEstimate | None") -> str:
    """Return the value with its interval in brackets; - where there is none."""
    value, interval = estimate_text(estimate)
    return value if interval == "-" else f"{value} ({interval})"


def difference_text(difference: "PairedDifference | MeanEstimate | PerplexityChange | None") -> tuple[str, str, str]:
    """Return the difference, its interval and what it shows; - where there is none."""
    from lba_onnx.evaluation import PairedDifference, PerplexityChange

    if difference is None:
        return "-", "-", "-"
    unit, sign = "", 1
    if isinstance(difference, PairedDifference):
        value, form = difference.points, "+.2f"
    elif isinstance(difference, PerplexityChange):
        value, form, unit, sign = difference.percent, "+.3g", " %", -1
    else:
        value, form = difference.mean, "+.5g"
    interval = difference.interval
    ranged = "-" if interval is None else f"{interval[0]:{form}} to {interval[1]:{form}}{unit}"
    finding = "candidate better" if value * sign > 0 else "candidate worse"
    return f"{value:{form}}{unit}", ranged, finding if difference.is_significant else "no difference shown"


def missing_accuracy(evaluation: "Evaluation") -> list[str]:
    """Return in words why there is no top-1 or no top-5, and what a perplexity is of; nothing where there are both."""
    from lba_onnx.evaluation import Perplexity

    if isinstance(evaluation.metric, Perplexity):
        return [f"perplexity of {evaluation.metric.tokens} tokens; its intervals are over sequences"]
    if evaluation.top1 is None:
        if not evaluation.labelled:
            return ["no top-1: the data hold no labels; --labels_path gives them, and --metric needs none"]
        return ["no top-1: no output is scores of classes, [samples, classes]; --metric measures any other"]
    return ["no top-5: there are five classes or fewer"] if evaluation.top5 is None else []

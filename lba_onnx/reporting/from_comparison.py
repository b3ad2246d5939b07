"""Accuracy out of what `compare --json` or `evaluate --json` prints."""

from collections.abc import Mapping
from typing import Any

from lba_onnx.reporting.sections import Accuracy, AccuracyFigure, Estimate, OutputLikeness

_FIGURES = (("top1", "top-1", "%"), ("top5", "top-5", "%"))


def accuracy_of_comparison(value: Mapping[str, Any]) -> Accuracy:
    """Return the figures of both models."""
    reference, candidate = value["reference"], value["candidate"]
    figures = [
        _figure(name, unit, reference[key], candidate[key], value[f"{key}_difference"])
        for key, name, unit in _FIGURES
        if value[f"{key}_difference"] is not None
    ]
    if value["metric_difference"] is not None:
        figures.append(_metric(value))
    outputs = tuple(_output(output) for output in value["outputs"])
    agreement = None if value["agreement"] is None else _proportion(value["agreement"])
    return Accuracy(int(reference["samples"]), tuple(figures), outputs, agreement)


def accuracy_of_evaluation(value: Mapping[str, Any]) -> Accuracy:
    """Return the figures of one model."""
    figures = [
        AccuracyFigure(name, unit, None, _proportion(value[key]))
        for key, name, unit in _FIGURES
        if value[key] is not None
    ]
    if value["metric"] is not None:
        name, better = _metric_name(value)
        figures.append(AccuracyFigure(name, "", None, estimate(value["metric"]), larger_is_better=better))
    return Accuracy(int(value["samples"]), tuple(figures), (), None)


def estimate(value: Mapping[str, Any]) -> Estimate | None:
    """Return a mean, or a proportion in percent; None where it is not finite."""
    if "percent" in value:
        return _proportion(value)
    return None if value["mean"] is None else Estimate(float(value["mean"]), *_ends(value["interval"]))


def _proportion(value: Mapping[str, Any]) -> Estimate:
    return Estimate(float(value["percent"]), *_ends(value["interval"]))


def _ends(interval: Any) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (float(interval[0]), float(interval[1]))


def _figure(name: str, unit: str, reference: Any, candidate: Any, difference: Mapping[str, Any]) -> AccuracyFigure:
    found = Estimate(float(difference["points"]), *_ends(difference["interval"]))
    significant = bool(difference["is_significant"])
    return AccuracyFigure(name, unit, _proportion(reference), _proportion(candidate), found, significant)


def _metric(value: Mapping[str, Any]) -> AccuracyFigure:
    difference = value["metric_difference"]
    change = difference["percent"] if "percent" in difference else difference["mean"]
    found = None if change is None else Estimate(float(change), *_ends(difference["interval"]))
    reference, candidate = (estimate(value[side]["metric"]) for side in ("reference", "candidate"))
    name, better = _metric_name(value["candidate"])
    return AccuracyFigure(name, "", reference, candidate, found, bool(difference["is_significant"]), better)


def _metric_name(evaluation: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the name of a metric, and whether more of it is better: of a perplexity less is."""
    return str(evaluation["metric_name"] or "metric"), "tokens" not in evaluation["metric"]


def _output(value: Mapping[str, Any]) -> OutputLikeness:
    sqnr = value["sqnr_db"]
    return OutputLikeness(
        str(value["name"]),
        value["mean_cosine"],
        None if sqnr is None else Estimate(float(sqnr), *_ends(value.get("sqnr_interval_db"))),
        value["max_abs_difference"],
    )

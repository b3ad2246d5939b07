"""A sweep as a figure: accuracy and SQNR over mantissa bits, biases or chunk sizes, a line for each other setting."""

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lba_onnx.evaluation import Evaluation, MeanEstimate, Proportion
from lba_onnx.files.figure_file import figure_kind, write_figure
from lba_onnx.files.outputs import check_outputs
from lba_onnx.sweeping.grid import GridPoint
from lba_onnx.sweeping.sweep_result import Sweep, SweepPoint
from lba_onnx.text import plot_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXES = {
    "mantissa_bits": "mantissa bits",
    "exponent_bias": "exponent bias of the accumulator",
    "chunk_size": "chunk size",
}
"""What the horizontal axis may be, and how it is labelled."""

Lines = dict[str, list[SweepPoint]]


def plot_sweep(sweep: Sweep, path: str | os.PathLike[str], over: str | None = None) -> None:
    """Draw accuracy (else the metric, else agreement) and the SQNR of the first output, and write the figure.

    Vertical bars are 95 % intervals, a dashed line is float32. The file is written whole or not at all.

    Args:
        sweep: What to draw.
        path: The file; its suffix, .png or .svg, says what to write.
        over: "mantissa_bits", "exponent_bias" or "chunk_size"; None for the one with the most values.

    Raises:
        LbaError: matplotlib is not installed.
        OSError: The file cannot be written.
        OutputError: It is one of the files that the sweep has read.
        ValueError: The suffix or `over` is another.
    """
    check_plot(path, over)
    check_outputs({"plot": path}, sweep.sources)
    axis = over or max(AXES, key=lambda name: len(_values(sweep, name)))
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 7), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True)
    _draw_accuracy(upper, sweep, axis)
    _draw_sqnr(lower, sweep, axis)
    lower.set_xlabel(AXES[axis])
    lower.set_xticks(range(len(_values(sweep, axis))), [str(v) for v in _values(sweep, axis)])
    write_figure(figure, path)


def check_plot(path: str | os.PathLike[str], over: str | None = None) -> None:
    """Check, before any work is done, what `plot_sweep` needs.

    Raises:
        LbaError: matplotlib is not installed.
        ValueError: The suffix or `over` is none of those that `plot_sweep` takes.
    """
    figure_kind(path)
    if over is not None and over not in AXES:
        raise ValueError(f"expected to plot over {', '.join(AXES)}, got {over!r}")


def _draw_accuracy(axes: "Axes", sweep: Sweep, axis: str) -> None:
    name, float32 = _accuracy(sweep.float32)
    for label, points in _lines(sweep, axis).items():
        of_agreement = [p.comparison.agreement for p in points]
        estimates = of_agreement if float32 is None else [_accuracy(p.comparison.candidate)[1] for p in points]
        _draw_line(axes, label, [_place(sweep, axis, p) for p in points], estimates)
    if float32 is not None:
        axes.axhline(_number(float32), linestyle="--", color="black", label="float32")
    axes.set_ylabel(plot_label(name))
    axes.grid(visible=True, axis="y")
    axes.legend(fontsize="small")


def _draw_line(axes: "Axes", label: str, places: list[int], estimates: list[Any]) -> None:
    values = [_number(estimate) for estimate in estimates]
    intervals = [(e.interval if e is not None else None) or (v, v) for e, v in zip(estimates, values, strict=True)]
    below = [max(v - low, 0.0) for v, (low, _) in zip(values, intervals, strict=True)]
    above = [max(high - v, 0.0) for v, (_, high) in zip(values, intervals, strict=True)]
    axes.errorbar(places, values, yerr=(below, above), marker="o", capsize=3, label=label)


def _draw_sqnr(axes: "Axes", sweep: Sweep, axis: str) -> None:
    for label, points in _lines(sweep, axis).items():
        found = [p.comparison.outputs[0].sqnr_db for p in points]
        values = [v if v is not None and math.isfinite(v) else math.nan for v in found]
        axes.plot([_place(sweep, axis, p) for p in points], values, marker="o", label=label)
    axes.set_ylabel(plot_label(f"SQNR dB of {sweep.points[0].comparison.outputs[0].name}"))
    axes.grid(visible=True, axis="y")


def _accuracy(evaluation: Evaluation) -> tuple[str, Proportion | MeanEstimate | None]:
    """Return the figure that says most, and its name."""
    if evaluation.top1 is not None:
        return "top-1 %", evaluation.top1
    return evaluation.metric_name or "same top-1 as float32 %", evaluation.metric


def _number(estimate: Proportion | MeanEstimate | None) -> float:
    if estimate is None:
        return math.nan
    return estimate.percent if isinstance(estimate, Proportion) else estimate.mean


def _lines(sweep: Sweep, axis: str) -> Lines:
    """Return the points of each line, from left to right, by a label of the settings in which lines differ."""
    settings = [_other_settings(point.grid, axis) for point in sweep.points]
    varying = [len(set(column)) > 1 for column in zip(*settings, strict=True)]
    lines: Lines = {}
    for point, texts in zip(sweep.points, settings, strict=True):
        label = ", ".join(text for text, is_shown in zip(texts, varying, strict=True) if is_shown)
        lines.setdefault(label or ", ".join(texts), []).append(point)
    return {label: sorted(points, key=lambda p: _place(sweep, axis, p)) for label, points in lines.items()}


def _other_settings(point: GridPoint, axis: str) -> tuple[str, ...]:
    told = point.to_json()
    texts = {
        "family": f"E{told['exponent_bits']}" if axis == "mantissa_bits" and "exponent_bits" in told else _name(told),
        "exponent_bias": f"bias {point.bias}",
        "chunk_size": f"chunk {_value(point, 'chunk_size')}",
        "underflow": f"underflow {'on' if told.get('underflow') else 'off'}",
        "rounding": f"round {told.get('rounding')}",
    }
    return tuple(text for name, text in texts.items() if name != axis)


def _name(told: Mapping[str, Any]) -> str:
    return str(told.get("family", told["text"]))


def _value(point: GridPoint, axis: str) -> int | str:
    told = point.to_json()
    value = told["bias"] if axis == "exponent_bias" else told.get(axis)
    return "none" if value is None else value


def _values(sweep: Sweep, axis: str) -> list[int | str]:
    """Return the values of an axis from left to right: numbers, then names."""
    found = {_value(point.grid, axis) for point in sweep.points}
    return sorted(found, key=lambda v: (isinstance(v, str), v if isinstance(v, int) else 0, str(v)))


def _place(sweep: Sweep, axis: str, point: SweepPoint) -> int:
    return _values(sweep, axis).index(_value(point.grid, axis))

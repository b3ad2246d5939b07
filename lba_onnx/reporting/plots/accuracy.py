"""Accuracy of float32 and of the converted model: points with their 95 % intervals, a row of two for each figure."""

from typing import TYPE_CHECKING

from lba_onnx.reporting.plots.svg import ACCENT, BASE, INK, both_widths, plain
from lba_onnx.reporting.sections import Accuracy, AccuracyFigure, Estimate
from lba_onnx.text import plot_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW = 96


def plot_accuracy(accuracy: Accuracy, reference: str) -> str:
    """Return the figures that both models have; "" where there is none."""
    figures = [figure for figure in accuracy.figures if figure.reference and figure.candidate]
    if not figures:
        return ""

    def draw(canvas: "Figure", width: int) -> None:
        rows = canvas.subplots(len(figures), squeeze=False)
        for axes, figure in zip(rows[:, 0], figures, strict=True):
            _draw(axes, figure, reference)

    names = ", ".join(figure.name for figure in figures)
    return both_widths(draw, _ROW * len(figures), f"{names} of {reference} and of the converted model, with intervals")


def _draw(axes: "Axes", figure: AccuracyFigure, reference: str) -> None:
    for place, (found, colour) in enumerate(((figure.candidate, ACCENT), (figure.reference, BASE))):
        if found is not None:
            draw_interval(axes, found, place, colour)
    axes.set_ylim(-0.6, 1.6)
    axes.set_yticks([0, 1], ["converted", reference], color=INK)
    axes.set_xlabel(plot_label(f"{figure.name} {figure.unit}".strip()))
    axes.margins(x=0.12)
    plain(axes, "x")


def draw_interval(axes: "Axes", found: Estimate, place: float, colour: str) -> None:
    """Draw a point and its interval in a row."""
    if found.low is not None and found.high is not None:
        axes.plot(
            [found.low, found.high], [place, place], color=colour, linewidth=3, solid_capstyle="round", alpha=0.45
        )
    axes.plot([found.value], [place], "o", color=colour, markersize=8)

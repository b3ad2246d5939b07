"""How a product's values are spread over powers of two: products above, sums below, what the formats hold shaded."""

from typing import TYPE_CHECKING

from lba_onnx.reporting.plots.svg import ACCENT, BAND, INK, MUTED, NARROW, WARN, inline_svg, plain
from lba_onnx.reporting.sections import NodeSpreads, Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST_SHARE = 1e-5
_MARGIN = 3  # binades beyond the values


def plot_spreads(found: NodeSpreads) -> str:
    """Return two histograms under each other, on one axis of exponents."""

    def draw(canvas: "Figure", width: int) -> None:
        rows = canvas.subplots(len(found.spreads), sharex=True)
        for axes, spread in zip(rows, found.spreads, strict=True):
            _draw(axes, spread)
        exponents = [exponent for spread in found.spreads for exponent, _ in spread.bins]
        rows[-1].set_xlim(min(exponents) - _MARGIN, max(exponents) + 1 + _MARGIN)
        rows[-1].set_xlabel("log2 of the magnitude")

    return inline_svg(draw, NARROW, 250, f"How products and sums of {found.node} are spread, and what is held of them")


def _draw(axes: "Axes", spread: Spread) -> None:
    held = range(spread.least, spread.most + 1)
    axes.axvspan(spread.least, spread.most + 1, color=BAND, linewidth=0)
    for exponent, share in spread.bins:
        colour = ACCENT if exponent in held else WARN
        axes.bar(exponent, share - _LEAST_SHARE, 0.9, bottom=_LEAST_SHARE, align="edge", color=colour)
    axes.set_yscale("log")
    axes.set_ylim(_LEAST_SHARE, 30)
    axes.set_yticks([1e-4, 1e-2, 1], ["0.01 %", "1 %", "100 %"])
    axes.set_yticks([], minor=True)
    axes.text(0.01, 0.97, spread.place, transform=axes.transAxes, va="top", color=INK, fontsize=12)
    lost = f"{_percent(spread.above)} above, {_percent(spread.below)} below"
    axes.text(0.99, 0.97, lost, transform=axes.transAxes, va="top", ha="right", color=MUTED, fontsize=11)
    plain(axes, "y")


def _percent(share: float) -> str:
    return "0 %" if share == 0 else f"{100 * share:.2g} %"

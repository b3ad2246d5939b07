"""SQNR of each layer: what rounding alone is expected to leave, and what was measured."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lba_onnx.reporting.plots.svg import ACCENT, INK, MUTED, RULE, WIDE, both_widths, plain, shortened
from lba_onnx.reporting.sections import Layer, Layers
from lba_onnx.text import plot_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 20
"""Layers that are drawn."""

_ROW = 24


def plot_layers(layers: Layers) -> str:
    """Return a row for each of the worst layers; "" where there is nothing to draw."""
    rows = drawn(layers)
    if not rows:
        return ""

    def draw(canvas: "Figure", width: int) -> None:
        axes = canvas.subplots()
        places = range(len(rows))[::-1]
        for row, place in zip(rows, places, strict=True):
            ends = [value for value in (row.expected_sqnr_db, row.own_sqnr_db) if value is not None]
            axes.plot(ends, [place] * len(ends), color=RULE, linewidth=3, zorder=1)
        for values, marker, fill, label in (
            ([row.expected_sqnr_db for row in rows], MUTED, "none", "expected from rounding alone"),
            ([row.own_sqnr_db for row in rows], ACCENT, ACCENT, "measured"),
        ):
            known = [(value, place) for value, place in zip(values, places, strict=True) if value is not None]
            if known:
                axes.plot(*zip(*known, strict=True), "o", color=marker, markerfacecolor=fill, markersize=8, label=label)
        names = [plot_label(shortened(row.node, 32 if width == WIDE else 18)) for row in rows]
        axes.set_yticks(list(places), names, color=INK)
        axes.set_ylim(-0.7, len(rows) - 0.3)
        axes.set_xlabel("SQNR, dB: more is better")
        axes.margins(x=0.08)
        plain(axes, "x")
        canvas.legend(loc="outside upper left", ncols=2 if width == WIDE else 1)

    height = 84 + _ROW * len(rows)
    return both_widths(draw, height, "SQNR of each layer, expected and measured", height + 16)


def drawn(layers: Layers) -> Sequence[Layer]:
    """Return the layers of which there is something to draw, the worst first, as many as fit."""
    known = [row for row in layers.rows if row.expected_sqnr_db is not None or row.own_sqnr_db is not None]
    if not layers.is_measured:
        known.sort(key=lambda row: row.expected_sqnr_db or 0.0)
    return known[:MOST]

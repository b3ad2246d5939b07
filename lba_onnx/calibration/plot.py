"""One node of a calibration as a figure: where its products and sums lie, and what the chosen formats hold of them.

upper   products:      share of them by floor(log2|.|), the product format's range shaded
lower   sums of each level (partial sums in chunks, totals across chunks): the same with the accumulator format
"""

import difflib
import itertools
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lba_onnx.arithmetic.accumulator import HeldRange
from lba_onnx.calibration.calibration_result import Calibration, NodeCalibration
from lba_onnx.calibration.histogram import Log2Histogram
from lba_onnx.calibration.ranges import LevelRange, NodeRange, plural
from lba_onnx.errors import DataError, SelectionError
from lba_onnx.files.figure_file import figure_kind, write_figure
from lba_onnx.files.outputs import check_outputs
from lba_onnx.observation.event_rates import EventRates, event_name
from lba_onnx.text import plot_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown")
_LEAST_SHARE = 1e-5
"""Where the vertical axis begins; rarer binades belong to the tail that no figure can show."""


def plot_node(calibration: Calibration, node: str, path: str | os.PathLike[str]) -> None:
    """Draw how the values of a node are spread over binades, and what lies outside the formats chosen for it.

    Bars count sampled values; a dotted line is the largest of all values. The file is written whole or not at all.

    Args:
        calibration: With histograms, as `calibrate` makes it.
        node: A node's name.
        path: The file; its suffix, .png or .svg, says what to write.

    Raises:
        DataError: The node had no values.
        LbaError: matplotlib is not installed.
        OSError: The file cannot be written.
        OutputError: It is one of the files that the calibration was made from.
        SelectionError: There is no such node.
        ValueError: The suffix is another.
    """
    figure_kind(path)
    check_outputs({"plot": path}, calibration.sources)
    found, seen, rates = _values_of(calibration, node)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    figure.suptitle(plot_label(f"{node}: {found.spec}, method {calibration.method}"))
    upper, lower = figure.subplots(2, sharex=True)
    of_products, of_sums = found.spec.ranges
    _draw(upper, seen.levels[:1], rates, of_products)
    _draw(lower, seen.levels[1:], rates, of_sums)
    lower.set_xlabel("log2 of the magnitude")
    write_figure(figure, path)


def _values_of(calibration: Calibration, name: str) -> tuple[NodeCalibration, NodeRange, EventRates]:
    found = calibration.nodes.get(name)
    if found is None:
        nearest = difflib.get_close_matches(name, calibration.nodes, n=3, cutoff=0.0)
        raise SelectionError(f"no node is called {name!r}; the nearest names are {', '.join(map(repr, nearest))}")
    if found.range is None or found.rates is None:
        raise DataError(f"node {name!r}: expected values to draw, got none; it {found.note or 'has none'}")
    return found, found.range, found.rates


def _draw(axes: "Axes", levels: Sequence[LevelRange], rates: EventRates, held: HeldRange) -> None:
    axes.axvspan(held.min_exponent, held.max_exponent + 1, color="0.9", label=f"range of {held.text}")
    for level, colour in zip(levels, itertools.cycle(_COLOURS)):
        over, under = (rates.shares.get(event_name(level.name, e)) or 0.0 for e in ("overflow", "underflow"))
        name = plural(level.name).replace("_", " ")
        label = f"{name}: {_percent(over)} above, {_percent(under)} below"
        edges, heights = _outline(level.log2)
        axes.stairs(heights, edges, fill=len(levels) == 1, color=colour, label=label, baseline=_LEAST_SHARE)
    largest = max(level.max_abs for level in levels)
    axes.axvline(math.log2(largest), linestyle=":", color="black", label=f"largest of all: {largest:.4g}")
    axes.set_yscale("log")
    axes.set_ylim(_LEAST_SHARE, 3)
    axes.set_ylabel("share of the values")
    axes.legend(fontsize="small", loc="upper left")


def _outline(values: Log2Histogram) -> tuple[list[int], list[float]]:
    """Return the edges of the binades that are used, and each one's share; empty ones in between have 0."""
    counts = dict(values.bins)
    binades = range(min(counts), max(counts) + 1)
    return [*binades, binades.stop], [counts.get(binade, 0) / values.count for binade in binades]


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"

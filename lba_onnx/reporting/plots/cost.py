"""Gates of a mean multiply-accumulate by what they are for, beside those of float32 sums."""

from typing import TYPE_CHECKING, Any

from lba_onnx.reporting.plots.svg import ACCENT, BASE, INK, MUTED, both_widths, plain
from lba_onnx.reporting.sections import Cost

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROW = 34


def plot_cost(cost: Cost) -> str:
    """Return a pair of bars for each group of gates."""
    groups = {name: gates for name, gates in cost.groups.items() if any(gates)}

    def draw(canvas: "Figure", width: int) -> None:
        axes = canvas.subplots()
        places = range(len(groups))[::-1]
        own, wide = zip(*groups.values(), strict=True)
        axes.barh([place + 0.19 for place in places], wide, height=0.34, color=BASE, label="float32 sums")
        axes.barh([place - 0.19 for place in places], own, height=0.34, color=ACCENT, label="this model")
        for place, gates in zip(places, own, strict=True):
            beside: dict[str, Any] = {"xytext": (5, 0), "textcoords": "offset points"}
            axes.annotate(f"{gates:.0f}", (gates, place - 0.19), va="center", color=MUTED, fontsize=11, **beside)
        axes.set_yticks(list(places), list(groups), color=INK)
        axes.set_xlabel("gates of a mean multiply-accumulate")
        plain(axes, "x")
        canvas.legend(loc="outside upper left", ncols=2)

    return both_widths(draw, 80 + _ROW * len(groups), "Gates of a multiply-accumulate by what they are for")

"""Cost against loss: every point that was measured with its interval, and the line of those that no other one beats."""

from typing import TYPE_CHECKING

from lba_onnx.reporting.plots.svg import ACCENT, BASE, INK, MUTED, WIDE, both_widths, plain, shortened
from lba_onnx.reporting.sections import Front, FrontPoint
from lba_onnx.text import plot_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DECADES = 30.0  # of losses, from which on their logarithm is drawn


def plot_front(front: Front) -> str:
    """Return the points; uniform ones are squares, mixed ones circles."""

    def draw(canvas: "Figure", width: int) -> None:
        axes = canvas.subplots()
        best = [point for point in front.points if point.is_on_front]
        axes.plot([p.cost for p in best], [p.loss.value for p in best], color=ACCENT, linewidth=1.5, zorder=1)
        for point in front.points:
            _draw(axes, point)
        for point in front.points:
            label = plot_label(shortened(_name(point), 24 if width == WIDE else 14))
            place, colour = (point.cost, point.loss.value), INK if point.is_on_front else MUTED
            beside, side = ((8, 7), "left") if point.is_uniform else ((-7, -14), "right")  # of points that coincide
            axes.annotate(label, place, beside, textcoords="offset points", color=colour, fontsize=11, ha=side)
        if _is_logarithmic(front):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(plot_label(front.cost_label))
        axes.set_ylabel(plot_label(front.loss_name))
        _make_room(axes, front, 0.2 if width == WIDE else 0.5)
        plain(axes, "both")
        axes.spines["left"].set_visible(True)

    return both_widths(draw, 380, f"{front.loss_name} against {front.cost_label}", 320)


def _name(point: FrontPoint) -> str:
    """Return what stands beside a point: the number of a mixture, which the table explains."""
    return point.label if point.is_uniform or point.number is None else str(point.number)


def _make_room(axes: "Axes", front: Front, share: float) -> None:
    """Leave so much of the costs' range free for the label of the last point."""
    costs = [point.cost for point in front.points]
    spread = max(costs) - min(costs) or max(costs)
    axes.set_xlim(min(costs) - 0.08 * spread, max(costs) + share * spread)
    axes.margins(y=0.12)


def _draw(axes: "Axes", point: FrontPoint) -> None:
    colour = ACCENT if point.is_on_front else MUTED if not point.is_uniform else BASE
    loss = point.loss
    if loss.low is not None and loss.high is not None:
        axes.plot([point.cost] * 2, [loss.low, loss.high], color=colour, linewidth=2.5, alpha=0.4)
    axes.plot([point.cost], [loss.value], "s" if point.is_uniform else "o", color=colour, markersize=7)


def _is_logarithmic(front: Front) -> bool:
    values = [value for p in front.points for value in (p.loss.value, p.loss.low) if value is not None]
    return min(values) > 0 and max(values) > _DECADES * min(values)

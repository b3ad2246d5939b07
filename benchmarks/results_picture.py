"""The picture of README.md: what accumulators of 12 to 8 bits keep of float32's accuracy, before and after correction.

python -m benchmarks.results --picture docs/images/accuracy_by_bits.svg --json_path docs/results_correction.json
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lba_onnx.arithmetic import parse_family
from lba_onnx.files.figure_file import write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOCS = Path(__file__).parent.parent / "docs"
PICTURE_PATH = DOCS / "images/accuracy_by_bits.svg"
MODELS = {
    "mobilenet_v2_photographs": "MobileNetV2, 437 photographs",
    "demo": "Fashion-MNIST network, 1000 images",
    "fashion_resnet": "Fashion-MNIST ResNet, 10,000 images",
}
BITS = (12, 11, 10, 9, 8)


@dataclass(frozen=True)
class Point:
    """What a model keeps in one accumulator.

    Attributes:
        bits: The accumulator's width.
        right: Right answers, in percent.
        low: The lower end of its 95 % interval.
        high: The upper end.
    """

    bits: int
    right: float
    low: float
    high: float


def series(rows: Iterable[dict[str, Any]], model: str) -> dict[str, list[Point]]:
    """Return the lines of one model by their names: of the corrected ones in levels the best of each width."""
    named: dict[str, list[Point]] = {"calibrated": [], "and corrected": [], "and corrected, in levels": []}
    for row in (row for row in rows if row["variant"] in ("plain", "corrected")):
        has_levels = "chunk=" in row["family"]
        is_corrected = row["variant"] == "corrected"
        if row["model"] == model and (is_corrected or not has_levels):
            name = ("and corrected, in levels" if has_levels else "and corrected") if is_corrected else "calibrated"
            named[name].append(_point(row))
    return {name: _best(points) for name, points in named.items()}


def _point(row: dict[str, Any]) -> Point:
    right, samples = map(int, row["right"].split("/"))
    low, high = row["right_interval"]
    told = parse_family(row["family"]).described()
    return Point(1 + told["mantissa_bits"] + told["exponent_bits"], 100 * right / samples, 100 * low, 100 * high)


def _best(points: Sequence[Point]) -> list[Point]:
    best: dict[int, Point] = {}
    for point in sorted(points, key=lambda point: point.right):
        best[point.bits] = point
    return [best[bits] for bits in BITS if bits in best]


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.2), layout="constrained")
    for axes, (model, title) in zip(figure.subplots(1, len(MODELS), sharey=True), MODELS.items(), strict=True):
        _draw_model(axes, rows, model, title)
    figure.axes[0].set_ylabel("right, percent")
    figure.axes[-1].legend(loc="lower left", fontsize="small")
    write_figure(figure, path)


def _draw_model(axes: "Axes", rows: Sequence[dict[str, Any]], model: str, title: str) -> None:
    right, samples = next(map(int, row["float32_right"].split("/")) for row in rows if row["model"] == model)
    axes.axhline(100 * right / samples, color="black", linestyle="dashed", label="float32")
    for (name, points), color in zip(series(rows, model).items(), ("C3", "C0", "C2"), strict=True):
        above_and_below = [[p.right - p.low for p in points], [p.high - p.right for p in points]]
        axes.errorbar(
            [p.bits for p in points],
            [p.right for p in points],
            above_and_below,
            marker="o",
            capsize=3,
            color=color,
            label=name,
        )
    axes.set_title(title, fontsize="medium")
    axes.set_xlabel("bits of the accumulator")
    axes.set_xticks(BITS)
    axes.invert_xaxis()
    axes.set_ylim(0, 100)

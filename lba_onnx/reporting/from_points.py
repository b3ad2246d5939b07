"""Cost against loss, out of what `search` or `sweep` has written."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lba_onnx.arithmetic import parse_family
from lba_onnx.reporting.from_comparison import accuracy_of_comparison, estimate
from lba_onnx.reporting.sections import Accuracy, Estimate, Front, FrontPoint
from lba_onnx.reporting.sweep_prices import SpecAtDepth, SweepPrices


def front_of_search(value: Mapping[str, Any]) -> Front | None:
    """Return the points of a search, mixed and uniform; None where none has a loss."""
    points = [_search_point(point, number) for number, point in enumerate(value["points"], 1)]
    chosen = {point["uniform"] for point in value["points"]}
    points += [_search_point(point, None) for point in value["uniform"] if point["uniform"] not in chosen]
    known = [point for point in points if point is not None]
    checked = value["samples"].get("checked")
    if not known:
        return None
    return Front(
        "search",
        str(value["unit"]),
        str(value["loss"]),
        float(value["float32"]["cost"]),
        None if value.get("stored_types") == [] else str(value["operand_format"]),
        value["effort"],
        None if checked is None else int(checked),
        tuple(sorted(known, key=lambda point: point.cost)),
    )


def _search_point(value: Mapping[str, Any], number: int | None) -> FrontPoint | None:
    loss = estimate(value["loss"])
    if loss is None:
        return None
    uniform, choices = value["uniform"], {str(node): str(choice) for node, choice in value["choices"].items()}
    label = str(uniform) if uniform is not None else _mixture(choices)
    against = "" if value["against"] is None else str(value["against"]["verdict"])
    flags = uniform is not None, bool(value["is_on_front"])
    return FrontPoint(label, float(value["cost"]), loss, *flags, choices, against, number)


def _mixture(choices: Mapping[str, str]) -> str:
    """Return how often each choice is taken, such as "12 of M7E4, 3 of M4E4"."""
    counts: dict[str, int] = {}
    for choice in choices.values():
        counts[choice] = counts.get(choice, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{count} of {choice}" for choice, count in ranked)


def front_of_sweep(value: Mapping[str, Any], prices: SweepPrices | None) -> Front | None:
    """Return the points of a sweep whose cost is known; None where there is none, or no figure to compare by.

    Args:
        value: What `sweep` has written.
        prices: What points cost; None where it is not known.
    """
    if prices is None:
        return None
    found = [(point, accuracy_of_comparison(point["comparison"])) for point in value["points"]]
    name = _loss_name(accuracy for _, accuracy in found)
    if name is None:
        return None
    points = []
    specs = [_accumulator(point) for point, _ in found]
    costs = prices.mean_gates(specs, value.get("selection") or {})
    for (point, accuracy), gates in zip(found, costs, strict=True):
        loss = _loss(name, accuracy)
        if gates is not None and loss is not None:
            points.append(FrontPoint(_label(point), gates, loss, True, False, {}))
    if not points:
        return None
    ranked = _marked(sorted(points, key=lambda point: (point.cost, point.loss.value)))
    settings = prices.float32, prices.operand_format(specs), None, int(value["samples"])
    return Front("sweep", "gates per MAC", name, *settings, ranked)


def _label(point: Mapping[str, Any]) -> str:
    return str(point["text"]) if point["bias"] is None else f"{point['text']}, bias {point['bias']}"


def _accumulator(point: Mapping[str, Any]) -> SpecAtDepth:
    """Return the accumulator of a point; where calibration chooses biases, which cost nothing, one of its family."""
    if point["accumulator"] is not None:
        text = str(point["accumulator"])
        return lambda depth: text
    family = parse_family(str(point["text"]))

    def of_family(depth: int) -> str:
        sized = family.at_depth(depth)
        return sized.with_exponents(sized.default)

    return of_family


_TOP1, _DIFFERENT, _METRIC, _NOISE = (
    "top-1 lost, percentage points",
    "samples with another top-1, %",
    "metric lost",
    "energy of the output's error",
)


def _loss_name(accuracies: Iterable[Accuracy]) -> str | None:
    """Return what all points can be compared by, the figure that says most first."""
    every = list(accuracies)
    return next((n for n in (_TOP1, _METRIC, _DIFFERENT, _NOISE) if every and all(_loss(n, a) for a in every)), None)


def _loss(name: str, accuracy: Accuracy) -> Estimate | None:
    """Return a loss, in which less is better."""
    if name == _DIFFERENT:
        return None if accuracy.agreement is None else _minus(accuracy.agreement, 100.0)
    if name == _NOISE:
        sqnr = next((output.sqnr_db for output in accuracy.outputs), None)
        return None if sqnr is None else Estimate(10 ** (-sqnr.value / 10))
    is_top1 = name == _TOP1
    figure = next((f for f in accuracy.figures if (f.name == "top-1") == is_top1 and f.name != "top-5"), None)
    if figure is None or figure.difference is None:
        return None
    return _minus(figure.difference, 0.0) if figure.larger_is_better else figure.difference


def _minus(value: Estimate, whole: float) -> Estimate:
    low = None if value.high is None else whole - value.high
    high = None if value.low is None else whole - value.low
    return Estimate(whole - value.value, low, high)


def _marked(points: list[FrontPoint]) -> tuple[FrontPoint, ...]:
    """Return points by rising cost, those marked that lose less than every cheaper one."""
    marked, least = [], float("inf")
    for point in points:
        marked.append(replace(point, is_on_front=point.loss.value < least))
        least = min(least, point.loss.value)
    return tuple(marked)

"""Levels of accumulators: their names, what the library counts of them, and how figures and files name them."""

import numpy as np
import pytest

from lba_onnx import native
from lba_onnx.arithmetic import as_spec
from lba_onnx.arithmetic.levels import named_levels
from lba_onnx.arithmetic.registry import kinds
from lba_onnx.calibration.histogram import Log2Histogram
from lba_onnx.calibration.ranges import LevelRange, NodeRange, plural
from lba_onnx.native import LevelStatistics, Statistics
from lba_onnx.observation.event_rates import EventRates

NAMES = ("product", "partial_sum", "partial_sum_2", "partial_sum_10", "total")


def level(name: str, values: int, nonzero: int = 0, **events: int) -> LevelStatistics:
    return LevelStatistics(name, 1.0, values, events, np.array([0, nonzero], np.int64))


def test_levels_are_named_from_products_up_to_the_total():
    assert [found.name for found in named_levels(0, (), ())] == ["product", "total"]
    levels = named_levels(3, ("overflow",), ("overflow", "swamped"))
    assert [found.name for found in levels] == ["product", "partial_sum", "partial_sum_2", "partial_sum_3", "total"]
    assert [found.events for found in levels] == [("overflow",), *[("overflow", "swamped")] * 4]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.kind)
def test_the_library_counts_what_the_kind_says(kind):
    spec = as_spec(kind.example)
    assert native.accumulator_levels(spec) == spec.levels
    assert spec.events == tuple((found.name, event) for found in spec.levels for event in found.events)


def test_ranges_of_any_number_of_levels_are_kept_in_files():
    levels = tuple(LevelRange(name, i + 0.5, Log2Histogram.of([(i, 7)])) for i, name in enumerate(NAMES))
    seen = NodeRange(9, 3, levels)
    told = seen.to_json()
    assert list(told)[2:5] == ["max_abs_product", "max_abs_partial_sum", "max_abs_partial_sum_2"]
    assert [plural(name) for name in NAMES] == [
        "products",
        "partial_sums",
        "partial_sums_2",
        "partial_sums_10",
        "totals",
    ]
    assert NodeRange.from_json(dict(sorted(told.items(), reverse=True))) == seen, "in whatever order a file has them"
    assert (seen + seen).levels[3].log2.bins == ((3, 14),) and seen.max_abs_sum == 4.5
    assert seen.sums_log2.bins == ((1, 7), (2, 7), (3, 7), (4, 7))
    del told["max_abs_total"]
    with pytest.raises(ValueError, match="number of at least 0 as max_abs_total, got None"):
        NodeRange.from_json(told)


def test_rates_are_shares_of_what_can_be_lost():
    levels = (
        level("product", 10, 8, overflow=2),
        level("partial_sum", 10, overflow=5, swamped=4),
        level("partial_sum_2", 4, overflow=1, swamped=2),
        level("total", 0, overflow=0, swamped=0),
    )
    statistics = Statistics(1, 1, levels)
    rates = EventRates.counted(as_spec("M7E4b10"), statistics)
    assert (rates["product_overflow"], rates["partial_sum_overflow"], rates["partial_sum_swamped"]) == (2 / 8, 0.5, 0.5)
    assert (rates["partial_sum_2_overflow"], rates["partial_sum_2_swamped"], rates["total_overflow"]) == (
        0.25,
        0.5,
        None,
    )
    assert (rates.largest("overflow"), rates.largest("swamped"), rates.largest("wrap")) == (0.5, 0.5, None)
    assert EventRates.pooled(statistics).to_json() == {
        "product_overflow": 0.2,
        "accumulator_overflow": 6 / 14,
        "swamping": 6 / 14,
    }


def test_a_node_that_never_ran_has_no_rates():
    rates = EventRates.counted(as_spec("M7E4b10"), None)
    assert set(rates.to_json().values()) == {None} and len(rates.shares) == 8
    assert EventRates.from_json(rates.to_json(), rates.shares) == rates
    with pytest.raises(ValueError, match="number from 0 to 1 as product_overflow, got None"):
        EventRates.from_json({}, rates.shares)

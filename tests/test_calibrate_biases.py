"""Ranges seen -> the smallest formats that hold them; results as JSON."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lba_onnx.arithmetic import AccumulatorSpec, FormatFamily, as_spec, parse_family
from lba_onnx.calibration import Calibration, EventRates, NodeCalibration, Verdict
from lba_onnx.calibration.advice import warning_of
from lba_onnx.calibration.histogram import Log2Histogram
from lba_onnx.calibration.methods.max import fit_max
from lba_onnx.calibration.methods.percentile import fit_percentile
from lba_onnx.calibration.ranges import LevelRange, NodeRange
from lba_onnx.calibration.settings import Settings
from lba_onnx.errors import DataError
from lba_onnx.observation.event_rates import event_names

M7E4 = parse_family("M7E4")
M7E4_FORMATS = FormatFamily(7, 4)


def seen(product: float, partial_sum: float, total: float = 0.0) -> NodeRange:
    return node_range(0, (product, partial_sum, total), [()] * 3)


def node_range(sampled: int, largest: tuple[float, ...], bins: Sequence[tuple[tuple[int, int], ...]]) -> NodeRange:
    levels = zip(("product", "partial_sum", "total"), largest, map(Log2Histogram.of, bins), strict=True)
    return NodeRange(100, sampled, tuple(LevelRange(*level) for level in levels))


def event_rates(*shares: float | None) -> EventRates:
    return EventRates(dict(zip(event_names(as_spec("M7E4b10")), shares, strict=True)))


@given(
    st.integers(0, 22),
    st.integers(1, 7),
    st.floats(min_value=2.0**-60, max_value=2.0**60, allow_nan=False),
)
def test_narrowest_above_is_above_and_the_next_is_not(mantissa_bits, exponent_bits, magnitude):
    family = FormatFamily(mantissa_bits, exponent_bits)
    chosen = family.narrowest_above(magnitude)
    assert chosen.max_value > magnitude
    if chosen.exponent_bias < 126:
        assert family.with_bias(chosen.exponent_bias + 1).max_value <= magnitude


@pytest.mark.parametrize("exponent", range(-3, 6))
def test_magnitude_at_a_limit_gets_the_next_binade(exponent):
    limit = math.ldexp(2 - 2**-7, exponent)
    assert M7E4_FORMATS.narrowest_above(limit) == M7E4_FORMATS.with_max_exponent(exponent + 1)
    assert M7E4_FORMATS.narrowest_above(math.nextafter(limit, 0)) == M7E4_FORMATS.with_max_exponent(exponent)
    assert M7E4_FORMATS.narrowest_above(math.ldexp(1.0, exponent)) == M7E4_FORMATS.with_max_exponent(exponent)


def test_magnitudes_beyond_every_bias_get_the_nearest_legal_one():
    assert M7E4_FORMATS.narrowest_above(1e60).exponent_bias == 15 - 127
    assert M7E4_FORMATS.narrowest_above(1e-60).exponent_bias == 126


@pytest.mark.parametrize("magnitude", [0.0, -1.0, math.inf, math.nan])
def test_magnitudes_that_mean_nothing_are_refused(magnitude):
    with pytest.raises(ValueError, match="positive, finite"):
        M7E4_FORMATS.narrowest_above(magnitude)


@pytest.mark.parametrize("text", ["M7E4b10", "M7", "E4", "m7e4", "M23E4", "M7E8", "M7E4 ", ""])
def test_text_that_is_no_family_is_refused(text):
    with pytest.raises(ValueError, match="expected"):
        FormatFamily.parse(text)


def test_family_text_round_trips():
    assert str(FormatFamily.parse("M10E5")) == "M10E5"


def fitted(seen_range: NodeRange, method=fit_max, family="M7E4", **settings) -> str:
    chosen = Settings(parse_family(family), **settings)
    return str(chosen.specs(method({"node": seen_range}, chosen))["node"])


def holding(percentile: float):
    return lambda ranges, settings: fit_percentile(ranges, settings, percentile)


def test_products_as_large_as_sums_are_not_saturated():
    assert fitted(seen(13.3, 13.7)) == "M7E4b12/M7E4b12"


def test_tied_products_may_saturate():
    assert fitted(seen(13.3, 13.7), is_tied=True) == "M7E4b14/M7E4b12"


def test_accumulator_holds_running_totals_too():
    assert (
        fitted(seen(1.0, 3.0, 100.0), family="M7E4,chunk=32,underflow=off") == "M7E4b15/M7E4b9,chunk=32,underflow=off"
    )


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("M7E4", "M7E4b12/M7E4b10"),
        ("M7E3", "M7E3b4/M7E3b2"),
        ("M7E4,chunk=none", "M7E4b10/M7E4b10,chunk=none"),
        ("M7E4,round=nearest", "M7E4b12/M7E4b10,round=nearest"),
    ],
)
def test_zeros_get_the_default_spec_with_the_range_of_the_paper(family, expected):
    settings = Settings(parse_family(family))
    for nothing in (None, seen(0.0, 0.0)):
        assert str(settings.specs(fit_max({"node": nothing}, settings))["node"]) == expected


def spread_range(*bins: tuple[int, int]) -> NodeRange:
    largest = 1.9 * 2.0 ** max(log2 for log2, _ in bins)
    return node_range(100, (largest, largest, 0.0), (bins, bins, ()))


@pytest.mark.parametrize(
    ("percentile", "expected"),
    [(100, "M7E4b11"), (99.9, "M7E4b11"), (99, "M7E4b13"), (98.9, "M7E4b13"), (50, "M7E4b15")],
)
def test_percentile_is_the_smallest_range_that_holds_it(percentile, expected):
    values = spread_range((0, 900), (2, 90), (4, 10))
    assert fitted(values, holding(percentile)) == f"{expected}/{expected}"


def test_percentile_without_sampled_values_is_max():
    assert fitted(seen(1.0, 3.0), holding(99.99)) == fitted(seen(1.0, 3.0))


def test_one_pair_for_the_model_holds_all_nodes():
    settings = Settings(M7E4, granularity="model")
    choice = fit_max({"a": seen(100.0, 1.0), "b": seen(1.0, 50.0), "never": None}, settings)
    assert len(set(choice.values())) == 1
    assert str(settings.specs(choice)["never"]) == "M7E4b9/M7E4b10"


def test_histogram_shares():
    histogram = Log2Histogram.of([(3, 1), (0, 2), (-5, 7)])
    assert (histogram.share_above(3), histogram.share_above(2), histogram.share_below(0)) == (0, 0.1, 0.7)
    assert histogram.lost_above(2) == pytest.approx((1.5 * 8 - 8) / histogram.magnitude)
    assert histogram.lost_below(0) == pytest.approx(7 * 1.5 / 32 / histogram.magnitude)
    assert (histogram + histogram).count == 20
    empty = Log2Histogram()
    assert (empty.share_above(0), empty.lost_below(0), empty.exponent_of_share(0.5)) == (0, 0, None)


@pytest.mark.parametrize("exponent", [-3, 0, 5])
@pytest.mark.parametrize("fraction", [0.0, 0.3, 1 - 2.0**-8, 1 - 2.0**-20])
def test_values_in_the_top_binade_are_as_good_as_truncated(exponent, fraction):
    value, top = math.ldexp(1 + fraction, exponent), M7E4_FORMATS.with_max_exponent(exponent)
    assert top.quantize(value) == M7E4_FORMATS.with_max_exponent(exponent + 3).quantize(value)


def test_family_too_narrow_is_named_with_the_one_that_would_do():
    settings, rates = parse_family("M7E3"), event_rates(*[0.0] * 8)
    assert warning_of(spread_range((0, 100)), rates, settings) == ""
    wide = spread_range(*((log2, 2 ** (10 - log2)) for log2 in range(-4, 11)))
    text = warning_of(wide, rates, settings)
    assert "products lose at least" in text and "sums lose at least" in text and text.endswith("M7E4 would lose less")


def test_swamped_products_ask_for_more_mantissa_bits():
    settings = M7E4
    values = node_range(100, (1.9, 1.9, 0.0), (((-12, 500), (0, 500)), ((0, 1000),), ()))
    assert warning_of(values, event_rates(0, 0, 0, 0, 0.2, 0, 0, 0.0), settings) == ""
    text = warning_of(values, event_rates(0, 0, 0, 0, 0.5, 0, 0, 0.0), settings)
    assert text == "50 % of the products are swamped: M12E4 would lose less"


def example() -> Calibration:
    nodes = {
        "conv/1": NodeCalibration(
            AccumulatorSpec.parse("M7E4b12/M7E4b9"),
            spread_range((-2, 5), (3, 1)),
            event_rates(0.0, 0.25, 0.0, 0.125, 0.5, 0.0, 0.0, None),
            "",
            "too narrow",
        ),
        "unused": NodeCalibration(AccumulatorSpec.parse("M7E4b10"), None, None, "did not run"),
    }
    versions = {"lba-onnx": "0.1.0"}
    verdict = Verdict("dB", 64, False, {"max": 20.5, "mse": -math.inf}, "max", 3)
    return Calibration(
        *(nodes, "M7E4", "mse", 256, "ab" * 32, versions),
        numbers={"percentile": 99.99},
        verdict=verdict,
        model_sha256="cd" * 32,
    )


@pytest.mark.parametrize("family", ["M7E4", "M7E4,chunk=none,underflow=off", "M7E4, M5E3,chunk=8"])
def test_calibration_file_round_trips(tmp_path, family):
    calibration = replace(example(), family=family)
    calibration.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == calibration
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


def test_a_calibration_of_before_reads_back(tmp_path):
    """Files of version 0.1.0 keep the chunk size and underflow beside the family, and specs as four fields."""
    value = {**example().to_json(), "family": "M7E4, M5E3", "chunk_size": 32, "underflow": False}
    del value["model_sha256"]
    old = {"product_format": "M7E4b12", "accumulator_format": "M7E4b9", "chunk_size": 32, "underflow": False}
    value["nodes"]["conv/1"]["spec"] = old
    (tmp_path / "c.json").write_text(json.dumps(value))
    read = Calibration.load(tmp_path / "c.json")
    assert read.family == "M7E4,chunk=32,underflow=off, M5E3,chunk=32,underflow=off"
    assert str(read.specs["conv/1"]) == "M7E4b12/M7E4b9,chunk=32,underflow=off" and read.model_sha256 == ""


def test_calibration_gives_specs_and_notes():
    assert [str(spec) for spec in example().specs.values()] == ["M7E4b12/M7E4b9", "M7E4b12/M7E4b10"]
    assert example().notes == {"unused": "did not run"}
    assert example().warnings == {"conv/1": "too narrow"}
    json.dumps(example().provenance, allow_nan=False)


def _without(value, *path):
    *head, last = path
    for key in head:
        value = value[key]
    del value[last]


def _with(value, replacement, *path):
    *head, last = path
    for key in head:
        value = value[key]
    value[last] = replacement


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: _with(v, 1, "schema"), "schema 1"),
        (lambda v: _with(v, "other", "kind"), "kind 'other'"),
        (lambda v: _without(v, "nodes"), "entry 'nodes'"),
        (lambda v: _with(v, [], "nodes"), "'nodes' as Mapping"),
        (lambda v: _with(v, True, "samples"), "'samples' as int"),
        (lambda v: _without(v, "nodes", "conv/1", "spec"), "node conv/1: .*'spec'"),
        (
            lambda v: _with(v, "M7E4", "nodes", "conv/1", "spec", "product_format"),
            "node conv/1: .*product_format to be",
        ),
        (lambda v: _with(v, 1.5, "nodes", "conv/1", "spec", "chunk_size"), "node conv/1: .*chunk_size"),
        (lambda v: _with(v, "M7E4", "nodes", "conv/1", "spec", "accumulator"), "node conv/1: .*bias"),
        (lambda v: _with(v, "wide", "nodes", "conv/1", "range", "max_abs_product"), "node conv/1: .*max_abs_product"),
        (lambda v: _with(v, [[1]], "nodes", "conv/1", "range", "totals_log2"), "node conv/1: totals_log2: .*pairs"),
        (lambda v: _with(v, 2.0, "nodes", "conv/1", "rates", "product_overflow"), "node conv/1: .*product_overflow"),
        (lambda v: _with(v, 3, "nodes", "conv/1"), "node conv/1: "),
        (lambda v: _with(v, "most", "percentile"), "'percentile' as int or float or null"),
        (lambda v: _with(v, 101, "percentile"), "percentile above 0 and at most 100"),
        (lambda v: _with(v, "first", "verdict", "samples"), "'samples' as int"),
        (lambda v: _without(v, "verdict"), "entry 'verdict'"),
    ],
)
def test_malformed_calibration_is_refused_with_the_place(tmp_path, change, message):
    value = example().to_json()
    change(value)
    (tmp_path / "c.json").write_text(json.dumps(value))
    with pytest.raises(DataError, match=rf"c\.json: .*{message}"):
        Calibration.load(tmp_path / "c.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff\xfe", "{" * 3, "[" * 100000])
def test_files_that_are_no_json_objects_are_refused(tmp_path, text):
    (tmp_path / "c.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"c\.json"):
        Calibration.load(tmp_path / "c.json")


def test_missing_calibration_is_refused(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        Calibration.load(tmp_path / "c.json")


def test_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "c.json"
    example().save(path)
    before = path.read_text()
    with pytest.raises(ValueError, match="JSON compliant"):
        replace(example(), samples=math.nan).save(path)
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c.json"]

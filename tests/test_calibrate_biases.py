"""Ranges seen -> the smallest formats that hold them; results as JSON."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lba_onnx.accumulator import AccumulatorSpec
from lba_onnx.calibration import Calibration, NodeCalibration
from lba_onnx.calibration.ranges import NodeRange, default_spec, smallest_spec
from lba_onnx.errors import DataError
from lba_onnx.families import FormatFamily

M7E4 = FormatFamily(7, 4)


def seen(product: float, partial_sum: float, total: float = 0.0) -> NodeRange:
    return NodeRange(100, product, partial_sum, total)


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
    assert M7E4.narrowest_above(limit) == M7E4.with_max_exponent(exponent + 1)
    assert M7E4.narrowest_above(math.nextafter(limit, 0)) == M7E4.with_max_exponent(exponent)
    assert M7E4.narrowest_above(math.ldexp(1.0, exponent)) == M7E4.with_max_exponent(exponent)


def test_magnitudes_beyond_every_bias_get_the_nearest_legal_one():
    assert M7E4.narrowest_above(1e60).exponent_bias == 15 - 127
    assert M7E4.narrowest_above(1e-60).exponent_bias == 126


@pytest.mark.parametrize("magnitude", [0.0, -1.0, math.inf, math.nan])
def test_magnitudes_that_mean_nothing_are_refused(magnitude):
    with pytest.raises(ValueError, match="positive, finite"):
        M7E4.narrowest_above(magnitude)


@pytest.mark.parametrize("text", ["M7E4b10", "M7", "E4", "m7e4", "M23E4", "M7E8", "M7E4 ", ""])
def test_text_that_is_no_family_is_refused(text):
    with pytest.raises(ValueError, match="expected"):
        FormatFamily.parse(text)


def test_family_text_round_trips():
    assert str(FormatFamily.parse("M10E5")) == "M10E5"


def test_products_as_large_as_sums_are_not_saturated():
    spec = smallest_spec(seen(13.3, 13.7), M7E4, 16, True)
    assert str(spec) == "M7E4b12/M7E4b12"


def test_accumulator_holds_running_totals_too():
    spec = smallest_spec(seen(1.0, 3.0, 100.0), M7E4, 32, False)
    assert spec.product_format.max_value == 2 - 2**-7
    assert spec.accumulator_format.max_value == 128 - 0.5
    assert (spec.chunk_size, spec.underflow) == (32, False)


def test_zeros_alone_choose_nothing():
    assert smallest_spec(seen(0.0, 0.0), M7E4, 16, True) is None


@pytest.mark.parametrize(
    ("family", "chunk_size", "expected"),
    [("M7E4", 16, "M7E4b12/M7E4b10"), ("M7E3", 16, "M7E3b4/M7E3b2"), ("M7E4", None, "M7E4b10/M7E4b10,chunk=none")],
)
def test_default_spec_has_the_range_of_the_paper(family, chunk_size, expected):
    assert str(default_spec(FormatFamily.parse(family), chunk_size, True)) == expected


def example() -> Calibration:
    nodes = {
        "conv/1": NodeCalibration(AccumulatorSpec.parse("M7E4b12/M7E4b9"), seen(0.5, 12.25, 13.0)),
        "unused": NodeCalibration(AccumulatorSpec.parse("M7E4b10"), None, "did not run"),
    }
    versions = {"lba-onnx": "0.1.0"}
    return Calibration(nodes, "M7E4", "max", 16, True, 256, "ab" * 32, versions)


@pytest.mark.parametrize("chunk_size", [16, None])
def test_calibration_file_round_trips(tmp_path, chunk_size):
    calibration = replace(example(), chunk_size=chunk_size)
    calibration.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == calibration
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


def test_calibration_gives_specs_and_notes():
    assert [str(spec) for spec in example().specs.values()] == ["M7E4b12/M7E4b9", "M7E4b12/M7E4b10"]
    assert example().notes == {"unused": "did not run"}


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
        (lambda v: _with(v, 2, "schema"), "schema 2"),
        (lambda v: _with(v, "other", "kind"), "kind 'other'"),
        (lambda v: _without(v, "nodes"), "entry 'nodes'"),
        (lambda v: _with(v, [], "nodes"), "'nodes' as Mapping"),
        (lambda v: _with(v, True, "samples"), "'samples' as int"),
        (lambda v: _without(v, "nodes", "conv/1", "spec"), "node conv/1: .*'spec'"),
        (lambda v: _with(v, "M7E4", "nodes", "conv/1", "spec", "product_format"), "node conv/1: .*bias"),
        (lambda v: _with(v, 1.5, "nodes", "conv/1", "spec", "chunk_size"), "node conv/1: .*chunk_size"),
        (lambda v: _with(v, "wide", "nodes", "conv/1", "range", "max_abs_product"), "node conv/1: .*max_abs_product"),
        (lambda v: _with(v, 3, "nodes", "conv/1"), "node conv/1: "),
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

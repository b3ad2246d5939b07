"""Accumulator specs: what is legal, the bias rule, and the text, JSON and attribute forms."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import formats, specs

from lba_onnx.arithmetic import AccumulatorSpec, FloatFormat, parse_accumulator
from lba_onnx.arithmetic.chunked_float.order import product_bias
from lba_onnx.arithmetic.registry import from_attributes, from_json

PRODUCT, ACCUMULATOR = FloatFormat(7, 4, 12), FloatFormat(7, 4, 10)


@given(specs())
def test_every_form_reads_back(spec: AccumulatorSpec) -> None:
    assert AccumulatorSpec.parse(str(spec)) == spec
    assert parse_accumulator(str(spec)) == spec
    assert from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert from_attributes(spec.to_attributes()) == spec


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (AccumulatorSpec(PRODUCT, ACCUMULATOR), "M7E4b12/M7E4b10"),
        (AccumulatorSpec(PRODUCT, ACCUMULATOR, chunk_size=32), "M7E4b12/M7E4b10,chunk=32"),
        (AccumulatorSpec(PRODUCT, ACCUMULATOR, chunk_size=None), "M7E4b12/M7E4b10,chunk=none"),
        (AccumulatorSpec(PRODUCT, ACCUMULATOR, chunk_size=16, underflow=False), "M7E4b12/M7E4b10,underflow=off"),
        (
            AccumulatorSpec(PRODUCT, ACCUMULATOR, chunk_size=None, underflow=False),
            "M7E4b12/M7E4b10,chunk=none,underflow=off",
        ),
    ],
)
def test_str_names_what_is_not_the_default(spec: AccumulatorSpec, text: str) -> None:
    assert str(spec) == text


@given(formats(), st.integers(1, 2**20))
def test_product_bias_rounds_the_rule_down(number_format: FloatFormat, chunk_size: int) -> None:
    shift = product_bias(number_format.exponent_bias, chunk_size) - number_format.exponent_bias
    assert shift == math.floor(math.log2(chunk_size) / 2)


@pytest.mark.parametrize(
    ("chunk_size", "bias"),
    [(1, 10), (2, 10), (3, 10), (4, 11), (8, 11), (15, 11), (16, 12), (32, 12), (64, 13), (None, 10)],
)
def test_one_format_is_the_accumulator(chunk_size: int | None, bias: int) -> None:
    spec = AccumulatorSpec.parse("M7E4b10", chunk_size=chunk_size, underflow=False)
    assert spec == AccumulatorSpec(FloatFormat(7, 4, bias), ACCUMULATOR, chunk_size=chunk_size, underflow=False)


def test_text_goes_before_the_arguments() -> None:
    spec = AccumulatorSpec.parse(" M7E4b10, chunk=64 , underflow=on", chunk_size=4, underflow=False)
    assert spec == AccumulatorSpec(FloatFormat(7, 4, 13), ACCUMULATOR, chunk_size=64, underflow=True)


def test_formats_may_differ_in_everything() -> None:
    spec = AccumulatorSpec.parse("M3E2b-3/M10E5b15")
    assert (spec.product_format, spec.accumulator_format) == (FloatFormat(3, 2, -3), FloatFormat(10, 5, 15))


def test_rule_that_leaves_the_legal_range_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"product bias of 128: .* at most 126, got 128; name both formats"):
        AccumulatorSpec.parse("M7E4b126")
    assert AccumulatorSpec.parse("M7E4b126/M7E4b126").product_format.exponent_bias == 126


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected a format such as"),
        ("/M7E4b10", "expected a format such as"),
        ("M7E4b12/", "expected a format such as"),
        ("M7E4b12/M7E4b11/M7E4b10", "expected one format, or product/accumulator"),
        ("M7E4", "expected an exponent bias"),
        ("M7E4b10,", "expected chunk=<size>"),
        ("M7E4b10,chunk=0", "chunk_size of at least 1"),
        ("M7E4b10,chunk=-1", "expected chunk=<size>"),
        ("M7E4b10,chunk=", "expected chunk=<size>"),
        ("M7E4b10,chunk_size=4", "expected chunk=<size>"),
        ("M7E4b10,underflow=0", "expected chunk=<size>"),
        ("M7E4b10,chunk=4,chunk=4", "expected chunk once"),
    ],
)
def test_other_text_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        AccumulatorSpec.parse(text)


def test_parse_of_something_else_is_refused() -> None:
    with pytest.raises(TypeError, match="got FloatFormat"):
        AccumulatorSpec.parse(ACCUMULATOR)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "error", "reason"),
    [
        ({"product_format": "M7E4b12"}, TypeError, "product_format to be a FloatFormat, got str"),
        ({"accumulator_format": None}, TypeError, "accumulator_format to be a FloatFormat, got NoneType"),
        ({"chunk_size": 0}, ValueError, "at least 1, or None for the whole depth, got 0"),
        ({"chunk_size": -3}, ValueError, "got -3"),
        ({"chunk_size": 2**63}, ValueError, "chunk_size"),
        ({"chunk_size": 16.0}, TypeError, "chunk_size to be an integer, got float 16.0"),
        ({"chunk_size": True}, TypeError, "chunk_size to be an integer, got bool"),
        ({"underflow": 1}, TypeError, "underflow to be a bool, got int 1"),
        ({"underflow": None}, TypeError, "underflow to be a bool"),
    ],
)
def test_illegal_field_is_refused(fields: dict[str, object], error: type[Exception], reason: str) -> None:
    legal: dict[str, object] = {"product_format": PRODUCT, "accumulator_format": ACCUMULATOR}
    with pytest.raises(error, match=reason):
        AccumulatorSpec(**{**legal, **fields})  # type: ignore[arg-type]


def test_numpy_fields_become_plain_values() -> None:
    spec = AccumulatorSpec(PRODUCT, ACCUMULATOR, chunk_size=np.int32(8), underflow=np.bool_(False))  # type: ignore[arg-type]
    assert spec == AccumulatorSpec(PRODUCT, ACCUMULATOR, chunk_size=8, underflow=False)
    assert (type(spec.chunk_size), type(spec.underflow)) == (int, bool)


OLD_JSON = {"product_format": "M7E4b12", "accumulator_format": "M7E4b10", "chunk_size": None, "underflow": True}


def test_json_is_the_text_and_what_follows_from_it() -> None:
    spec = AccumulatorSpec(PRODUCT, ACCUMULATOR, chunk_size=None)
    assert spec.to_json() == {"accumulator": str(spec), **OLD_JSON, "rounding": "truncate"}


def test_json_of_before_reads_back() -> None:
    """Calibration files written before there were other roundings hold the four fields, and no text."""
    assert from_json(OLD_JSON) == AccumulatorSpec(PRODUCT, ACCUMULATOR, chunk_size=None)


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"rounding": "nearest"}, ValueError, "expected the entries .* got .*rounding"),
        ({"chunk_size": 0}, ValueError, "at least 1"),
        ({"chunk_size": "16"}, TypeError, "integer"),
        ({"underflow": 1}, TypeError, "bool"),
        ({"product_format": 7}, TypeError, "got int"),
    ],
)
def test_other_json_is_refused(change: dict[str, object], error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        from_json({**OLD_JSON, **change})


def test_json_that_is_no_object_or_lacks_an_entry_is_refused() -> None:
    with pytest.raises(TypeError, match="got list"):
        from_json(["M7E4b12"])
    with pytest.raises(ValueError, match="expected the entries"):
        from_json({"product_format": "M7E4b12"})


OLD_ATTRIBUTES = {"product_format": "M7E4b12", "accumulator_format": "M7E4b10", "chunk_size": 0, "underflow": 0}


def test_attributes_are_one_text() -> None:
    spec = AccumulatorSpec(PRODUCT, ACCUMULATOR, chunk_size=None, underflow=False)
    assert spec.to_attributes() == {"accumulator": "M7E4b12/M7E4b10,chunk=none,underflow=off"}
    assert from_attributes(OLD_ATTRIBUTES) == spec


def test_one_of_several_products_has_an_attribute_of_its_own() -> None:
    spec = AccumulatorSpec.parse("M7E4b10")
    both = {**spec.to_attributes("qk"), **spec.wide().to_attributes("pv")}
    assert both == {"accumulator_qk": "M7E4b12/M7E4b10", "accumulator_pv": "M22E7b63/M22E7b63"}
    assert (from_attributes(both, "qk"), from_attributes(both, "pv")) == (spec, spec.wide())
    for attributes in ({}, spec.to_attributes(), OLD_ATTRIBUTES):
        with pytest.raises(ValueError, match="attribute accumulator_qk: expected an accumulator .*, got none"):
            from_attributes(attributes, "qk")


@pytest.mark.parametrize("name", OLD_ATTRIBUTES)
def test_both_forms_of_attributes_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"got both: {name} too"):
        from_attributes({"accumulator": "M7E4b10", name: OLD_ATTRIBUTES[name]})


def test_an_accumulator_attribute_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="attribute accumulator: expected an exponent bias"):
        from_attributes({"accumulator": b"M7E4"})
    with pytest.raises(TypeError, match="attribute accumulator: .* got int"):
        from_attributes({"accumulator": 7})


def test_attributes_have_defaults_and_may_be_bytes_among_others() -> None:
    attributes = {"product_format": b"M7E4b12", "accumulator_format": "M7E4b10", "transB": 1}
    assert from_attributes(attributes) == AccumulatorSpec(PRODUCT, ACCUMULATOR)


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"product_format": "M7E4"}, ValueError, "attribute product_format: expected a format with an exponent bias"),
        ({"accumulator_format": b"\xff"}, ValueError, "attribute accumulator_format"),
        ({"chunk_size": -1}, ValueError, "got -1"),
        ({"chunk_size": 1.0}, TypeError, "chunk_size"),
        ({"underflow": 2}, ValueError, "underflow to be 0 or 1, got 2"),
    ],
)
def test_other_attributes_are_refused(change: dict[str, object], error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        from_attributes({**OLD_ATTRIBUTES, **change})


def test_missing_format_attribute_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the attribute accumulator_format, got none"):
        from_attributes({"product_format": "M7E4b12"})

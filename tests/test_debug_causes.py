"""A cause is switched off by one legal change of the spec that leaves everything else alone."""

import pytest
from hypothesis import given
from strategies import formats, specs

from lba_onnx.arithmetic import AccumulatorSpec, FloatFormat


@given(product=formats(), accumulator=formats())
def test_overflow_and_underflow_move_one_limit_or_say_so(product: FloatFormat, accumulator: FloatFormat) -> None:
    spec = AccumulatorSpec(product, accumulator)
    for place, present in (("product", product), ("accumulator", accumulator)):
        for kind in ("overflow", "underflow"):
            cause = f"{place}_{kind}"
            changed, note = spec.without(cause, 100), spec.limit_note(cause)
            if changed is None:
                assert "cannot be switched off" in note
                continue
            wider = getattr(changed, f"{place}_format")
            moved = (wider.max_value > present.max_value, wider.min_value < present.min_value)
            wanted = (kind == "overflow", kind == "underflow")
            assert moved == ((True, True) if "moves both limits" in note else wanted)
            assert wider.mantissa_bits == present.mantissa_bits
            other = "accumulator_format" if place == "product" else "product_format"
            assert getattr(changed, other) == getattr(spec, other)


@given(spec=specs())
def test_every_cause_gives_a_legal_spec_with_the_same_underflow(spec: AccumulatorSpec) -> None:
    for cause in spec.causes:
        changed = spec.without(cause.name, 4096)
        assert changed != spec
        assert changed is None or changed.underflow == spec.underflow
        assert changed is None or (changed.chunk_sizes == spec.chunk_sizes) == (not cause.is_order)


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        ("product_overflow", "M7E5b12/M7E4b10"),
        ("product_underflow", "M7E5b28/M7E4b10"),
        ("product_truncation", "M22E4b12/M7E4b10"),
        ("accumulator_overflow", "M7E4b12/M7E5b10"),
        ("accumulator_underflow", "M7E4b12/M7E5b26"),
        ("accumulator_truncation", "M7E4b12/M22E4b10"),
        ("overflow", "M7E5b12/M7E5b10"),
        ("underflow", "M7E5b28/M7E5b26"),
        ("truncation", "M22E4b12/M22E4b10"),
        ("chunk_size", "M7E4b12/M7E4b10,chunk=32"),
    ],
)
def test_specs_of_m7e4(cause: str, expected: str) -> None:
    assert str(AccumulatorSpec.parse("M7E4b12/M7E4b10").without(cause, 1000)) == expected


@pytest.mark.parametrize(
    ("text", "cause", "expected"),
    [
        ("M7E4b120/M7E4b10", "product_underflow", "nearest legal format, M7E5b126, which moves both limits"),
        ("M7E4b-100/M7E4b10", "product_overflow", "nearest legal format, M7E5b-96, which moves both limits"),
        ("M7E7b63/M7E4b10", "product_overflow", "cannot be switched off"),
        ("M7E4b12/M7E4b126", "accumulator_underflow", "cannot be switched off"),
        ("M7E7b63/M7E7b63,underflow=off", "product_underflow", ""),
        ("M7E4b12/M7E4b10", "product_overflow", ""),
        ("M7E7b63/M7E7b63", "truncation", ""),
    ],
)
def test_limits_of_legality_are_told(text: str, cause: str, expected: str) -> None:
    note = AccumulatorSpec.parse(text).limit_note(cause)
    assert expected in note if expected else note == ""


@pytest.mark.parametrize(
    ("depth", "expected"), [(1, 1), (2, 1), (9, 4), (16, 4), (256, 16), (288, 16), (4096, 64), (4608, 64)]
)
def test_balanced_chunk_size_is_a_power_of_two_next_to_the_root(depth: int, expected: int) -> None:
    changed = AccumulatorSpec.parse("M7E4b12/M7E4b10,chunk=none").without("chunk_size", depth)
    assert (1 if changed is None else changed.chunk_size) == expected


@pytest.mark.parametrize(("chunk", "depth"), [("16", 256), ("none", 1), ("64", 1), ("4", 16)])
def test_a_chunk_size_that_is_balanced_is_kept(chunk: str, depth: int) -> None:
    assert AccumulatorSpec.parse(f"M7E4b12/M7E4b10,chunk={chunk}").without("chunk_size", depth) is None


def test_what_nearest_rounding_loses_is_called_rounding() -> None:
    spec = AccumulatorSpec.parse("M7E4b12/M7E4b10,round=nearest")
    assert {cause.kind for cause in spec.causes} == {"overflow", "underflow", "rounding", "chunk_size"}
    assert str(spec.without("product_rounding", 64)) == "M22E4b12/M7E4b10,round=nearest"

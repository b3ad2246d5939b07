"""What every kind of accumulators says of itself, held against what it does."""

import inspect
import math

import numpy as np
import pytest
from operator_models import node_model

from lba_onnx import make_session, native, reference
from lba_onnx.arithmetic import Accumulator, AccumulatorFamily, Exponents, as_spec, parse_family
from lba_onnx.arithmetic.accumulator import ProductOrder
from lba_onnx.arithmetic.datapath import Group
from lba_onnx.arithmetic.explanation import explain
from lba_onnx.arithmetic.operands import Operands
from lba_onnx.arithmetic.special_values import TINY
from lba_onnx.errors import ModelError

DEPTH = 37


def check_all(text: str) -> None:
    spec = as_spec(text)
    if takes_floats(spec):
        check_types(spec)
        check_special_values(spec)
        check_order(spec)
    else:
        check_refuses_floats(spec)
    check_levels(spec)
    check_bounds(spec)
    check_datapath(spec, DEPTH)
    check_explanation(spec)


def check_refused(text: str, problem: str) -> None:
    """A text that is no accumulator is refused alike in Python and by a node that is given it."""
    with pytest.raises(ValueError, match=problem):
        as_spec(text)
    node = node_model(
        "LbaMatMul", {"A": (np.float32, (2, 3))}, {"B": np.ones((3, 2), np.float32)}, {"accumulator": text}
    )
    with pytest.raises(ModelError, match=problem):
        make_session(node)


def takes_floats(spec: Accumulator) -> bool:
    return "float32" in spec.operand_types


def check_refuses_floats(spec: Accumulator) -> None:
    """What sums codes has no special values, takes no gradients' estimators, and is refused where floats are summed."""
    assert set(spec.operand_types) == {"uint8", "int8"} and spec.special_values is None
    assert spec.result_type in ("int32", "int64") and spec.wide().result_type == spec.result_type
    assert spec.watched == frozenset() and spec.family_text is None
    with pytest.raises(ValueError, match=f"expected an accumulator of float32, got {spec}, of uint8 and int8"):
        spec.check_operands("float32")
    with pytest.raises(ValueError, match=r"expected integers, got 0\.5"):
        spec.dot([0.5], [1.0])


def draw(shape: tuple[int, ...], seed: int, largest: float) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(-1, 1, shape)
    return (values * largest).astype(np.float32)


def check_types(spec: Accumulator) -> None:
    """Nodes of each operand type compute the same values, rounded to their type; arrays of another are refused."""
    half = [draw(shape, 3, 20.0).astype(np.float16) for shape in ((3, DEPTH), (DEPTH, 2))]
    result = native.matmul(*(values.astype(np.float32)[np.newaxis] for values in half), spec, 1)[0]
    assert result.dtype == spec.result_type
    for name in spec.operand_types:
        a, b = (values.astype(name) for values in half)
        node = node_model("LbaMatMul", {"A": (a.dtype, a.shape)}, {"B": b}, spec.to_attributes())
        y = make_session(node).run(None, {"A": a})[0]
        assert y.dtype == name
        np.testing.assert_array_equal(y, result.astype(name))
    for name in {"float64", "float32", "int32"} - set(spec.operand_types):
        with pytest.raises(TypeError):
            reference.matmul(*(values.astype(name) for values in half), spec)


def check_special_values(spec: Accumulator) -> None:
    """The definition, its twin for arrays and the library make of them what it says."""
    told = spec.special_values
    pairs = {"nan": (np.nan, 1.0), "invalid": (np.inf, 0.0), "infinity": (np.inf, 1.0)}
    for name, (x, w) in pairs.items():
        a, b = np.full((1, 1), x, np.float32), np.full((1, 1), w, np.float32)
        found = (reference.matmul(a, b, spec), native.matmul(a[np.newaxis], b[np.newaxis], spec, 1)[0])
        for value in (*(y.item() for y in found), reference.dot(a[0], b[:, 0], spec)):
            assert value == getattr(told, name) or (math.isnan(value) and math.isnan(getattr(told, name))), name
    tiny = np.full((1, 1), TINY, np.float32)
    for y in (reference.matmul(-tiny, tiny, spec), native.matmul(-tiny[np.newaxis], tiny[np.newaxis], spec, 1)):
        assert np.signbit(y.item()) == told.keeps_negative_zero
    assert ("keep" in told.words) == told.keeps_negative_zero
    assert ("saturate" in told.words) == math.isfinite(told.infinity)


def check_order(spec: Accumulator) -> None:
    """Products enter in the natural order, which is that of the library: its bits are those of the definition."""
    assert spec.product_order is ProductOrder.NATURAL
    products, sums = np.arange(1.0, DEPTH + 1), {}
    for step in spec.steps(iter(products), DEPTH, ()):
        if step.product is not None:
            assert step.product == products[step.start]
            sums.setdefault(step.since, []).append(step.start)
    assert all(entered == sorted(entered) for entered in sums.values())
    # none are seen where products are added to each other; lanes are followed one after the other
    assert sorted(k for entered in sums.values() for k in entered) in (list(range(DEPTH)), [])


def check_levels(spec: Accumulator) -> None:
    """Products first, the total last; the library counts the same events, and the steps name the same levels."""
    assert spec.levels[0].name == "product" and spec.levels[-1].name == "total"
    assert native.accumulator_levels(spec) == spec.levels
    assert spec.events == tuple((level.name, event) for level in spec.levels for event in level.events)
    steps = list(spec.steps(iter(np.ones(DEPTH)), DEPTH, ()))
    assert {step.level for step in steps} == set(range(1, len(spec.levels)))
    assert steps[-1].level == len(spec.levels) - 1
    assert all(step.level == 1 for step in steps if step.product is not None)


def check_bounds(spec: Accumulator) -> None:
    """No value passes its bound, random or as large as can be; what fits does not overflow; ones come near it."""
    is_float = takes_floats(spec)
    largest_values = np.float32([0.001, 0.3, 1.0, 1.7, 6.0, 200.0, 3e4] if is_float else [1, 2, 5, 20, 127, 255])
    largest_w = 1.5 if is_float else 31.0
    for seed, largest in enumerate(map(float, largest_values)):
        bounds = spec.bounds(largest, largest_w, DEPTH)
        assert [bound.level for bound in bounds] == [level.name for level in spec.levels]
        drawn = draw((40, DEPTH), seed, largest), draw((40, DEPTH), seed + 50, largest_w)
        ends = np.full((1, DEPTH), np.float32(largest)), np.full((1, DEPTH), np.float32(largest_w))
        for x, w in (drawn if is_float else map(np.rint, drawn), ends, (ends[0], -ends[1])):
            for step in spec.steps(iter((x.astype(float) * w).T), DEPTH, (len(x),)):
                assert not np.any(np.abs(step.after) > bounds[step.level].largest)  # infinities may make NaN
                assert not (bounds[step.level].fits and np.any(step.overflows))
                if step.product is not None:
                    assert not np.any(np.abs(step.addend) > bounds[0].largest * 1.000001)
                    assert not (bounds[0].fits and np.any(step.product_overflows))
    assert spec.bounds(0.0, 3.0, DEPTH)[-1].largest == 0 and spec.bounds(2.0, 3.0, 0)[-1].largest == 0
    assert not all(bound.fits for bound in spec.bounds(1e30, 1e30, DEPTH))  # what saturates further in fits further out
    with pytest.raises(ValueError, match="expected largest_w to be a finite magnitude, got inf"):
        spec.bounds(1.0, math.inf, DEPTH)
    with pytest.raises(ValueError, match="expected a depth of at least 0, got -1"):
        spec.bounds(1.0, 1.0, -1)


def check_datapath(spec: Accumulator, depth: int) -> None:
    """What a kind tells of its hardware has one multiplier a product, an adder, registers, and no part for nothing."""
    is_float = takes_floats(spec)
    datapath = spec.datapath(Operands.parse("M4E3" if is_float else "int8"), depth)
    if datapath is None:
        return
    groups = {group: [part for part in datapath.parts if part.group is group] for group in Group}
    assert [part.sizes for part in groups[Group.MULTIPLIER]] == [(5, 5) if is_float else (8, 8)]
    assert datapath.registers and all(bits > 0 for bits in datapath.registers)
    assert datapath.sums[-1] == 1 and list(datapath.sums) == sorted(datapath.sums, reverse=True)
    assert depth == 1 or groups[Group.ADDITION] or groups[Group.JOINS]  # where a tree has one product, its sums join
    for part in datapath.parts:
        assert part.name and all(size >= 0 for size in part.sizes) and 0 < part.per_product <= 2
        assert len(part.sizes) == part.block.value.count(",") + 1
    if not is_float:
        with pytest.raises(ValueError, match="expected operands of integers, such as int8, got M4E3"):
            spec.datapath(Operands.parse("M4E3"), depth)


def check_explanation(spec: Accumulator) -> None:
    """The text for people says what the members say."""
    told = dict(explain(spec))
    assert all(name in told["operands"] for name in spec.operand_types) and told["result"] == spec.result_type
    assert told.get("special values") == (None if spec.special_values is None else spec.special_values.words)
    assert all(event in told["counted"] and level.replace("_", " ") in told["counted"] for level, event in spec.events)
    if spec.family_text is None:
        assert told["calibration chooses"] == "nothing"
    else:
        knobs = parse_family(spec.family_text).free_knobs
        assert all(knob.words in told["calibration chooses"] for knob in knobs)


def check_knobs(family: AccumulatorFamily) -> None:
    """Each knob turns to both its ends and no further."""
    assert tuple(knob.name for knob in family.free_knobs) == Exponents._fields
    assert tuple(knob.name for knob in family.costly_knobs) == tuple(inspect.signature(family.widened).parameters)
    for knob in family.free_knobs:
        assert knob.value is None and knob.least < knob.most
        assert [family.legal(e) for e in (knob.least - 1, knob.least, knob.most, knob.most + 1)] == [
            knob.least,
            knob.least,
            knob.most,
            knob.most,
        ]
    least, most = (Exponents(*(getattr(knob, end) for knob in family.free_knobs)) for end in ("least", "most"))
    for exponents in (least, most):
        assert family.exponents(as_spec(family.with_exponents(exponents))) == exponents
    for knob in family.costly_knobs:
        assert knob.value is not None and knob.least <= knob.value <= knob.most
        widest = family.widened(**{knob.name: knob.most - knob.value})
        assert widest is not None and family.widened(**{knob.name: knob.most - knob.value + 1}) is None
        assert {k.name: k.value for k in widest.costly_knobs}[knob.name] == knob.most

"""Gates of one product: the paper's totals, what each rule of each kind adds, tables of one's own."""

import json
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_checks import check_datapath
from strategies import all_specs

from lba_onnx.arithmetic import as_spec
from lba_onnx.arithmetic.datapath import Group
from lba_onnx.arithmetic.operands import Operands
from lba_onnx.arithmetic.registry import kinds
from lba_onnx.costing.cost_table import load_table
from lba_onnx.costing.published import published_points
from lba_onnx.costing.unit_cost import UnpricedError, unit_cost
from lba_onnx.errors import DataError

M4E3 = "M4E3"
FLOAT32 = "M23E8b127,chunk=none,range=infinity,subnormals=keep,product=exact"
OPERANDS = ["M4E3", "M3E4", "M7E8", "M23E8", "int8", "M4E3*int4"]


def gates(text, operands=M4E3, depth=1152):
    return unit_cost(text, operands, depth).gates


@pytest.mark.parametrize(("text", "total"), [(FLOAT32, 2208), ("M10E5b17/M10E5b15", 1082), ("M7E4b12/M7E4b10", 808)])
def test_totals_are_those_of_the_paper(text, total):
    assert unit_cost(text, M4E3, 100).unit_gates == total


def test_the_split_of_a_sum_by_hand():
    """m, e = 4, 3 and M, E = 7, 4: F = 16, 4 stages; with range, chunks and registers beyond the paper."""
    cost = unit_cost("M7E4b12/M7E4b10", M4E3, 64)
    join = 31 + 15 + 16 * 3 + 14 * 4 * 3 + 67 + (14 * 2 + 16) + 7 * 4 * 3 + 31 + 28 + 30
    expected = {
        "multiplier": 25 * 10,
        "exponents": (2 * 9 + 4) + (3 * 9 + 4) + 5 * 3 + (3 * 9 + 4),
        "alignment": 18 * 3 + 15 * 4 * 3,
        "addition": 7 * 9 + 4,
        "normalisation": 15 * 2 + 16 + 7 * 4 * 3,
        "rounding": 7 * 4,
        "range": 2 * (2 * 11 + 2 * 4),
        "joins": join * 3 / 64,  # 4 chunks, of which the first is loaded
        "registers": 2 * 12 * 6,
    }
    assert cost.groups == pytest.approx(expected)
    assert cost.gates == pytest.approx(sum(expected.values())) == pytest.approx(sum(cost.components.values()))
    assert cost.register_bits == 24


@pytest.mark.parametrize(
    ("text", "operands", "expected"),
    [
        ("int32-wrap", "int8", 640 + 31 * 9 + 4 + 32 * 6),
        ("int16-wrap", "int8*int4", 320 + 15 * 9 + 4 + 16 * 6),
        ("int16-saturate", "uint8*int8", 640 + 15 * 9 + 4 + 16 * 6 + 3 + 16 * 3),
        ("int12x64/int20-wrap", "int8", 640 + 103 + 175 * Fraction(17, 1152) + 32 * 6),
        ("x86-u8s8", "int8", 640 + (139 + 3 + 48 + 283) / 2 + 32 * 6),
        ("fixed<16,20>", "int8", 640 + 139 + 16 * 6),
        ("fixed<16,20>,round=nearest-up", "int8", 640 + 139 + 16 * 6 + 12 * 4),
    ],
)
def test_integers_by_hand(text, operands, expected):
    assert gates(text, operands) == pytest.approx(float(expected))


def test_an_exact_sum_by_hand():
    """Products of M4E3 lie 14 places apart and have 10 bits; 64 of them take 6 more, and a sign: 31 bits."""
    cost = unit_cost("kulisch(M7E4b10)", M4E3, 64)
    assert cost.register_bits == 14 + 10 + 6 + 1
    assert cost.groups["alignment"] == 31 * 4 * 3 and cost.components["fixed-point adder"] == 30 * 9 + 4
    assert cost.components["result: shift"] == 31 * 5 * 3 / 64
    assert unit_cost("kulisch", "float32", 1).register_bits == 2 * 255 + 48 + 1


def test_slices_add_an_adder_and_a_register():
    inner, slices = unit_cost("fp16-fma", M4E3, 25), unit_cost("splitk4(fp16-fma)", M4E3, 100)
    combining = slices.components["slices: mantissa adder"]
    assert combining == (23 * 9 + 4) * 3 / 100 and slices.groups["registers"] == inner.groups["registers"] + 32 * 6


@pytest.mark.parametrize(
    ("cheaper", "dearer"),
    [
        ("M7E4b12/M7E4b10", "M7E4b12/M7E4b10,round=odd"),
        ("M7E4b12/M7E4b10", "M7E4b12/M7E4b10,round=nearest-away"),
        ("M7E4b12/M7E4b10,round=nearest-away", "M7E4b12/M7E4b10,round=nearest"),
        ("M7E4b12/M7E4b10,round=nearest", "M7E4b12/M7E4b10,round=stochastic8"),
        ("M7E4b12/M7E4b10,round=stochastic4", "M7E4b12/M7E4b10,round=stochastic8"),
        ("M7E4b10,round=nearest,product=exact", "M7E4b12/M7E4b10,round=nearest"),
        ("M7E4b10,product=exact", "M7E4b10,product=exact,range=infinity"),
        ("M7E4b10,product=exact", "M7E4b10,product=exact,subnormals=keep"),
        ("M7E4b10,product=exact", "M7E4b10,product=exact,codes=dlfloat"),
        ("M7E4b12/M7E4b10", "M7E4b12/M7E4b10,underflow=off"),
        ("M7E4b12/M7E4b10,chunk=none", "M7E4b12/M7E4b10"),
        ("M7E4b12/M7E4b10", "M7E4b12/M7E4b10,chunk=16x8"),
        ("M7E4b12/M7E4b10,chunk=32", "M7E4b12/M7E4b10,chunk=32,lanes=2"),
        ("M7E4b12/M7E4b10,tree=16", "M7E4b12/M7E4b10"),  # it has one register, and 15 adders for 16 products
        ("int16-wrap", "int16-saturate"),
        ("int12x64/int32-wrap", "int32-wrap"),  # most additions are of 12 bits
        ("fp32-fma", "kulisch"),
    ],
)
def test_what_does_more_costs_more(cheaper, dearer):
    operands = "int8" if as_spec(cheaper).sums_codes else "M7E8" if "kulisch" in dearer else M4E3
    assert gates(cheaper, operands) < gates(dearer, operands)


@settings(max_examples=60, deadline=None)
@given(spec=all_specs(), operands=st.sampled_from(OPERANDS), depth=st.integers(2, 5000))
def test_more_bits_of_sums_cost_more(spec, operands, depth):
    held = spec.accumulator_format
    if held.mantissa_bits < 22 and (spec.tree != 1 or depth > 1000):
        wider = replace(spec, accumulator_format=replace(held, mantissa_bits=held.mantissa_bits + 1))
        assert unit_cost(spec, operands, depth).gates < unit_cost(wider, operands, depth).gates


@settings(max_examples=40, deadline=None)
@given(inner=all_specs(), slices=st.integers(2, 9), bits=st.integers(0, 22), depth=st.integers(18, 3000))
def test_slices_and_exact_sums_cost_more_with_wider_results(inner, slices, bits, depth):
    for text in (f"splitk{slices}({inner}),sum=M{{}}E7b63", "kulisch(M{}E7b63)"):
        narrow, wide = (gates(text.format(m), depth=depth) for m in (max(bits - 1, 0), max(bits, 1)))
        assert narrow < wide


@pytest.mark.parametrize("text", ["M7E4b10,product=exact", "fp32-fma", "fp12-sr", "kulisch", "splitk4(fp16-fma)"])
@pytest.mark.parametrize("exponent_bits", [2, 5, 8])
def test_more_bits_of_operands_cost_more(text, exponent_bits):
    found = [gates(text, f"M{mantissa_bits}E{exponent_bits}") for mantissa_bits in range(24)]
    assert found == sorted(found) and len(set(found)) == len(found)
    assert gates(text, f"M4E{exponent_bits}") < gates(text, f"M4E{exponent_bits + 1}")


@settings(max_examples=40, deadline=None)
@given(bits=st.integers(4, 63), overflow=st.sampled_from(["wrap", "saturate"]), depth=st.integers(1, 5000))
def test_more_bits_of_integers_cost_more(bits, overflow, depth):
    assert gates(f"int{bits}-{overflow}", "int8", depth) < gates(f"int{bits + 1}-{overflow}", "int8", depth)


@settings(max_examples=60, deadline=None)
@given(spec=all_specs(), depth=st.integers(1, 3000))
def test_parts_are_sound_for_any_spec(spec, depth):
    check_datapath(spec, depth)


def test_additions_are_as_many_as_products_less_those_that_are_loaded():
    """Whatever the order, 100 products take 99 additions; a chain also adds the first to zero."""
    for text, expected in [
        ("M7E4b10,product=exact,chunk=none", 100),
        ("M7E4b10,product=exact,chunk=16", 100 + 6),
        ("M7E4b10,product=exact,chunk=9x3", 100 + (12 - 4) + (4 - 1)),
        ("M7E4b10,product=exact,tree=16", 99),
        ("M7E4b10,product=exact,tree=16,start=carry", 100),
        ("M7E4b10,product=exact,tree=16,chunk=2", 99),
        ("M7E4b10,product=exact,chunk=32,lanes=4", 100 + 4 * 3 + 3),
        ("M7E4b10,product=exact,chunk=32,lanes=4,start=carry", 100 + 4 * 3),
    ]:
        parts = as_spec(text).datapath(Operands.parse(M4E3), 100).parts
        adders = sum(part.per_product for part in parts if part.name.endswith("mantissa adder"))
        assert adders * 100 == expected, text


def test_registers_are_one_for_each_chain_and_lane():
    widths = {
        "": 24,
        ",chunk=none": 12,
        ",chunk=16x8": 36,
        ",tree=16": 12,
        ",tree=16,chunk=8": 24,
        ",chunk=32,lanes=4": 60,
    }
    for options, bits in widths.items():
        assert unit_cost(f"M7E4b12/M7E4b10{options}", M4E3, 1000).register_bits == bits


SUMS_BY_HAND = {  # of 100 products of M4E3, or int8: sums of each level, bits of each register
    "fp32-fma": ((1,), (32,)),
    "fp16-mul-add": ((1,), (16,)),
    "M7E4b12/M7E4b10,chunk=none": ((1,), (12,)),
    "M7E4b12/M7E4b10": ((7, 1), (12, 12)),
    "M7E4b12/M7E4b10,chunk=9x8": ((12, 2, 1), (12, 12, 12)),
    "M7E4b12/M7E4b10,tree=16": ((7, 1), (12,)),
    "M7E4b12/M7E4b10,chunk=32,lanes=4": ((4, 1), (12,) * 5),
    "wang2018": ((2, 1), (16, 16)),
    "fp12-sr": ((1,), (12,)),
    "kulisch": ((1,), (14 + 10 + 7 + 1,)),
    "splitk4(fp16-fma)": ((4, 1), (16, 32)),
    "splitk4(M7E4b12/M7E4b10)": ((8, 4, 1), (12, 12, 32)),
    "int16-wrap": ((1,), (16,)),
    "int12x64/int20-wrap": ((2, 1), (12, 20)),
    "fixed<16,20>": ((1,), (16,)),
    "x86-u8s8": ((50, 1), (32,)),
    "arm-smlal16": ((50, 1), (32,)),
}


@pytest.mark.parametrize("text", SUMS_BY_HAND)
def test_sums_and_registers_by_hand(text):
    cost = unit_cost(text, "int8" if as_spec(text).sums_codes else M4E3, 100)
    assert (cost.sums, tuple(sorted(cost.registers))) == SUMS_BY_HAND[text]
    assert cost.register_bits == sum(cost.registers)


def test_the_last_slice_may_have_fewer_chunks():
    assert unit_cost("splitk4(M7E4b12/M7E4b10)", M4E3, 65).sums == (2 + 2 + 2 + 1, 4, 1)


def test_energy_is_that_of_the_table_where_gates_are():
    """int8 products summed in 32 bits are 0.2 + 0.1 pJ by Horowitz; a float sum is more, and less with fewer bits."""
    assert unit_cost("int32-wrap", "int8", 100).pj == pytest.approx(0.3)
    assert unit_cost("int32-wrap", "int8", 100).um2 == pytest.approx(282 + 137)
    costs = [unit_cost(text, M4E3, 100) for text in ("M7E4b12/M7E4b10", "fp16-fma", "fp32-fma", "kulisch")]
    assert [c.pj for c in costs[:3]] == sorted(c.pj for c in costs[:3]) and 0.3 < costs[0].pj < costs[1].pj < 1.5


def test_what_cannot_be_priced_is_an_error():
    with pytest.raises(UnpricedError, match="int16-wrap: sums of integers: expected operands of integers.*got M4E3"):
        unit_cost("int16-wrap", M4E3, 10)
    with pytest.raises(ValueError, match="operand_format: expected the format of an operand, such as M4E3.*'M4'"):
        unit_cost("M7E4b10", "M4", 10)
    with pytest.raises(ValueError, match="depth: expected at least 1, got 0"):
        unit_cost("M7E4b10", M4E3, 0)


def test_a_kind_without_a_datapath_is_priced_by_what_was_measured(monkeypatch, tmp_path):
    kind = type(as_spec("kulisch"))
    monkeypatch.setattr(kind, "datapath", lambda self, operands, depth: None)
    with pytest.raises(UnpricedError, match="kulisch: its kind, kulisch, tells no datapath"):
        unit_cost("kulisch", M4E3, 10)
    entry = {"accumulator": "kulisch", "operands": M4E3, "gates": 5, "pj": 1.5, "um2": 7}
    table = table_of(tmp_path, {"measured": [entry]})
    cost = unit_cost("kulisch", M4E3, 10, table)
    assert (cost.gates, cost.pj, cost.um2, cost.unit_gates) == (5, 1.5, 7, None)


def table_of(folder, value):
    (folder / "my.json").write_text(json.dumps(value))
    return load_table(folder / "my.json")


def test_a_table_replaces_what_it_names(tmp_path):
    plain = unit_cost("M7E4b12/M7E4b10", M4E3, 64)
    table = table_of(tmp_path, {"name": "mine", "cells": {"source": "me", "gates": {"DFF": 4.5}}})
    changed = unit_cost("M7E4b12/M7E4b10", M4E3, 64, table)
    assert changed.groups == {**plain.groups, "registers": 24 * 4.5} and table.name == "mine"
    measured = {"accumulator": "M7E4b10", "operands": M4E3, "gates": 851, "source": "synthesis"}
    cost = unit_cost("M7E4b12/M7E4b10", M4E3, 64, table_of(tmp_path, {"measured": [measured]}))
    assert cost.gates == 851 and cost.source == "synthesis" and cost.pj == plain.pj
    assert unit_cost("M7E4b12/M7E4b10", "M3E4", 64, table_of(tmp_path, {"measured": [measured]})).source == ""


def test_a_part_of_the_operations_is_replaced_and_tells_its_own_origin(tmp_path):
    default, add = load_table(), [{"format": "M10E5", "pj": 0.2, "um2": 600}]
    table = table_of(tmp_path, {"operations": {"process": "7 nm", "float": {"add": add}}})
    assert [(anchor.pj, anchor.um2) for anchor in table.anchors["float", "add"]] == [(0.2, 600)]
    assert table.anchors["float", "multiply"] == default.anchors["float", "multiply"]
    assert (table.cells, table.process, table.sources["operations"]) == (default.cells, "7 nm", "")
    assert table.sources["cells"] == default.sources["cells"] != "" and table.name == "my.json"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"gates": 1}, "expected some of name, cells, operations, measured, got 'gates'"),
        ({"cells": {"gates": {"NAND3": 1}}}, "cells.gates: expected some of AND2, .*got 'NAND3'"),
        ({"cells": {"gates": {"FA": 0}}}, "cells.gates.FA: expected a number above 0, got 0"),
        ({"cells": {"gates": {"FA": True}}}, "cells.gates.FA: expected a number above 0, got True"),
        ({"cells": 3}, "cells: expected a JSON object, got int"),
        ({"measured": {}}, "measured: expected a list, got dict"),
        ({"measured": [{"accumulator": "M7"}]}, r"measured\[0\].accumulator: .*got 'M7'"),
        (
            {"measured": [{"accumulator": "kulisch", "operands": "M4E3"}]},
            r"measured\[0\].gates: expected a number above",
        ),
        ({"measured": [{"price": 3}]}, r"measured\[0\]: expected some of accumulator, operands, .*got 'price'"),
        (
            {
                "measured": [
                    {"accumulator": text, "operands": M4E3, "gates": 1} for text in ("M7E4b10", "M7E4b12/M7E4b10")
                ]
            },
            r"measured\[1\]: M7E4b12/M7E4b10 with operands M4E3 has been measured in measured\[0\]",
        ),
        ({"cells": {"colour": 1}}, "cells: expected some of source, gates, got 'colour'"),
        ({"operations": {"double": {}}}, "operations: expected some of process, .*got 'double'"),
        ({"operations": {"float": 1}}, "operations.float: expected a JSON object, got int"),
        ({"operations": {"integer": {"add": []}}}, "operations.integer.add: expected at least one entry, got none"),
        (
            {"operations": {"integer": {"add": [{"pJ": 1}]}}},
            r"operations.integer.add\[0\]: expected some of .*got 'pJ'",
        ),
        ({"operations": {"source": 1}}, "operations.source: expected a text, got int"),
        ({"name": 3}, "name: expected a text, got int"),
    ],
)
def test_a_wrong_table_is_one_error(tmp_path, value, problem):
    with pytest.raises(DataError, match=f"my.json: {problem}"):
        table_of(tmp_path, value)


def test_published_points_are_beside_the_models():
    points = {point.name: point for point in published_points()}
    assert [p.error_percent for p in points.values() if p.name.startswith("gates")] == [0, 0, 0]
    energy = {name: point for name, point in points.items() if name.startswith("energy")}
    assert {round(p.published, 2) for p in energy.values()} == {2.25, 3.36, 3.33, 15.5}
    assert all(abs(point.error_percent) < 45 for point in energy.values())
    unknown = [point for point in points.values() if point.published is None]
    ratios = [
        unit_cost("fp12-sr", "M2E5", 1024).gates / unit_cost(text, "M2E5", 1024).gates
        for text in ("fp16-fma", "fp32-fma")
    ]
    ratios += [
        unit_cost("kulisch", text, 1024).gates / unit_cost("int32-wrap", "int8", 1024).gates
        for text in ("M2E5", "M3E4")
    ]
    assert [point.model for point in unknown] == ratios and {point.error_percent for point in unknown} == {None}


def test_every_kind_tells_its_datapath():
    for kind in kinds():
        for text in (kind.example, *kind.further_examples):
            operands = Operands.parse("int8" if as_spec(text).sums_codes else M4E3)
            assert as_spec(text).datapath(operands, 100) is not None
            cost = unit_cost(text, operands, 100)
            assert set(cost.groups) == {group.value for group in Group}
            json.dumps(cost.to_json(), allow_nan=False)

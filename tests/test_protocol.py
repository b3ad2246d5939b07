"""Every registered kind is what it says, in several of its texts; bounds are those that the library proves with."""

import subprocess
from pathlib import Path

import pytest
from c_headers import compile_with
from protocol_checks import check_all, check_bounds, check_knobs

from lba_onnx.arithmetic import as_spec, parse_family
from lba_onnx.arithmetic.registry import kinds

TEXTS = [
    "M7E4b10",
    "M7E4b12/M3E5b10,chunk=5",
    "M10E5b15/M7E4b4,chunk=none",
    "M2E3b2,round=nearest,chunk=8",
    "M4E3b0/M4E3b1,underflow=off",
    "M22E7b63/M22E7b63",
    "M7E4b12/M7E4b10,chunk=3x4",
    "M3E4b8/M3E4b7,tree=8,chunk=2x2",
]
INTEGERS = [
    "int16-wrap",
    "int9-saturate,operands=raw",
    "int12x8/int20-wrap",
    "int12x5-saturate/int14-saturate",
    "int33-saturate",
    "fixed<12,18>,round=nearest-up",
    "fixed<10,16>,overflow=saturate",
    "x86-u8s8",
    "arm-smlal16",
]
IN_PYTHON = [
    "M3E4b8/M3E4b7,round=odd",
    "M2E4b8/M2E4b7,round=stochastic4",
    "M3E4b7/M3E4b7,round=nearest-away,chunk=2x3",
    "M3E4b7,product=exact,round=nearest",
    "M2E3b3/M2E3b3,subnormals=keep,round=nearest,chunk=5",
    "M3E4b7/M3E4b7,range=infinity,subnormals=keep,round=nearest",
]
SOURCES = Path(__file__).parents[1] / "custom_ops"


def test_every_kind_is_what_it_says():
    for kind in kinds():
        check_all(kind.example)


@pytest.mark.parametrize("text", [*TEXTS, *INTEGERS])
def test_texts_are_what_they_say(text):
    check_all(text)


@pytest.mark.parametrize("text", IN_PYTHON)
def test_bounds_hold_of_every_rounding(text):
    check_bounds(as_spec(text))


@pytest.mark.parametrize("text", ["M7E4", "M2E1,chunk=none", "M22E7,round=nearest"])
def test_families_name_their_knobs(text):
    check_knobs(parse_family(text))


def test_bounds_are_sharp_where_nothing_is_rounded():
    spec = as_spec("M22E7b63/M22E7b63,chunk=8")
    assert [bound.largest for bound in spec.bounds(2.0, 3.0, 20)] == pytest.approx([6, 48, 120], rel=1e-9)
    narrow = as_spec("M7E4b12/M7E4b10,chunk=8").bounds(2.0, 3.0, 20)
    assert [(bound.largest, bound.fits) for bound in narrow[:2]] == [(6, True), (pytest.approx(48), True)]
    assert (narrow[2].largest, narrow[2].fits) == (63.75, False)


def test_rounding_to_nearest_grows_a_bound_once_for_each_sum_that_a_product_is_part_of():
    bounds = as_spec("M7E7b63/M7E7b63,chunk=8,round=nearest").bounds(2.0, 3.0, 20)
    once = 1 + 2**-8  # 8 sums of a chunk, 3 of the total, and the product itself
    expected = [6 * once, 48 * once**9, 120 * once**12]
    assert [bound.largest for bound in bounds] == pytest.approx(expected, rel=1e-8)


PROOFS = """
#include <cstdio>
#include <cstdlib>
#include <limits>
#include "arithmetic/chunked_float/short_cuts.h"
int main(int count, char** texts) {
  for (int i = 1; i + 3 < count; i += 4) {
    const lba::ShortCuts cuts(lba::ParseSpec(texts[i]), std::atoll(texts[i + 1]));
    lba::PanelBounds moving{}, fixed{};
    moving.max_abs = std::atof(texts[i + 2]);
    fixed.max_abs = std::atof(texts[i + 3]);
    moving.chunk_norm = fixed.chunk_norm = std::numeric_limits<double>::infinity();  // nothing but magnitudes is known
    const lba::TileVariant variant = cuts.Variant(moving, fixed, false);
    std::printf("%d %d\\n", variant.product != lba::ProductStep::kSaturate, !variant.saturates_partial_sum);
  }
}
"""


def test_bounds_fit_where_the_library_leaves_clamps_out(tmp_path):
    cases = [
        (text, depth, x, w)
        for text in (*(t for t in TEXTS if "underflow" not in t), "M7E4b12/M7E4b10,round=nearest")
        for depth in (1, 7, 16, 100)
        for x in (0.01, 0.9, 1.0, 3.9, 3.984375, 4.0, 31.8, 4000.0)
        for w in (0.5, 3.99, 4.0)
    ]
    files = (
        "arithmetic/chunked_float/short_cuts.cc",
        "arithmetic/chunked_float/spec.cc",
        "arithmetic/chunked_float/named.cc",
        "arithmetic/formats.cc",
        "arithmetic/text_parts.cc",
    )
    include = ("-I", str(SOURCES), "-x", "c++", *(str(SOURCES / name) for name in files))
    compile_with(PROOFS, tmp_path / "proofs", *include)
    arguments = [str(value) for case in cases for value in case]
    told = subprocess.run([tmp_path / "proofs", *arguments], capture_output=True, text=True, check=True).stdout.split()
    proved = list(zip(told[::2], told[1::2], strict=True))
    ours = [
        tuple(str(int(bound.fits)) for bound in as_spec(text).bounds(x, w, depth)[:2]) for text, depth, x, w in cases
    ]
    assert ours == proved
    assert {("0", "0"), ("1", "0"), ("1", "1")} <= set(ours)

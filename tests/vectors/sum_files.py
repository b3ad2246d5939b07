"""The golden vectors of accumulators that are more than chains of rounded sums."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from convolutions import CONVOLUTIONS
from kinds import SPECIALS, Draw
from rationals import Format, bits, line
from rule_files import NAMED, starts_of, value_of
from rule_kinds import RULE_KINDS, pairs_of
from rules import Rules, value_bits
from sums import Chained, Exact, Pairs, Sliced, Sums

DEPTHS = (7, 16, 23, 1, 31, 17, 3, 2, 50)


def result(text: str, rounding: str = "nearest", infinity: bool = False, subnormals: bool = False) -> Rules:
    """Return the rules of a format of results."""
    return Rules(None, Format.parse(text), rounding=rounding, infinity=infinity, subnormals=subnormals)


FLOAT32 = result("M23E8b127", infinity=True, subnormals=True)
FLOAT16 = result("M10E5b15", infinity=True, subnormals=True)
EXACT = (
    Exact("kulisch", FLOAT32),
    Exact("kulisch(float16)", FLOAT16),
    Exact("kulisch(bfloat16),round=odd", result("M7E8b127", "odd", True, True)),
    Exact("kulisch(M7E4b10)", result("M7E4b10")),
    Exact("kulisch(M9E6b31),round=nearest-away", result("M9E6b31", "nearest-away")),
    Exact("kulisch(M10E5b15),round=truncate,range=infinity", result("M10E5b15", "truncate", True)),
    Exact("kulisch(M3E4b7),subnormals=keep", result("M3E4b7", subnormals=True)),
    Exact("kulisch(M22E7b63),round=truncate", result("M22E7b63", "truncate")),
)
FP16_FMA, _, BF16_FMA, FP16_MUL_ADD, WANG2018, _, _, FP12_SR4, *_ = NAMED
PLAIN = Rules(Format.parse("M7E4b12"), Format.parse("M7E4b10"), (2, 3))
TREES = Rules(Format.parse("M4E3b6"), Format.parse("M4E3b4"), (2,), 3, rounding="nearest")
SLICED = (
    Sliced(4, Chained(FP16_FMA), "", FLOAT32),
    Sliced(3, Chained(PLAIN), ",sum=M7E4b10,round=truncate", result("M7E4b10", "truncate")),
    Sliced(2, Chained(TREES), ",sum=M3E4b7,range=infinity", result("M3E4b7", infinity=True)),
    Sliced(5, Chained(BF16_FMA), ",sum=bfloat16", result("M7E8b127", infinity=True, subnormals=True)),
    Sliced(2, Chained(FP16_MUL_ADD), ",sum=float16,round=nearest-away", replace(FLOAT16, rounding="nearest-away")),
    Sliced(3, Chained(FP12_SR4), ",sum=M5E6b31,round=odd", result("M5E6b31", "odd")),
    Sliced(7, Chained(WANG2018), "", FLOAT32),
    Sliced(2, EXACT[3], ",sum=float16", FLOAT16),
)
DLFLOAT = Rules(None, Format.parse("M9E6b31"), rounding="nearest-away", dlfloat=True)
DLFLOATS = (
    Chained(replace(DLFLOAT, name="dlfloat16")),
    Chained(replace(DLFLOAT, chunks=(4,), rounding="nearest")),
    Chained(replace(DLFLOAT, product=Format.parse("M3E4b7"), accumulator=Format.parse("M4E4b6"), chunks=(2, 3))),
    Chained(replace(DLFLOAT, accumulator=Format.parse("M1E3b2"), tree=4, rounding="truncate")),
    Chained(replace(DLFLOAT, accumulator=Format.parse("M5E5b15"), rounding="stochastic", random_bits=3)),
)
NEAREST = Rules(Format.parse("M4E4b9"), Format.parse("M4E4b8"), rounding="nearest")
ORDERS = (
    Chained(replace(NEAREST, chunks=(8,), lanes=2)),
    Chained(replace(NEAREST, chunks=(), lanes=4, rounding="truncate")),
    Chained(replace(FLOAT16, chunks=(6, 2), lanes=3)),
    Chained(replace(NEAREST, chunks=(5,), lanes=7, carry=True)),
    Chained(replace(FLOAT16, chunks=(7, 3), lanes=4, carry=True)),
    Chained(replace(NEAREST, tree=4, carry=True, rounding="odd")),
    Chained(replace(FLOAT16, tree=3, chunks=(2, 2), carry=True)),
    Chained(replace(NEAREST, tree=5, chunks=(2,), carry=True, rounding="stochastic", random_bits=4, seed=3)),
)
SUMS: tuple[Sums, ...] = (*EXACT, *SLICED, *DLFLOATS, *ORDERS)


def dot_case(sums: Sums, pairs: Pairs) -> str:
    """Return a case of dot.txt with given operands."""
    x, w = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return line(sums, len(x), bits(x), bits(w), value_bits(sums.dot(pairs, (0, 0))))


def dot_lines() -> Iterator[str]:
    """Yield the cases of dot.txt."""
    draw, depths = Draw(21), itertools.cycle(DEPTHS)
    for sums, kind in itertools.product(SUMS, RULE_KINDS):
        for _ in range(2):
            yield dot_case(sums, pairs_of(kind, draw, sums.drawn_for, next(depths)))
    for x, w in itertools.product(SPECIALS, SPECIALS):
        yield dot_case(SUMS[0], [(x, w)])
        for sums in (EXACT[3], *SLICED[:3]):
            yield dot_case(sums, [(1.0, 0.75), (x, w), (-1.0, 0.5)])
    yield dot_case(SUMS[0], [])


def matmul_lines() -> Iterator[str]:
    """Yield the cases of matmul.txt."""
    draw, depths, kinds = Draw(22), itertools.cycle(DEPTHS), itertools.cycle(RULE_KINDS)
    for sums in (*SUMS, *SUMS):
        rows, depth, columns, kind = draw.integer(1, 3), next(depths), draw.integer(1, 4), next(kinds)
        left = [[pair[0] for pair in pairs_of(kind, draw, sums.drawn_for, depth)] for _ in range(rows)]
        right = [[pair[1] for pair in pairs_of(kind, draw, sums.drawn_for, depth)] for _ in range(columns)]
        results = [
            sums.dot(list(zip(left[r], right[c], strict=True)), (r, c)) for r in range(rows) for c in range(columns)
        ]
        operands = (" ".join(map(bits, left)), " ".join(map(bits, zip(*right, strict=True))))
        yield line(sums, rows, depth, columns, *operands, *map(value_bits, results))


def starts_lines() -> Iterator[str]:
    """Yield the cases of starts.txt."""
    draw, depths, kinds = Draw(24), itertools.cycle(DEPTHS), itertools.cycle(RULE_KINDS)
    cases = [(sums, next(depths)) for sums in (*SUMS, *SUMS)]
    for sums, depth in (*cases, (EXACT[3], 0), (SLICED[1], 0), (SLICED[4], 0)):
        rows, columns, kind = draw.integer(1, 2), draw.integer(1, 3), next(kinds)
        a = [[pair[0] for pair in pairs_of(kind, draw, sums.drawn_for, depth)] for _ in range(rows)]
        b = [[pair[1] for pair in pairs_of(kind, draw, sums.drawn_for, depth)] for _ in range(columns)]
        starts = starts_of(draw, sums.drawn_for, kind, rows * columns)
        places = itertools.product(range(rows), range(columns))
        results = [
            sums.dot(list(zip(a[r], b[c], strict=True)), (r, c), value_of(start))
            for (r, c), start in zip(places, starts, strict=True)
        ]
        operands = (bits([*itertools.chain(*rows_of)]) for rows_of in (a, zip(*b, strict=True)))
        yield line(sums, rows, depth, columns, *operands, bits(starts), *map(value_bits, results))


def conv_lines() -> Iterator[str]:
    """Yield the cases of conv.txt."""
    draw, kinds, cycle = Draw(23), itertools.cycle(RULE_KINDS), itertools.cycle(SUMS)
    for conv in (*CONVOLUTIONS, *CONVOLUTIONS[::-1], *CONVOLUTIONS):
        sums, kind = next(cycle), next(kinds)
        x = [pair[0] for pair in pairs_of(kind, draw, sums.drawn_for, math.prod(conv.x_shape))]
        w = [pair[1] for pair in pairs_of(kind, draw, sums.drawn_for, math.prod(conv.w_shape))]
        results = []
        for index in conv.indices():
            image, channel, *place = index
            row = image
            for at, size in zip(place, conv.out_shape[2:], strict=True):
                row = row * size + at
            results.append(value_bits(sums.dot(list(conv.pairs(x, w, index)), (row, channel))))
        yield line(sums, conv, bits(x), bits(w), *results)


SUM_FILES: dict[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "dot.txt": ("accumulator depth x w result", dot_lines),
    "matmul.txt": ("accumulator rows depth columns a b result", matmul_lines),
    "starts.txt": ("accumulator rows depth columns a b initial result", starts_lines),
    "conv.txt": ("accumulator axes x_shape w_shape strides pads dilations group out_shape x w result", conv_lines),
}

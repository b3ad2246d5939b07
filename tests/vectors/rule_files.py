"""The golden vectors of all rules: orders of sums, roundings, exact products, infinity and subnormals, names."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

from convolutions import CONVOLUTIONS, Convolution
from edges import quantize_inputs, subnormal_inputs
from kinds import SPECIALS, Draw, Kind
from rationals import Format, bits, float64_bits, line
from rule_kinds import RULE_KINDS, pairs_of, single
from rules import Output, Rules, Value, dot, quantize, value_bits

ORDERS = (  # chunk sizes, tree
    ((2, 3), 0),
    ((), 4),
    ((), 0),
    ((9, 8), 0),
    ((2,), 3),
    ((16,), 0),
    ((3, 2, 2), 0),
    ((), 16),
    ((2, 2), 5),
    ((1, 4), 0),
    ((), 7),
)
ROUNDINGS = (
    ("truncate", 0),
    ("nearest", 0),
    ("nearest-away", 0),
    ("odd", 0),
    ("stochastic", 1),
    ("stochastic", 5),
    ("stochastic", 8),
    ("stochastic", 16),
)
SEEDS = (0, 1, 2**32 + 7, 2**64 - 1)
DEPTHS = (7, 16, 23, 1, 31, 17, 3, 2)
PLAIN = (
    ("M7E4b12", "M7E4b10"),
    ("M4E3b6", "M4E3b4"),
    ("M10E5b17", "M10E5b15"),
    ("M22E7b65", "M22E7b63"),
    ("M0E1b1", "M0E1b0"),
    ("M3E2b-3", "M5E6b40"),
    ("M22E7b126", "M22E7b126"),
    ("M12E6b70", "M22E5b40"),
    ("M22E7b60", "M7E7b60"),
)
CODED = (
    ("M10E5b15", "M10E5b15"),
    ("M7E7b63", "M3E4b7"),
    ("M23E7b63", "M23E7b64"),
    ("M0E2b1", "M2E3b4"),
    ("M22E7b126", "M10E7b126"),
    ("M3E4b7", "M10E5b15"),
    ("M23E7b62", "M2E5b15"),
)
IEEE = (
    ("M10E5b15", "M10E5b15"),
    ("M7E8b127", "M7E8b127"),
    ("M23E8b127", "M23E8b127"),
    ("M3E4b7", "M10E5b15"),
    ("M10E8b127", "M23E8b127"),
    ("M23E8b127", "M7E8b127"),
)


def named(name: str, product: str, accumulator: str, rounding: str, random_bits: int = 0, chunk: int = 0) -> Rules:
    """Return what a name stands for; an accumulator with a product of its own has the codes of IEEE 754."""
    is_ieee = accumulator in ("M10E5b15", "M7E8b127", "M23E8b127")
    return Rules(
        Format.parse(product) if product else None,
        Format.parse(accumulator),
        (chunk,) if chunk else (),
        rounding=rounding,
        random_bits=random_bits,
        infinity=is_ieee,
        subnormals=is_ieee,
        name=name,
    )


NAMED = (
    named("fp16-fma", "", "M10E5b15", "nearest"),
    named("fp32-fma", "", "M23E8b127", "nearest"),
    named("bf16-fma", "", "M7E8b127", "nearest"),
    named("fp16-mul-add", "M10E5b15", "M10E5b15", "nearest"),
    named("wang2018", "", "M9E6b31", "nearest", chunk=64),
    named("hfp8", "", "M9E6b31", "nearest", chunk=64),
    named("fp12-sr", "", "M5E6b31", "stochastic", 8),
    named("fp12-sr4", "", "M5E6b31", "stochastic", 4),
    replace(named("fp16-fma,chunk=4", "", "M10E5b15", "nearest"), chunks=(4,)),
    replace(named("fp16-mul-add,tree=4", "M10E5b15", "M10E5b15", "nearest"), tree=4),
)


def all_rules() -> Iterator[Rules]:
    """Yield every rounding with products rounded and exact and with every code, over formats and orders."""
    orders, seeds = itertools.cycle(ORDERS), itertools.cycle(SEEDS)
    pairs = {False: itertools.cycle(PLAIN), True: itertools.cycle(CODED)}
    both = itertools.cycle(IEEE)
    cases = itertools.product(ROUNDINGS, (True, False), (True, False), (True, False))
    for index, ((rounding, random_bits), infinity, subnormals, exact) in enumerate(cases):
        product, accumulator = next(both if infinity and subnormals else pairs[infinity or subnormals])
        chunks, tree = next(orders)
        yield Rules(
            None if exact else Format.parse(product),
            Format.parse(accumulator),
            chunks,
            tree,
            underflow=subnormals or index % 3 > 0,
            rounding=rounding,
            random_bits=random_bits,
            seed=next(seeds) if random_bits else 0,
            infinity=infinity,
            subnormals=subnormals,
        )


def orders_of_sums() -> Iterator[Rules]:
    """Yield every order of sums, truncated and rounded to nearest, over plain formats."""
    pairs = itertools.cycle(PLAIN)
    for (chunks, tree), rounding in itertools.product(ORDERS, ("truncate", "nearest")):
        product, accumulator = map(Format.parse, next(pairs))
        yield Rules(product, accumulator, chunks, tree, rounding=rounding)


def quantize_lines() -> Iterator[str]:
    """Yield the cases of quantize.txt: products and sums of one format, whose order plays no part."""
    draw = Draw(11)
    for rules in all_rules():
        if rules.product is None:
            continue
        rules = replace(rules, product=rules.accumulator, chunks=(), tree=0, seed=0)
        inputs = quantize_inputs(draw, rules.as_seen(rules.accumulator), True)
        for value in (*inputs[::4], *subnormal_inputs(draw, rules.as_seen(rules.accumulator))):
            drawn = draw.integer(0, 2**rules.random_bits - 1)
            exact = value_of(value)
            yield line(rules, drawn, float64_bits(value), value_bits(quantize(exact, rules.accumulator, rules, drawn)))


def value_of(value: float) -> Value:
    """Return a float as what it is among values."""
    return value if value == 0 or not math.isfinite(value) else Fraction(value)


def dot_line(draw: Draw, rules: Rules, kind: Kind, depth: int) -> str:
    """Return one case of dot.txt."""
    pairs = pairs_of(kind, draw, rules, depth)
    return dot_case([pair[0] for pair in pairs], [pair[1] for pair in pairs], rules)


def dot_case(x: list[float], w: list[float], rules: Rules) -> str:
    """Return a case of dot.txt with given operands."""
    return line(rules, len(x), bits(x), bits(w), value_bits(dot(x, w, rules)))


def dot_lines() -> Iterator[str]:
    """Yield the cases of dot.txt."""
    draw, depths, kinds = Draw(12), itertools.cycle(DEPTHS), itertools.cycle(RULE_KINDS)
    for rules in (*all_rules(), *orders_of_sums()):
        for _ in range(4):
            yield dot_line(draw, rules, next(kinds), next(depths))
    for rules in orders_of_sums():
        yield dot_line(draw, rules, RULE_KINDS[0], 75)
    for rules, kind in itertools.product(NAMED, RULE_KINDS):
        yield dot_line(draw, rules, kind, next(depths) + draw.integer(0, 1))
    for x, w in itertools.product(SPECIALS, SPECIALS):
        yield dot_case([x], [w], NAMED[0])
        yield dot_case([1.0, x, -1.0], [0.75, w, 0.5], NAMED[3])
    yield dot_case([], [], NAMED[0])


def matmul_lines() -> Iterator[str]:
    """Yield the cases of matmul.txt."""
    draw, depths, kinds = Draw(13), itertools.cycle(DEPTHS), itertools.cycle(RULE_KINDS)
    for rules in (*all_rules(), *NAMED):
        rows, depth, columns = draw.integer(1, 3), next(depths), draw.integer(1, 4)
        kind = next(kinds)
        a = [pairs_of(kind, draw, rules, depth) for _ in range(rows)]
        b = [pairs_of(kind, draw, rules, depth) for _ in range(columns)]
        left = [[pair[0] for pair in row] for row in a]
        right = [[pair[1] for pair in column] for column in b]
        results = [dot(left[r], right[c], rules, (r, c)) for r in range(rows) for c in range(columns)]
        operands = (" ".join(map(bits, left)), " ".join(map(bits, zip(*right, strict=True))))
        yield line(rules, rows, depth, columns, *operands, *map(value_bits, results))


def starts_of(draw: Draw, rules: Rules, kind: Kind, count: int) -> list[float]:
    """Return values to start from: products of a kind, the ends of the format of sums and beside them, and specials."""
    held = rules.as_seen(rules.accumulator)
    ends = [float(held.max_value) * 0.99, float(held.max_value) * 1.01]
    ends += [2.0**held.min_exponent * (1 + beside / 256) for beside in (-1, 0, 1)]
    starts = []
    for x, w in pairs_of(kind, draw, rules, count):
        sign = 1 if draw.integer(0, 1) else -1
        end = single(sign * ends[draw.integer(0, len(ends) - 1)])
        starts.append(
            (single(x * w), single(x * w), end, SPECIALS[draw.integer(0, len(SPECIALS) - 1)])[draw.integer(0, 3)]
        )
    return starts


def starts_lines() -> Iterator[str]:
    """Yield the cases of starts.txt."""
    draw, depths, kinds = Draw(15), itertools.cycle(DEPTHS), itertools.cycle(RULE_KINDS)
    cases = [(rules, next(depths)) for rules in (*all_rules(), *orders_of_sums(), *NAMED)]
    for rules, depth in (*cases, (NAMED[0], 0), (NAMED[6], 0)):
        rows, columns, kind = draw.integer(1, 2), draw.integer(1, 3), next(kinds)
        a = [[pair[0] for pair in pairs_of(kind, draw, rules, depth)] for _ in range(rows)]
        b = [[pair[1] for pair in pairs_of(kind, draw, rules, depth)] for _ in range(columns)]
        starts = starts_of(draw, rules, kind, rows * columns)
        places = list(itertools.product(range(rows), range(columns)))
        pairs = zip(places, starts, strict=True)
        results = [dot(a[r], b[c], rules, (r, c), value_of(start)) for (r, c), start in pairs]
        operands = (bits([*itertools.chain(*rows_of)]) for rows_of in (a, zip(*b, strict=True)))
        yield line(rules, rows, depth, columns, *operands, bits(starts), *map(value_bits, results))


def conv_output(conv: Convolution, rules: Rules, x: list[float], w: list[float], index: tuple[int, ...]) -> Value:
    """Return one output of a convolution: in the row of its image and position, and the column of its channel."""
    image, channel, *place = index
    row = image
    for at, size in zip(place, conv.out_shape[2:], strict=True):
        row = row * size + at
    output = Output(rules, (row, channel))
    return output.dot([output.product(*pair, k) for k, pair in enumerate(conv.pairs(x, w, index))])


def conv_lines() -> Iterator[str]:
    """Yield the cases of conv.txt."""
    draw, kinds = Draw(14), itertools.cycle(RULE_KINDS)
    rules = itertools.cycle([*itertools.islice(all_rules(), 0, None, 5), *NAMED[:4]])
    for conv in (*CONVOLUTIONS, *CONVOLUTIONS[::-1]):
        rule, kind = next(rules), next(kinds)
        x = [pair[0] for pair in pairs_of(kind, draw, rule, math.prod(conv.x_shape))]
        w = [pair[1] for pair in pairs_of(kind, draw, rule, math.prod(conv.w_shape))]
        results = [value_bits(conv_output(conv, rule, x, w, index)) for index in conv.indices()]
        yield line(rule, conv, bits(x), bits(w), *results)


RULE_FILES: dict[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "quantize.txt": ("accumulator draw float64_input float32_output", quantize_lines),
    "dot.txt": ("accumulator depth x w result", dot_lines),
    "matmul.txt": ("accumulator rows depth columns a b result", matmul_lines),
    "starts.txt": ("accumulator rows depth columns a b initial result", starts_lines),
    "conv.txt": (
        "accumulator axes x_shape w_shape strides pads dilations group out_shape x w result",
        conv_lines,
    ),
}

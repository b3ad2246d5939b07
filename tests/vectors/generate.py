"""Write the golden vectors: what the arithmetic gives, worked out in exact rationals.

Nothing here comes from the package under test, so that the two can disagree. Run as
`python tests/vectors/generate.py [--output FOLDER]`; the same bytes come out every time.

One case a line, tokens separated by single spaces; lines that start with `#` are comments. Formats are written as
M<mantissa_bits>E<exponent_bits>b<exponent_bias>, integers in decimal, float32 values as the 8 hexadecimal digits of
their bits and float64 values as 16. `<spec>` stands for four tokens:

    <product_format> <accumulator_format> <chunk_size, 0 for the whole depth> <underflow, 0 or 1>

    quantize.txt  <format> <underflow> <float64 input> <float32 output>
    dot.txt       <spec> <depth> <x: depth values> <w: depth values> <result>
    matmul.txt    <spec> <rows> <depth> <columns> <a: rows*depth> <b: depth*columns> <result: rows*columns>
    conv.txt      <spec> <axes> <shape of x: 2+axes> <shape of w: 2+axes> <strides: axes> <pads: 2*axes, all begins then
                  all ends> <dilations: axes> <group> <shape of result: 2+axes> <x> <w> <result>

The files in this folder truncate; those of the same names in the folder `nearest` round to nearest even. Those in the
folders `rules` and `sums` have one token for `<spec>`, the text of an accumulator, and `rules/quantize.txt` has

    quantize.txt  <spec> <random integer> <float64 input> <float32 output>
    starts.txt    <spec> <rows> <depth> <columns> <a> <b> <what sums start from: rows*columns> <result: rows*columns>

The folder `codes` has sums of integer codes, which code_files.py describes.

Arrays are in row-major order. A NaN is written as 7fc00000: compare NaNs by being one, and everything else by bits.
"""

import argparse
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from code_files import CODE_FILES
from convolutions import CONVOLUTIONS, Convolution
from edges import quantize_inputs
from kinds import KINDS, NEAREST_KINDS, SPECIALS, Draw, Kind, Pairs, operands
from rationals import (
    NAN_BITS,
    Format,
    Spec,
    bits,
    chunked_sum,
    dot,
    float64_bits,
    line,
    quantize,
    quantized_product,
    result_bits,
)
from rule_files import RULE_FILES
from sum_files import SUM_FILES

SPECS = (
    ("M7E4b12", "M7E4b10"),
    ("M4E3b6", "M4E3b4"),
    ("M10E5b17", "M10E5b15"),
    ("M22E7b65", "M22E7b63"),
    ("M0E1b1", "M0E1b0"),
    ("M3E2b-3", "M5E6b40"),
    ("M22E7b126", "M22E7b126"),
    ("M9E5b-60", "M12E5b-96"),
    ("M7E7b0", "M2E4b9"),
    ("M12E6b70", "M22E5b40"),
)
CHUNK_SIZES = (1, 2, 3, 16, 17, 0)
DEPTHS = (0, 1, 5, 15, 16, 17, 33, 50)


def specs() -> Iterator[tuple[Format, Format, bool]]:
    """Yield both formats and underflow, on and off."""
    for (product, accumulator), underflow in itertools.product(SPECS, (True, False)):
        yield Format.parse(product), Format.parse(accumulator), underflow


def kinds_of_data(to_nearest: bool) -> tuple[Kind, ...]:
    """Return the kinds of data that a rounding is tried on."""
    return NEAREST_KINDS if to_nearest else KINDS


def quantize_lines(to_nearest: bool) -> Iterator[str]:
    """Yield the cases of quantize.txt."""
    draw = Draw(1)
    names = dict.fromkeys(itertools.chain.from_iterable(SPECS))
    for number_format, underflow in itertools.product(map(Format.parse, names), (True, False)):
        for value in quantize_inputs(draw, number_format, to_nearest):
            if math.isnan(value):
                result = NAN_BITS
            else:
                finite = max(min(value, 1e308), -1e308)  # an infinity saturates as any large value does
                result = result_bits(quantize(Fraction(finite), number_format, underflow, to_nearest))
            yield line(number_format.text, int(underflow), float64_bits(value), result)


def dot_line(pairs: Pairs, spec: Spec) -> str:
    """Return one case of dot.txt."""
    x, w = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return line(spec, len(pairs), bits(x), bits(w), result_bits(dot(x, w, spec)))


def dot_lines(to_nearest: bool) -> Iterator[str]:
    """Yield the cases of dot.txt: kinds of data over chunk sizes and depths, then special x special operands."""
    draw = Draw(2)
    shapes = itertools.cycle(list(itertools.product(DEPTHS, CHUNK_SIZES)))
    for kind, (product, accumulator, underflow) in itertools.product(kinds_of_data(to_nearest), specs()):
        for _ in range(3):
            depth, chunk_size = next(shapes)
            spec = Spec(product, accumulator, chunk_size, underflow, to_nearest)
            yield dot_line(kind(draw, spec, depth), spec)
    for x, w in itertools.product(SPECIALS, SPECIALS):
        spec = Spec(Format.parse(SPECS[0][0]), Format.parse(SPECS[0][1]), 2, True, to_nearest)
        yield dot_line([(x, w)], spec)
        yield dot_line([(1.0, 0.75), (x, w), (-1.0, 0.5)], spec)


def matmul_lines(to_nearest: bool) -> Iterator[str]:
    """Yield the cases of matmul.txt."""
    draw = Draw(3)
    for index, (product, accumulator, underflow) in enumerate(itertools.chain(specs(), specs())):
        spec = Spec(product, accumulator, CHUNK_SIZES[index % len(CHUNK_SIZES)], underflow, to_nearest)
        rows, depth, columns = draw.integer(1, 4), DEPTHS[index * 5 % 7 + 1], draw.integer(1, 5)
        kinds = kinds_of_data(to_nearest)
        kind = kinds[index % len(kinds)]
        a = operands(draw, spec, kind, depth, rows * depth)
        b = operands(draw, spec, kind, depth, depth * columns)
        result = [dot(a[r * depth : (r + 1) * depth], b[c::columns], spec) for r in range(rows) for c in range(columns)]
        yield line(spec, rows, depth, columns, bits(a), bits(b), *map(result_bits, result))
    empty = Spec(Format.parse(SPECS[0][0]), Format.parse(SPECS[0][1]), 16, True, to_nearest)
    yield line(empty, 2, 0, 3, *[result_bits(Fraction(0))] * 6)


def conv_output(
    conv: Convolution, spec: Spec, x: Sequence[float], w: Sequence[float], index: tuple[int, ...]
) -> Fraction | None:
    """Return one output of a convolution; None for NaN."""
    return chunked_sum([quantized_product(*pair, spec) for pair in conv.pairs(x, w, index)], spec)


def conv_lines(to_nearest: bool) -> Iterator[str]:
    """Yield the cases of conv.txt."""
    draw = Draw(4)
    cases = itertools.cycle(CONVOLUTIONS)
    for index, (product, accumulator, underflow) in enumerate(itertools.chain(specs(), specs())):
        spec = Spec(product, accumulator, CHUNK_SIZES[index * 5 % len(CHUNK_SIZES)], underflow, to_nearest)
        kinds = kinds_of_data(to_nearest)
        conv, kind = next(cases), kinds[index % len(kinds)]
        x = operands(draw, spec, kind, 16, math.prod(conv.x_shape))
        w = operands(draw, spec, kind, 16, math.prod(conv.w_shape))
        results = [result_bits(conv_output(conv, spec, x, w, out)) for out in conv.indices()]
        yield line(spec, conv, bits(x), bits(w), *results)


FILES: dict[str, tuple[str, Callable[[bool], Iterator[str]]]] = {
    "quantize.txt": ("format underflow float64_input float32_output", quantize_lines),
    "dot.txt": ("product accumulator chunk underflow depth x w result", dot_lines),
    "matmul.txt": ("product accumulator chunk underflow rows depth columns a b result", matmul_lines),
    "conv.txt": (
        "product accumulator chunk underflow axes x_shape w_shape strides pads dilations group out_shape x w result",
        conv_lines,
    ),
}


def main() -> None:
    """Write every file into the output folder."""
    parser = argparse.ArgumentParser(description="Write the golden vectors.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    folder = parser.parse_args().output
    for to_nearest, (name, (header, lines)) in itertools.product((False, True), FILES.items()):
        write(folder / "nearest" / name if to_nearest else folder / name, header, lines(to_nearest))
    for inner, files in (("rules", RULE_FILES), ("sums", SUM_FILES), ("codes", CODE_FILES)):
        for name, (header, lines_of_texts) in files.items():
            write(folder / inner / name, header, lines_of_texts())


def write(path: Path, header: str, lines: Iterator[str]) -> None:
    """Write the cases of a file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([f"# {header}", *lines]) + "\n", encoding="ascii", newline="\n")


if __name__ == "__main__":
    main()

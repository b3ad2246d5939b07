"""The golden vectors of sums of integer codes; all numbers are decimal.

matmul.txt  <accumulator> <type of a> <type of b> <rows> <depth> <columns> <zero point of a> <1, or columns>
            <so many zero points of b> <a: rows*depth> <b: depth*columns> <result: rows*columns>
conv.txt    <accumulator> <type of x> <type of w> <axes> ... <shape of result: 2+axes> as in the other folders,
            <zero point of x> <1, or output channels> <so many zero points of w> <x> <w> <result>
"""

import itertools
import math
from collections.abc import Callable, Iterator

from code_sums import CODE_SPECS, LEAST, CodeSpec
from convolutions import CONVOLUTIONS, Convolution
from kinds import Draw
from rationals import line

TYPES = tuple(itertools.product(LEAST, LEAST))
DEPTHS = (17, 16, 3, 40, 33, 1, 8, 23, 9, 64, 0)
DATA = ("all", "ends", "near")


def codes(draw: Draw, data: str, type_name: str, zero_point: int, count: int) -> list[int]:
    """Return codes: any, those at both ends of the type, or those next to what stands for zero."""
    least = LEAST[type_name]
    if data == "ends":
        return [least + draw.integer(0, 1) * (255 - draw.integer(0, 1)) for _ in range(count)]
    low, high = (least, least + 255) if data == "all" else (zero_point - 9, zero_point + 9)
    return [draw.integer(max(low, least), min(high, least + 255)) for _ in range(count)]


def zero_point(draw: Draw, type_name: str) -> int:
    """Return a code that stands for zero: any, 0, or one in the middle or at an end of the type."""
    least = LEAST[type_name]
    return (0, least, least + 128, least + 255, least + draw.integer(0, 255))[draw.integer(0, 4)]


def zero_points(draw: Draw, type_name: str, count: int) -> list[int]:
    """Return one, or as many as there are columns or channels."""
    return [zero_point(draw, type_name) for _ in range(count if draw.integer(0, 1) else 1)]


def cases() -> Iterator[tuple[CodeSpec, tuple[str, str], str]]:
    """Yield every accumulator with every pair of types, and what its codes are."""
    data = itertools.cycle(DATA)
    for spec, types in itertools.product(CODE_SPECS, TYPES):
        yield spec, types, next(data)


def matmul_lines() -> Iterator[str]:
    """Yield the cases of matmul.txt."""
    draw, depths = Draw(31), itertools.cycle(DEPTHS)
    for spec, types, data in cases():
        rows, depth, columns = draw.integer(1, 3), next(depths), draw.integer(1, 3)
        of_a, of_b = zero_point(draw, types[0]), zero_points(draw, types[1], columns)
        a = codes(draw, data, types[0], of_a, rows * depth)
        b = codes(draw, data, types[1], of_b[0], depth * columns)
        y = [
            spec.dot(a[row * depth : (row + 1) * depth], b[column::columns], types, (of_a, of_b[column % len(of_b)]))
            for row, column in itertools.product(range(rows), range(columns))
        ]
        yield line(spec.text, *types, rows, depth, columns, of_a, len(of_b), *of_b, *a, *b, *y)


def conv_lines() -> Iterator[str]:
    """Yield the cases of conv.txt."""
    draw, convolutions = Draw(32), itertools.cycle(CONVOLUTIONS)
    for spec, types, data in cases():
        convolution = next(convolutions)
        of_x, of_w = zero_point(draw, types[0]), zero_points(draw, types[1], convolution.w_shape[0])
        x = codes(draw, data, types[0], of_x, math.prod(convolution.x_shape))
        w = codes(draw, data, types[1], of_w[0], math.prod(convolution.w_shape))
        y = [
            output(spec, convolution, types, (x, w), (of_x, of_w[index[1] % len(of_w)]), index)
            for index in convolution.indices()
        ]
        yield line(spec.text, *types, convolution, of_x, len(of_w), *of_w, *x, *w, *y)


def output(
    spec: CodeSpec,
    convolution: Convolution,
    types: tuple[str, str],
    operands: tuple[list[int], list[int]],
    of_zero: tuple[int, int],
    index: tuple[int, ...],
) -> int:
    """Return one output of a convolution; the kernels' instructions take channels fastest."""
    met = list(convolution.meetings(index))
    if spec.takes:
        met.sort(key=lambda meeting: (meeting[0][1:], meeting[0][0]))
    x = [of_zero[0] if in_x is None else operands[0][in_x] for _, in_x, _ in met]
    w = [operands[1][in_w] for _, _, in_w in met]
    is_depthwise = convolution.w_shape[1] == 1 and convolution.w_shape[0] == convolution.group
    return spec.dot(x, w, types, of_zero, is_depthwise)


CODE_FILES: dict[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "matmul.txt": ("accumulator types rows depth columns zero_a zeros_b a b result", matmul_lines),
    "conv.txt": (
        "accumulator types axes x_shape w_shape strides pads dilations group out_shape zero_x zeros_w x w result",
        conv_lines,
    ),
}

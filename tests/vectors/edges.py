"""The values that quantizing is tried on: the edges of a format, ties, special and random values."""

import math

from kinds import Draw
from rationals import Format


def quantize_inputs(draw: Draw, number_format: Format, to_nearest: bool) -> list[float]:
    """Return the edges of a format with their neighbours, special values, and random ones."""
    largest, smallest = float(number_format.max_value), 2.0**number_format.min_exponent
    edges = [largest, 2.0**number_format.max_exponent, smallest, 2.0**-126]
    edges += [smallest * (1 + 2.0**-number_format.mantissa_bits), 1.0]
    values = [0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, -(2.0**-1022), 1.7976931348623157e308, 2.0**-149]
    for edge in edges:
        values += [edge, math.nextafter(edge, 0.0), -math.nextafter(edge, math.inf), edge * 1.999999999, -edge / 2]
    for _ in range(24):
        exponent = draw.integer(number_format.min_exponent - 3, number_format.max_exponent + 2)
        values.append(draw.float32(0) * (1 + draw.integer(0, 2**20) * 2.0**-52) * 2.0**exponent)
    return values + (tie_inputs(draw, number_format) if to_nearest else [])


def tie_inputs(draw: Draw, number_format: Format) -> list[float]:
    """Return values halfway between two of a format, those around the edges among them, with their neighbours."""
    values = []
    half = 2.0 ** -(number_format.mantissa_bits + 1)
    exponents = (number_format.min_exponent - 1, number_format.min_exponent, number_format.max_exponent, 0)
    for exponent in exponents:
        for multiple in (1.0 / half - 1, 2 * draw.integer(0, 2**number_format.mantissa_bits - 1) + 1.0):
            tie = math.ldexp(1 + multiple * half, exponent)
            values += [tie, -math.nextafter(tie, 0.0), math.nextafter(tie, math.inf)]
    return values


def subnormal_inputs(draw: Draw, number_format: Format) -> list[float]:
    """Return values around the last bit of the smallest value with a leading one: multiples of half of it."""
    half = 2.0 ** (number_format.min_exponent - number_format.mantissa_bits - 1)
    values = [half, 3 * half, 2.0**number_format.min_exponent - half]
    values += [half * draw.integer(1, 2**number_format.mantissa_bits) for _ in range(3)]
    values += [math.nextafter(value, side) for value in values for side in (0.0, math.inf)]
    return [value * (1 if draw.integer(0, 1) else -1) for value in values]

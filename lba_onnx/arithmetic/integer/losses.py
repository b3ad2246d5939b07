"""What sums of integer codes lose by, and what takes a cause away: as many bits as results have, no bit dropped."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lba_onnx.arithmetic.accumulator import Cause
from lba_onnx.arithmetic.integer.definition import IntegerSums
from lba_onnx.arithmetic.integer.fields import INT32_BITS, MOST_BITS, IntegerLevel, Kernel, ProductRounding

ROUNDING = "rounding"
_WORDS = {"wrap": "wrapping", "saturation": "saturation"}
_PAIRS = "weights in [-64, 63] (reduce_range), or a processor with VNNI, would help"


def result_bits(levels: tuple[IntegerLevel, ...]) -> int:
    """Return how wide results are: 32 bits, or 64."""
    return INT32_BITS if levels[-1].bits <= INT32_BITS else MOST_BITS


def causes(sums: IntegerSums, names: tuple[str, ...], kernel: Kernel | None) -> tuple[Cause, ...]:
    """Return a cause for the overflow of each level, and one for dropped bits.

    Args:
        sums: The sums.
        names: Those of their levels, innermost first.
        kernel: The kernel whose sums these are.
    """
    found = [_overflow_cause(sums, index, names[index], kernel) for index in range(len(sums.levels))]
    if all(cause.place for cause in found):
        kind = found[0].kind
        found.append(Cause(kind, kind, "", f"{_WORDS[kind]} of all sums", "more bits of all sums would help"))
    if not sums.dropped_bits:
        return tuple(found)
    words = f"{sums.dropped_bits} low bits dropped of products"
    return (*found, Cause(ROUNDING, ROUNDING, "", words, "more bits behind the point would help"))


def _overflow_cause(sums: IntegerSums, index: int, name: str, kernel: Kernel | None) -> Cause:
    kind = sums.levels[index].overflow.event
    place = name if [level.overflow.event for level in sums.levels].count(kind) > 1 else ""
    is_of_pairs = kernel is not None and index == 0
    what = "sums" if len(sums.levels) == 1 else "pairs of products" if is_of_pairs else f"{name.replace('_', ' ')}s"
    remedy = _PAIRS if is_of_pairs and kind == "saturation" else f"more bits of the {name.replace('_', ' ')} would help"
    return Cause(f"{place}_{kind}" if place else kind, kind, place, f"{_WORDS[kind]} of {what}", remedy)


def without(sums: IntegerSums, names: tuple[str, ...], cause: str) -> IntegerSums | None:
    """Return the sums with one cause switched off; None where nothing is to switch off.

    A register that is not to overflow gets as many bits as results have.
    """
    if cause == ROUNDING:
        changed = replace(sums, rounding=ProductRounding())
    else:
        named = zip(names, sums.levels, strict=True)
        levels = tuple(
            _widened(held, result_bits(sums.levels)) if _loses(held, name, cause) else held for name, held in named
        )
        changed = replace(sums, levels=levels)
    return None if changed == sums else changed


def _loses(held: IntegerLevel, name: str, cause: str) -> bool:
    return cause in (held.overflow.event, f"{name}_{held.overflow.event}")


def _widened(held: IntegerLevel, bits: int) -> IntegerLevel:
    return replace(held, bits=max(bits, held.bits))


def can_overflow(sums: IntegerSums, weights: NDArray[np.int64], least: int, most: int) -> bool:
    """Tell whether there are values of x with which an innermost sum overflows.

    Args:
        sums: The sums.
        weights: [outputs, depth], products in their order.
        least: The least value of x, at most 0.
        most: The largest, at least 0; sums that end between these bounds stay there on their way.
    """
    half = sums.levels[0].half
    positive, negative = np.maximum(weights, 0), np.minimum(weights, 0)
    for group in sums.groups(weights.shape[1]):
        own = slice(group.start, group.stop, group.step)
        up, down = positive[:, own].sum(axis=1), negative[:, own].sum(axis=1)
        if (most * up + least * down >= half).any() or (least * up + most * down < -half).any():
            return True
    return False

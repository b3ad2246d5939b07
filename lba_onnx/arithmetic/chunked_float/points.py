"""How often each product of a chunked float is rounded, level by level: counted from the order of its sums."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lba_onnx.arithmetic.chunked_float.fields import ChunkedFloatFields
from lba_onnx.arithmetic.chunked_float.order import spans
from lba_onnx.arithmetic.levels import Level
from lba_onnx.arithmetic.rounding_points import RoundingPoint

Times = NDArray[np.int64]


def rounding_points(spec: ChunkedFloatFields, levels: Sequence[Level], depth: int) -> tuple[RoundingPoint, ...]:
    """Return the points of products, where they are rounded, and of each level of sums; `chunk=none` has one."""
    product, *sums = levels
    points = [(level, spec.accumulator_format, times) for level, times in zip(sums, _chains(spec, depth), strict=False)]
    if spec.product_format is not None:
        points.insert(0, (product, spec.product_format, np.ones(depth, np.int64)))
    return tuple(
        RoundingPoint(level.name, held.mantissa_bits, spec.rounding, spec.random_bits, times)
        for level, held, times in points
    )


def _chains(spec: ChunkedFloatFields, depth: int) -> list[Times]:
    order, whole = spec.order(depth), max(depth, 1)
    lengths = (*order.lengths, whole) if order.has_groups else order.lengths
    chains = [_innermost(spec, depth, lengths[0])]
    for index, (size, length) in enumerate(itertools.pairwise(lengths)):
        carries = spec.starts_from_carry and index == 0
        chains.append(_carried(spec, depth, size, length) if carries else _joins(depth, size, length))
    return chains


def _joins(depth: int, size: int, length: int) -> Times:
    """Return the additions of sums of `size` products to chains over `length` products; the first joins a zero."""
    place = np.arange(depth)
    begin = place // length * length
    items = -(-np.minimum(length, depth - begin) // size)
    item = (place - begin) // size
    return np.asarray(items - item - (item == 0), np.int64)


def _innermost(spec: ChunkedFloatFields, depth: int, length: int) -> Times:
    groups = [_group(spec, stop - start)[0] for start, stop in spans(0, depth, length)]
    return np.concatenate(groups) if groups else np.zeros(0, np.int64)


def _carried(spec: ChunkedFloatFields, depth: int, size: int, length: int) -> Times:
    """Return through how many additions a group's sum goes as the carry of the groups behind it."""
    times = np.zeros(depth, np.int64)
    for start, stop in spans(0, depth, length):
        groups = list(spans(start, stop, size))
        behind = 0
        for begin, end in reversed(groups):
            times[begin:end] = behind
            behind += _group(spec, end - begin)[1]
    return times


def _group(spec: ChunkedFloatFields, count: int) -> tuple[Times, int]:
    """Return the additions inside an innermost group: of each product, and of a carry."""
    if spec.tree is not None:
        rounds = _tree(count + spec.starts_from_carry)
        return (rounds[1:], int(rounds[0])) if spec.starts_from_carry else (rounds, 0)
    lanes = min(spec.lanes or 1, max(count, 1))
    place = np.arange(count)
    items, item, rounds = -(-(count - place % lanes) // lanes), place // lanes, _tree(lanes)
    is_free = (item == 0) & _joins_exactly(spec) & ~((place == 0) & spec.starts_from_carry)
    return np.asarray(items - item - is_free + rounds[place % lanes], np.int64), -(-count // lanes) + int(rounds[0])


def _joins_exactly(spec: ChunkedFloatFields) -> bool:
    """Return whether a sum that starts from zero holds the first product as it is."""
    held = spec.product_format
    return held is not None and held.mantissa_bits <= spec.accumulator_format.mantissa_bits


def _tree(items: int) -> Times:
    """Return how many additions each item of an adder tree goes through; an odd one passes up."""
    rounds, holder = np.zeros(items, np.int64), np.arange(items)
    while items > 1:
        rounds += holder < items // 2 * 2
        holder, items = holder // 2, -(-items // 2)
    return rounds

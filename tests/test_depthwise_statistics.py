"""What statistics tell of convolutions whose groups have few filters is what they tell of each group alone."""

import itertools

import numpy as np
import pytest
from hostile import operand
from statistics_numbers import assert_same_statistics

from lba_onnx import native
from lba_onnx.arithmetic import AccumulatorSpec

RUNS = itertools.count()
# spatial sizes, kernel, strides, dilations, pads in front and behind
GEOMETRIES = [
    ((7, 7), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1)),
    ((9, 6), (3, 3), (2, 2), (1, 1), (1, 0), (1, 1)),
    ((13, 5), (5, 2), (3, 1), (1, 2), (0, 2), (4, 3)),
    ((1, 1), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1)),
    ((41,), (4,), (2,), (3,), (2,), (5,)),
    ((3, 4, 5), (2, 1, 3), (1, 2, 2), (2, 1, 1), (1, 0, 1), (1, 0, 1)),
    ((4, 3), (1, 1), (1, 1), (1, 1), (0, 0), (0, 0)),
]
CASES = [  # spec, operands, input channels and filters of a group, whether sums start from values
    ("M7E4b10", "normal", 1, 1, False),
    ("M4E3b4,chunk=2x4", "overflow", 1, 1, True),
    ("M7E4b10,chunk=5", "special", 1, 2, False),
    ("M7E4b10,chunk=none", "huge", 2, 1, True),
    ("M7E4b10", "zeros", 2, 3, False),
]


def collect(
    calls: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]],
    spec: AccumulatorSpec,
    geometry: native.ConvGeometry,
    fraction: float = 1.0,
) -> native.Statistics:
    name = f"depthwise{next(RUNS)}"
    native.statistics_open(name, fraction)
    try:
        for x, w, initial in calls:
            sizes = geometry.output_sizes(x.shape[2:], w.shape[2:])
            assert sizes is not None
            shape = (x.shape[0], w.shape[0], *sizes)
            starts = None if initial is None else initial.reshape(*shape[:2], -1)
            native.conv(x, w, spec, geometry, shape, 2, f"{name}/node", initial=starts)
        return native.statistics_read(f"{name}/node")
    finally:
        native.statistics_close(name)


def group_by_group(
    x: np.ndarray, w: np.ndarray, initial: np.ndarray | None, groups: int
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    parts = (np.split(x, groups, axis=1), np.split(w, groups))
    starts = [None] * groups if initial is None else np.split(initial, groups, axis=1)
    return [(np.ascontiguousarray(a), b, c) for a, b, c in zip(*parts, starts, strict=True)]


@pytest.mark.parametrize(("text", "kind", "inputs", "filters", "starts"), CASES)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_groups_count_as_each_alone(
    forced_path: str, geometry: tuple, text: str, kind: str, inputs: int, filters: int, starts: bool
) -> None:
    sizes, kernel, strides, dilations, begin, end = geometry
    groups, spec, rng = 5, AccumulatorSpec.parse(text), np.random.default_rng(7)
    whole, alone = (native.ConvGeometry(strides, dilations, begin, end, count) for count in (groups, 1))
    calls, parts = [], []
    for factor in (1.0, 0.25, 4.0):  # what was seen before hides some of what follows
        x = operand(kind, (3, groups * inputs, *sizes), rng, factor)
        w = operand("normal" if kind == "special" and factor == 1 else kind, (groups * filters, inputs, *kernel), rng)
        shape = whole.output_sizes(sizes, kernel)
        initial = operand("normal", (3, groups * filters, *shape), rng) if starts else None
        calls.append((x, w, initial))
        parts += group_by_group(x, w, initial, groups)
    assert_same_statistics(collect(calls, spec, whole), collect(parts, spec, alone))
    assert_same_statistics(collect(calls[:1], spec, whole, 1 / 7), collect(parts[:groups], spec, alone, 1 / 7))


def test_largest_values_of_a_depthwise_convolution_are_those_of_its_patches(forced_path: str) -> None:
    rng = np.random.default_rng(8)
    x, w = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 6, 9, 11), (6, 1, 3, 3)))
    geometry = native.ConvGeometry((2, 2), (1, 1), (1, 1), (1, 1), 6)
    seen = collect([(x, w, None)], AccumulatorSpec.parse("M7E4b10,chunk=4"), geometry, 1e-6)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))).astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
    products = (windows * w[:, 0].astype(np.float64)[:, np.newaxis, np.newaxis]).reshape(2, 6, 5, 6, 9)
    chunks = [np.cumsum(products[..., k : k + 4], axis=-1) for k in (0, 4, 8)]
    totals = np.cumsum([chunk[..., -1] for chunk in chunks], axis=0)
    expected = np.abs(products).max(), max(np.abs(chunk).max() for chunk in chunks), np.abs(totals).max()
    assert tuple(level.max_abs for level in seen.levels) == expected
    assert seen.outputs == 2 * 6 * 5 * 6 and seen.sampled_outputs == 6

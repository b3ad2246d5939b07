"""Comparisons with lba_onnx.reference that every benchmark makes before it times."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx import reference
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.arithmetic.rounding import Rounding

Floats = NDArray[np.float32]
CHECKED_MULTIPLIES = 1 << 20  # of a matrix product; the reference takes about a second
CHECKED_OUTPUTS = 256  # of a convolution


class CheckFailed(AssertionError):
    """What was about to be timed does not compute what it should."""


def check_bits(actual: NDArray[Any], expected: NDArray[Any], what: str) -> None:
    """Raise CheckFailed unless both arrays hold the same values (-0 and +0 are one value)."""
    if actual.shape != expected.shape or not actual.size:
        raise CheckFailed(f"{what}: expected values of shape {expected.shape}, got {actual.shape}")
    differing = int(np.sum(~((actual == expected) | (np.isnan(actual) & np.isnan(expected)))))
    if differing:
        raise CheckFailed(f"{what}: {differing} of {actual.size} values differ from the reference")


def check_matmul(
    y: Floats, a: Floats, b: Floats, spec: AccumulatorSpec, what: str, addend: Floats | None = None
) -> None:
    """Compare a random part of y [..., rows, columns] with the reference, all of it where it is small.

    Args:
        y: What was computed.
        a: [..., rows, depth].
        b: [..., depth, columns].
        spec: The arithmetic.
        what: Says in the message what differs.
        addend: Gemm's C, which broadcasts to y; added in float32.
    """
    rng = np.random.default_rng(0)
    batch, (rows, depth), columns = int(np.prod(y.shape[:-2])), a.shape[-2:], b.shape[-1]
    side = max(1, int((CHECKED_MULTIPLIES / batch / depth) ** 0.5))
    draw = _first if spec.rounding is Rounding.STOCHASTIC else partial(_any, rng)  # the place of an output decides
    chosen_rows, chosen_columns = draw(rows, side), draw(columns, side)
    expected = reference.matmul(a[..., chosen_rows, :], b[..., chosen_columns], spec)
    if addend is not None:
        expected = expected + np.broadcast_to(addend, y.shape)[..., chosen_rows, :][..., chosen_columns]
    check_bits(y[..., chosen_rows, :][..., chosen_columns], expected, what)


def _first(size: int, count: int) -> NDArray[np.int64]:
    return np.arange(min(count, size))


def _any(rng: np.random.Generator, size: int, count: int) -> NDArray[np.int64]:
    return np.sort(rng.choice(size, min(count, size), replace=False))


def check_conv(
    y: Floats,
    x: Floats,
    w: Floats,
    attributes: Mapping[str, Any],
    spec: AccumulatorSpec,
    what: str,
    bias: Floats | None = None,
) -> None:
    """Compare random outputs of a 2-D convolution's first image with the reference, all of them where they are few.

    Args:
        y: What was computed: [batch, out_channels, height, width].
        x: [batch, channels, height, width].
        w: [out_channels, channels / group, kernel height, kernel width].
        attributes: As for `conv_patches`.
        spec: The arithmetic.
        what: Says in the message what differs.
        bias: [out_channels], added in float32.
    """
    patches = conv_patches(x[:1], w.shape, attributes)
    values = y[0].reshape(attributes["group"], len(w) // attributes["group"], -1)
    filters = w.reshape(*values.shape[:2], -1)
    chosen = np.random.default_rng(0).choice(values.size, min(CHECKED_OUTPUTS, values.size), replace=False)
    group, channel, position = np.unravel_index(chosen, values.shape)
    rows, columns = patches[group, position], filters[group, channel]
    expected = reference.matmul(rows[:, np.newaxis, :], columns[:, :, np.newaxis], spec)[:, 0, 0]
    if bias is not None:
        expected = expected + bias.reshape(values.shape[:2])[group, channel]
    check_bits(values[group, channel, position], expected, what)


def conv_patches(x: Floats, w_shape: tuple[int, ...], attributes: Mapping[str, Any]) -> Floats:
    """What a 2-D convolution multiplies with its filters, copied: float32 [group, positions, depth].

    Args:
        x: float32 [1, channels, height, width].
        w_shape: [out_channels, channels / group, kernel height, kernel width].
        attributes: "strides", "pads", "dilations" and "group" of the ONNX node.
    """
    group, kernel = attributes["group"], w_shape[2:]
    top, left, bottom, right = attributes["pads"]
    padded = np.pad(x[0], ((0, 0), (top, bottom), (left, right)))
    reach = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, attributes["dilations"], strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
    (row_step, column_step), (row_dilation, column_dilation) = attributes["strides"], attributes["dilations"]
    taps = windows[:, ::row_step, ::column_step, ::row_dilation, ::column_dilation]
    by_group = taps.reshape(group, -1, *taps.shape[1:])
    return by_group.transpose(0, 2, 3, 1, 4, 5).reshape(group, taps.shape[1] * taps.shape[2], -1)

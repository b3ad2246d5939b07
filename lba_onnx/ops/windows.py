"""How a convolution moves over its input, as its attributes say."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from lba_onnx.conv_sizes import covered_size, same_outputs


def conv_window(attributes: Mapping[str, Any], x: npt.NDArray[Any], w: npt.NDArray[Any]) -> dict[str, Any]:
    """Return the arguments of a convolution that its attributes say."""
    kernel_shape = attributes.get("kernel_shape")
    if kernel_shape is not None and tuple(kernel_shape) != w.shape[2:]:
        raise ValueError(f"expected kernel_shape to be the spatial shape of W {w.shape}, got {list(kernel_shape)}")
    return {
        "strides": attributes.get("strides"),
        "pads": conv_pads(attributes, x.shape[2:], w.shape[2:]),
        "dilations": attributes.get("dilations"),
        "group": attributes.get("group", 1),
    }


def conv_pads(attributes: Mapping[str, Any], input_shape: Sequence[int], kernel_shape: Sequence[int]) -> list[int]:
    """Return a convolution's padding, all begins and then all ends, as `auto_pad` or `pads` gives it.

    Args:
        attributes: `auto_pad`, `pads`, `strides`, `dilations`; each may be absent.
        input_shape: Spatial shape of the input.
        kernel_shape: Spatial shape of the kernel.

    Raises:
        ValueError: `auto_pad` has another value than the standard's.
    """
    axes = len(input_shape)
    auto_pad = attributes.get("auto_pad", "NOTSET")
    if auto_pad == "NOTSET":
        return list(attributes.get("pads") or [0] * (2 * axes))
    if auto_pad == "VALID":
        return [0] * (2 * axes)
    if auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"expected auto_pad to be NOTSET, SAME_UPPER, SAME_LOWER or VALID, got {auto_pad!r}")
    smaller, larger = [], []
    strides, dilations = (attributes.get(name) or [1] * axes for name in ("strides", "dilations"))
    for size, kernel, stride, dilation in zip(input_shape, kernel_shape, strides, dilations, strict=True):
        total = max(0, covered_size(same_outputs(size, stride), kernel, stride, dilation) - size)
        smaller.append(total // 2)
        larger.append(total - total // 2)
    return smaller + larger if auto_pad == "SAME_UPPER" else larger + smaller

"""What the operators and their gradients share: checks of operands, and tensors as the native library takes them."""

import functools
import math
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lba_onnx import native
from lba_onnx.arithmetic import Accumulator, as_spec
from lba_onnx.estimators import as_estimator, check_defined

AUTOCAST_DTYPES = (torch.float16, torch.bfloat16)
"""What torch.autocast takes to float32; other dtypes are for the caller to cast, inside autocast, too."""

_Floats = npt.NDArray[np.float32]


@functools.cache
def read_spec(text: str) -> Accumulator:
    """Return the spec that a text stands for.

    Raises:
        ValueError: The text is no spec, or names a family of formats without the biases.
    """
    return spec_of_floats(text)


def spec_of_floats(spec: Accumulator | str, what: str = "spec") -> Accumulator:
    """Return a spec read from its text if need be, as `as_spec`; of floats, which PyTorch multiplies.

    Raises:
        TypeError: It is neither a spec nor text.
        ValueError: The text is no spec, or the spec is one of integers.
    """
    read = as_spec(spec, what)
    read.check_operands("float32")
    return read


def check_call(spec: str, estimator: str, **operands: Tensor | None) -> None:
    """Check what every operator takes.

    Args:
        spec: Text of a spec.
        estimator: One of ESTIMATORS.
        operands: Tensors by name; None where one is left out.

    Raises:
        TypeError: An operand is not float32.
        ValueError: The spec or the estimator is unknown, or means nothing in the spec; or an operand is not on the CPU.
    """
    check_defined(as_estimator(estimator), read_spec(spec))
    for tensor in operands.values():
        if tensor is not None and (tensor.dtype != torch.float32 or tensor.device.type != "cpu"):
            _refuse({name: given for name, given in operands.items() if given is not None})


def _refuse(operands: dict[str, Tensor]) -> NoReturn:
    if any(tensor.device.type != "cpu" for tensor in operands.values()):
        found = ", ".join(f"{name} on {tensor.device}" for name, tensor in operands.items())
        raise ValueError(f"expected all operands on cpu, got {found}")
    name, dtype = next((name, tensor.dtype) for name, tensor in operands.items() if tensor.dtype != torch.float32)
    raise dtype_error(f"{name} to be torch.float32", dtype)


def dtype_error(expected: str, dtype: torch.dtype) -> TypeError:
    """Return the error for a tensor that is not float32.

    Args:
        expected: What was expected, in words.
        dtype: What came.
    """
    halves = " and ".join(map(str, AUTOCAST_DTYPES))
    return TypeError(f"expected {expected}, got {dtype}; cast it (torch.autocast does, for {halves} only)")


def array(tensor: Tensor) -> _Floats:
    """Return a CPU tensor's values as an array that shares its memory."""
    values: _Floats = tensor.detach().numpy()
    return values


def open_key(statistics: str) -> str | None:
    """Return a key "run/module" when its run is open in the native library, else None."""
    if not statistics:
        return None
    try:
        native.statistics_read(statistics)
    except ValueError:
        return None
    return statistics


def as_batches(a: Tensor, b: Tensor) -> tuple[_Floats, _Floats]:
    """Return a and b as arrays [batch, rows, depth] and [batch, depth, columns], without a copy where strides allow.

    When one b serves all, the batch dimensions of a become more rows: the batch is 1.
    """
    left, right = array(a), array(b)
    if left.ndim == right.ndim == 2:
        return left[np.newaxis], right[np.newaxis]
    if math.prod(right.shape[:-2]) == 1:
        rows, depth = math.prod(left.shape[:-1]), left.shape[-1]
        return left.reshape(1, rows, depth), right.reshape(1, *right.shape[-2:])
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    return _one_batch_dimension(left, batch), _one_batch_dimension(right, batch)


def _one_batch_dimension(values: _Floats, batch: tuple[int, ...]) -> _Floats:
    """Return values broadcast to a batch of matrices as [size of the batch, rows, columns]."""
    if values.strides[-1] > values.strides[-2]:  # stored by columns; a copy, if there has to be one, is too
        return np.swapaxes(_one_batch_dimension(values.swapaxes(-1, -2), batch), -1, -2)
    matrices: _Floats = np.broadcast_to(values, (*batch, *values.shape[-2:]))
    return matrices.reshape(math.prod(batch), *values.shape[-2:])


def as_starts(initial: Tensor | None, shape: Sequence[int], batches: Sequence[int]) -> _Floats | None:
    """Return what the sums of a product start from as an array of shape `batches`; None for zero.

    Args:
        initial: float32 that broadcasts to the product.
        shape: Of the product.
        batches: The same as [batch, rows, columns], of the operands as `as_batches` has them.
    """
    return None if initial is None else np.broadcast_to(array(initial), shape).reshape(batches)


def conv_starts(bias: Tensor | None, shape: Sequence[int]) -> _Floats | None:
    """Return what the sums of a convolution start from as an array [batch, out_channels, positions]; None for zero.

    Args:
        bias: float32 [out_channels].
        shape: Of the convolution.
    """
    if bias is None:
        return None
    starts: _Floats = np.broadcast_to(array(bias)[:, np.newaxis], (*shape[:2], math.prod(shape[2:])))
    return starts


def geometry(
    stride: list[int], pads_begin: list[int], pads_end: list[int], dilation: list[int], groups: int
) -> native.ConvGeometry:
    """Return a convolution's settings as the native library takes them."""
    return native.ConvGeometry(tuple(stride), tuple(dilation), tuple(pads_begin), tuple(pads_end), groups)

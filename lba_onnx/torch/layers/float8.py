"""FP8-style quantizers of weights and inputs: rounding to a small float format whose bias follows the tensor.

A tensor is rounded to `M<m>E<e>b<b>` (M4E3 unless said otherwise), with the largest bias b at which none of its values
saturates; gradients pass straight through. This is the setting of Blumenfeld, Hubara, Soudry (ICLR 2024) for FP8
weights and activations.

    x -> x * 2^(c - t) -> saturate -> round to m + 1 significant bits, or to a multiple of min_value -> * 2^(t - c)

with t the exponent of the largest magnitude and c a constant that keeps every step inside float32. All steps are
float32 operations without a rounding error of their own, so PyTorch and an exported model give the same bits.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from lba_onnx.arithmetic import FloatFormat, FormatFamily
from lba_onnx.arithmetic.formats import MAX_EXPONENT, MAX_EXPONENT_BIAS
from lba_onnx.torch.operators.operands import AUTOCAST_DTYPES, dtype_error

DEFAULT_FAMILY = "M4E3"
FLOAT32_MANTISSA_BITS = 23


class Float8Quantizer(nn.Module):
    """Rounds a tensor to a small float format, with an exponent bias chosen from the tensor itself.

    The bias is the largest at which the tensor's largest finite magnitude, rounded, is still a value of the format.
    Values are rounded to the nearest of the format, ties to the even multiple of their last mantissa bit. Below
    `min_value` the neighbours are 0 and `min_value`, and half of it becomes 0; there are no subnormals. Infinities
    saturate, NaN stays NaN. In `backward` every gradient passes unchanged.

    Example:
        >>> from lba_onnx.torch import Float8InputQuantizer, Float8Quantizer, LbaConfig
        >>> config = LbaConfig("M7E4b10", weight_quantizer=Float8Quantizer, input_quantizer=Float8InputQuantizer)

    Args:
        family: The format without its bias, `"M4E3"` for example.

    Raises:
        TypeError: `family` is not a string; in `forward`, the tensor is not float32, nor float16 or bfloat16
            inside torch.autocast.
        ValueError: `family` names no format.
    """

    def __init__(self, family: str = DEFAULT_FAMILY) -> None:
        super().__init__()
        self.family = FormatFamily.parse(family)

    def forward(self, x: Tensor) -> Tensor:
        """Round a float32 tensor of any shape."""
        x = _as_float32(x)
        return _round_straight_through(x, self.range_of(x), self.family)

    def range_of(self, x: Tensor) -> Tensor:
        """Return the magnitude that chooses the bias, a float32 scalar: the largest finite one of `x`."""
        return _largest_magnitude(x.detach())

    def format_for(self, x: Tensor) -> FloatFormat:
        """Return the format to which `forward` rounds this tensor."""
        scale = _scale(self.range_of(_as_float32(x)), self.family)
        return self.family.with_max_exponent(_centre(self.family) - int(torch.frexp(scale).exponent) + 1)

    def extra_repr(self) -> str:
        """Name the family when the module is printed."""
        return str(self.family)


class Float8InputQuantizer(Float8Quantizer):
    """Rounds activations: by the batch's own range in training, by a running range in evaluation.

    The running range is kept in the buffer `largest`. A batch with a larger magnitude raises it at once; a batch with a
    smaller one lowers it by `momentum` of the difference, so that a spike early in training is forgotten. In evaluation
    the bias is therefore a constant of the exported model, and larger values than those seen saturate.

    Before the first batch in training mode the buffer is NaN, and evaluation is refused. For a model that is not to be
    trained, show it a few batches with only its quantizers in training mode:

        for module in model.modules():
            module.train(isinstance(module, Float8InputQuantizer))

    As in batch normalization, a layer that gradient checkpointing computes twice counts its batch twice.

    Args:
        family: The format without its bias.
        momentum: Share of a smaller batch in the running range, above 0 and at most 1.

    Raises:
        TypeError: As `Float8Quantizer`.
        ValueError: As `Float8Quantizer`, or `momentum` is out of range.
        RuntimeError: In `forward`: evaluation before any batch in training mode.
    """

    largest: Tensor

    def __init__(self, family: str = DEFAULT_FAMILY, momentum: float = 0.1) -> None:
        super().__init__(family)
        if not 0 < momentum <= 1:
            raise ValueError(f"expected a momentum above 0 and at most 1, got {momentum}")
        self.momentum = momentum
        self.register_buffer("largest", torch.tensor(float("nan"), dtype=torch.float32))

    @property
    def has_range(self) -> bool:
        """Whether there has been a batch in training mode."""
        return not math.isnan(self.largest)

    def range_of(self, x: Tensor) -> Tensor:
        """Return the magnitude that chooses the bias, and follow it in training."""
        if self.training:
            return self._follow(x.detach())
        if not torch.compiler.is_compiling() and not self.has_range:
            raise RuntimeError(
                f"{type(self).__name__}: expected a range to quantize by, got none: run at least one batch "
                "in training mode before evaluation"
            )
        return self.largest

    def _follow(self, x: Tensor) -> Tensor:
        if x.numel() == 0:
            return self.largest
        batch = _largest_magnitude(x)
        decayed = torch.lerp(self.largest, batch, self.momentum)
        self.largest.copy_(torch.fmax(batch, decayed))  # fmax passes over the NaN of an empty history
        return batch


class _RoundToFormat(torch.autograd.Function):
    """Rounding whose gradient is that of the identity."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, scale: Tensor, mantissa_bits: int, exponent_bits: int) -> Tensor:
        return _round(x, scale, FormatFamily(mantissa_bits, exponent_bits))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is kept for the backward pass."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return grad, None, None, None


def _round_straight_through(x: Tensor, largest: Tensor, family: FormatFamily) -> Tensor:
    scale = _scale(largest, family)
    rounded: Tensor = _RoundToFormat.apply(x, scale, family.mantissa_bits, family.exponent_bits)
    return rounded


def _as_float32(x: Tensor) -> Tensor:
    if x.dtype == torch.float32:
        return x
    if x.dtype in AUTOCAST_DTYPES and torch.is_autocast_enabled(x.device.type):
        return x.float()
    raise dtype_error("a torch.float32 tensor to quantize", x.dtype)


def _largest_magnitude(x: Tensor) -> Tensor:
    if x.numel() == 0:
        return torch.zeros((), dtype=torch.float32, device=x.device)
    magnitude = x.abs()
    return torch.where(magnitude < float("inf"), magnitude, 0.0).max()


def _centre(family: FormatFamily) -> int:
    """Return the exponent at which the scaled values' largest binade lies: theirs then lie around 1."""
    return max(1, (1 << (family.exponent_bits - 1)) - 1)


def _scale(largest: Tensor, family: FormatFamily) -> Tensor:
    """Return 2^(centre - t), with t the exponent of the rounded largest magnitude, or the nearest legal one."""
    least = math.ldexp(1.0, (1 << family.exponent_bits) - 1 - MAX_EXPONENT_BIAS)
    most = math.ldexp(2.0 - 2.0**-family.mantissa_bits, MAX_EXPONENT)
    magnitude = largest.clamp(least, most)
    is_large = magnitude >= 1
    near_one = torch.where(is_large, magnitude * 2.0**-64, magnitude * 2.0**64)  # no step below leaves float32
    offset = _leading_power(near_one, 2.0 ** (FLOAT32_MANTISSA_BITS - family.mantissa_bits))
    half_power = _leading_power(near_one + offset - offset, 0.5)
    centre = _centre(family)
    return torch.where(is_large, math.ldexp(1.0, centre - 65) / half_power, math.ldexp(1.0, centre + 63) / half_power)


def _round(x: Tensor, scale: Tensor, family: FormatFamily) -> Tensor:
    """Return the values of the format nearest to x, saturated."""
    centre = _centre(family)
    max_value = math.ldexp(2.0 - 2.0**-family.mantissa_bits, centre)
    min_value = math.ldexp(1.0, centre - ((1 << family.exponent_bits) - 1))
    scaled = (x * scale).clamp(-max_value, max_value)
    # Adding and subtracting 2^23 units rounds to a multiple of the unit: the last bit, or min_value for what lies below
    # it. There the half on top keeps small negative values from reaching the next binade down, with its finer units.
    offset = _leading_power(scaled, 2.0 ** (FLOAT32_MANTISSA_BITS - family.mantissa_bits))
    offset.masked_fill_(scaled.abs() < min_value, 1.5 * 2.0**FLOAT32_MANTISSA_BITS * min_value)
    return scaled.add_(offset).sub_(offset).mul_(1.0 / scale)


def _leading_power(x: Tensor, factor: float) -> Tensor:
    """Return factor * 2^floor(log2|x|) with the sign of x, and 0 for 0; exact where 2^-100 <= |x| <= 2^100.

    The unit in the first place by Rump, Ogita, Oishi (2008): q = fl((2^23 + 1) x), then q - fl((1 - 2^-24) q), here
    with both terms multiplied by the factor. Each step has to round by itself: no product may be contracted with the
    subtraction.

    Args:
        x: float32 values.
        factor: A power of two, but not 1: optimizers of ONNX graphs take 1 - 2^-24 for 1 and drop the product.
    """
    product = x * (2.0**FLOAT32_MANTISSA_BITS + 1.0)
    return product * factor - product.mul_(factor * (1.0 - 2.0**-24))

"""Modules with a low bit-width accumulator: PyTorch's layers, but for the dot products, and the products of attention.

Parameters and state_dict keys are those of the float32 layers, so that states go both ways.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional

from lba_onnx.arithmetic import Accumulator
from lba_onnx.torch.layers.sites import LbaSite
from lba_onnx.torch.operators.functional import lba_conv1d, lba_conv2d, lba_conv3d, lba_linear, lba_matmul


class WeightSite(LbaSite):
    """A site whose second operand is a weight.

    Attributes:
        weight_quantizer: Applied to the weight before the product; None for nothing.
        bias_start: Whether sums start from the bias, rounded to the accumulator; else it is added in float32.
    """

    QUANTIZERS: ClassVar[Mapping[str, str]] = {
        "weight_quantizer": "weight_quantizer",
        "input_quantizer": "input_quantizer",
    }

    weight_quantizer: nn.Module | None
    bias_start: bool = False

    def __init__(self, *args: Any, bias_start: bool = False, **kwargs: Any) -> None:
        """Make the site; other arguments are those of `LbaSite`.

        Args:
            args: Those of the float32 layer.
            bias_start: Whether sums start from the bias.
            kwargs: The spec, the estimator, quantizers, and what else the float32 layer takes.
        """
        super().__init__(*args, **kwargs)
        self.bias_start = bias_start

    def configure(self, spec: Accumulator | str, estimator: str, bias_start: bool = False, **quantizers: Any) -> None:
        """Give the site all its settings, as `LbaSite.configure`, and whether its sums start from the bias."""
        super().configure(spec, estimator, **quantizers)
        self.bias_start = bias_start

    def extra_repr(self) -> str:
        """Return what the printed model says of the site."""
        return f"{super().extra_repr()}, bias_start=True" if self.bias_start else super().extra_repr()

    def quantize_weight(self, weight: Tensor) -> Tensor:
        """Return the weight as it enters the product."""
        return weight if self.weight_quantizer is None else self.weight_quantizer(weight)


class LbaLinear(WeightSite, nn.Linear):
    """nn.Linear whose dot products run in a low bit-width accumulator."""

    def forward(self, input: Tensor) -> Tensor:
        """Return input · weightᵀ + bias.

        Args:
            input: float32 [..., in_features].

        Returns:
            float32 [..., out_features].
        """
        values, weight = self.quantize_input(input), self.quantize_weight(self.weight)
        return lba_linear(values, weight, self.bias, bias_start=self.bias_start, **self.settings)


class _LbaConv(WeightSite):
    """What the convolutions share."""

    _conv: Callable[..., Tensor]

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution plus the bias.

        Args:
            input: float32 [batch, channels, *size], or without the batch.

        Returns:
            float32 [batch, out_channels, *out_size], or without the batch.
        """
        values, padding = self.quantize_input(input), self.padding
        if self.padding_mode != "zeros":
            values = functional.pad(values, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = 0
        weight = self.quantize_weight(self.weight)
        window = (self.stride, padding, self.dilation, self.groups)
        return type(self)._conv(values, weight, self.bias, *window, bias_start=self.bias_start, **self.settings)


class LbaConv1d(_LbaConv, nn.Conv1d):
    """nn.Conv1d whose dot products run in a low bit-width accumulator."""

    _conv = staticmethod(lba_conv1d)


class LbaConv2d(_LbaConv, nn.Conv2d):
    """nn.Conv2d whose dot products run in a low bit-width accumulator."""

    _conv = staticmethod(lba_conv2d)


class LbaConv3d(_LbaConv, nn.Conv3d):
    """nn.Conv3d whose dot products run in a low bit-width accumulator."""

    _conv = staticmethod(lba_conv3d)


class LbaMatmul(LbaSite):
    """A product of two computed matrices, inside an attention module.

    Each operand has a quantizer of its own, since their ranges are of different sizes: those of probabilities and of
    values, for example. The state_dict has them as "input_quantizer" and "other_quantizer".

    Attributes:
        other_quantizer: Applied to the second matrix before the product; None for nothing.
    """

    QUANTIZERS: ClassVar[Mapping[str, str]] = {
        "input_quantizer": "input_quantizer",
        "other_quantizer": "input_quantizer",
    }

    other_quantizer: nn.Module | None

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the product of matrices.

        Args:
            a: float32 [..., rows, depth].
            b: float32 [..., depth, columns]; batch dimensions broadcast.

        Returns:
            float32 [..., rows, columns].
        """
        return lba_matmul(self.quantize_input(a), self.quantize_other(b), **self.settings)

    def quantize_other(self, other: Tensor) -> Tensor:
        """Return the second matrix as it enters the product."""
        return other if self.other_quantizer is None else self.other_quantizer(other)


class LbaProjection(WeightSite):
    """A product with weights that another module holds, inside nn.MultiheadAttention."""

    def forward(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return input · weightᵀ + bias.

        Args:
            input: float32 [..., in_features].
            weight: float32 [out_features, in_features].
            bias: float32 [out_features], or None.

        Returns:
            float32 [..., out_features].
        """
        values, weight = self.quantize_input(input), self.quantize_weight(weight)
        return lba_linear(values, weight, bias, bias_start=self.bias_start, **self.settings)


LAYER_TYPES: dict[type[Any], type[Any]] = {
    nn.Linear: LbaLinear,
    nn.Conv1d: LbaConv1d,
    nn.Conv2d: LbaConv2d,
    nn.Conv3d: LbaConv3d,
}
"""The float32 layers that are converted, to what becomes of them."""

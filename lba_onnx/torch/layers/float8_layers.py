"""The float8 baseline: layers with quantized weights and inputs, and dot products in float32."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from lba_onnx.errors import ModelError
from lba_onnx.torch.layers.float8 import Float8InputQuantizer, Float8Quantizer
from lba_onnx.torch.layers.quantizers import make_quantizer


class Float8Layer(nn.Module):
    """Base of the layers of the baseline.

    Attributes:
        weight_quantizer: Applied to the weight before the product.
        input_quantizer: Applied to the input before the product.
    """

    weight_quantizer: nn.Module
    input_quantizer: nn.Module


class Float8Linear(Float8Layer, nn.Linear):
    """`nn.Linear` with quantized weight and input and a float32 dot product."""

    def forward(self, input: Tensor) -> Tensor:
        """Quantize both operands and multiply."""
        return functional.linear(self.input_quantizer(input), self.weight_quantizer(self.weight), self.bias)


class _Float8Conv(Float8Layer):
    """The forward pass that the three convolutions share."""

    def forward(self, input: Tensor) -> Tensor:
        """Quantize both operands and convolve."""
        return self._conv_forward(self.input_quantizer(input), self.weight_quantizer(self.weight), self.bias)


class Float8Conv1d(_Float8Conv, nn.Conv1d):
    """`nn.Conv1d` with quantized weight and input and float32 dot products."""


class Float8Conv2d(_Float8Conv, nn.Conv2d):
    """`nn.Conv2d` with quantized weight and input and float32 dot products."""


class Float8Conv3d(_Float8Conv, nn.Conv3d):
    """`nn.Conv3d` with quantized weight and input and float32 dot products."""


FLOAT8_TYPES: dict[type[nn.Module], type[Float8Layer]] = {
    nn.Linear: Float8Linear,
    nn.Conv1d: Float8Conv1d,
    nn.Conv2d: Float8Conv2d,
    nn.Conv3d: Float8Conv3d,
}
"""The float32 layers that are taken, to what becomes of them."""


def quantize_float8_(
    model: nn.Module,
    filter_fn: Callable[[nn.Module, str], bool] | None = None,
    *,
    weight_quantizer: Callable[[], nn.Module] = Float8Quantizer,
    input_quantizer: Callable[[], nn.Module] = Float8InputQuantizer,
) -> None:
    """Give a float32 model quantized weights and inputs, and leave its dot products in float32, in place.

    This is the FP8 baseline that a low bit-width accumulator is held against. Every `nn.Linear` and `nn.Conv1d`, `2d`,
    `3d` changes its class and keeps its parameters and hooks. Subclasses of these layers, `nn.MultiheadAttention` and
    products in functional form stay as they are. A trained baseline can be where fine-tuning starts: `quantize_` takes
    its layers as they are, and they keep their quantizers where the config has none:

        quantize_float8_(model)
        train(model)
        quantize_(model, spec)

    Or its state goes into a model that `quantize_` gave the same quantizers, since the entries are the same:

        quantize_(other, LbaConfig(spec, weight_quantizer=Float8Quantizer, input_quantizer=Float8InputQuantizer))
        other.load_state_dict(model.state_dict())

    Args:
        model: The model; a single layer works too.
        filter_fn: Which layers to take, by module and name; all without it.
        weight_quantizer: Makes the module through which each weight goes.
        input_quantizer: Makes the module through which each input goes.

    Raises:
        ModelError: There is no such layer, or the filter takes none.
        TypeError: A quantizer that was made is no nn.Module. Then, and when one cannot be made, nothing is changed.
    """
    layers = [
        module
        for name, module in model.named_modules()
        if type(module) in FLOAT8_TYPES and (filter_fn is None or filter_fn(module, name))
    ]
    if not layers:
        raise ModelError("expected at least one nn.Linear or nn.Conv1d, 2d or 3d to quantize, found none")
    factories = {"weight_quantizer": weight_quantizer, "input_quantizer": input_quantizer}
    quantizers = [{name: make_quantizer(name, factory) for name, factory in factories.items()} for _ in layers]
    for layer, made in zip(layers, quantizers, strict=True):
        layer.__class__ = FLOAT8_TYPES[type(layer)]
        for name, quantizer in made.items():
            layer.add_module(name, quantizer.train(layer.training))

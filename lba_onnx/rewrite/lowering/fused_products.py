"""Products that onnxruntime's optimizer has fused with what is around them.

y = FusedMatMul(a, b)                     ->  MatMul between Transpose and Mul
y = FusedGemm(a, b, c)                    ->  Gemm, activation
y = FusedConv(x, w, b, z)                 ->  Conv, Add of z, activation
y = NhwcFusedConv(x, w, b, z)             ->  Conv between Transpose, Add of z, activation
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lba_onnx.rewrite.lowering.activations import Activation, activate, parameters_of
from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rearranging import transpose
from lba_onnx.rewrite.lowering.rule import Refused, Source
from lba_onnx.rewrite.lowering.scalars import scalar

_FIRST_OPSET_WITHOUT_GEMM_BIAS = 11
_CONV_ACTIVATIONS = ("Relu", "Tanh", "Sigmoid", "LeakyRelu", "Clip", "HardSigmoid")
_GEMM_ACTIVATIONS = (
    *("Relu", "Tanh", "Sigmoid", "Softplus", "Softsign", "Elu", "Selu", "LeakyRelu", "ThresholdedRelu", "HardSigmoid"),
    *("ParametricSoftplus", "ScaledTanh"),
)
_CONV_ATTRIBUTES = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
_GEMM_ATTRIBUTES = ("alpha", "beta", "transA", "transB")


def fused_matmul(source: Source, maker: Maker) -> None:
    """Take apart FusedMatMul of com.microsoft: alpha * (A @ B), both transposed as asked for."""
    operands = [_transposed(source, maker, index, letter) for index, letter in enumerate("AB")]
    alpha = source.attributes.get("alpha", 1.0)
    if alpha == 1:
        maker.add("MatMul", operands, output=source.output(0), product="")
        return
    product = maker.add("MatMul", operands, product="")
    maker.add("Mul", [product, scalar(alpha, product, source, maker)], output=source.output(0))


def fused_gemm(source: Source, maker: Maker) -> None:
    """Take apart FusedGemm of com.microsoft: an activation of Gemm."""
    if not source.input(2) and source.site.opset < _FIRST_OPSET_WITHOUT_GEMM_BIAS:
        raise Refused(f"has no bias, which Gemm needs below opset {_FIRST_OPSET_WITHOUT_GEMM_BIAS}")
    inputs = [source.input(index) for index in range(3) if source.input(index)]
    attributes = _only(source.attributes, _GEMM_ATTRIBUTES)
    activation = _gemm_activation(source.attributes)
    product = maker.add("Gemm", inputs, product="", **attributes)
    activate(activation, product, source.output(0), source, maker)


def fused_conv(source: Source, maker: Maker) -> None:
    """Take apart FusedConv of com.microsoft: an activation of Conv, to which another value may be added before."""
    _conv_and_what_follows(source, maker, source.input(0), [])


def nhwc_conv(source: Source, maker: Maker) -> None:
    """Take apart NhwcConv and NhwcFusedConv of com.microsoft: as FusedConv, with channels last but in the weights."""
    rank = source.rank(0) or source.rank(1)
    if rank is None:
        raise Refused(f"has channels last in {source.input(0)!r}, whose number of dimensions is not known")
    x = maker.add("Transpose", [source.input(0)], perm=[0, rank - 1, *range(1, rank - 1)])
    _conv_and_what_follows(source, maker, x, [0, *range(2, rank), 1])


def _conv_and_what_follows(source: Source, maker: Maker, x: str, axes: list[int]) -> None:
    """Add Conv of x, its result with axes in another order, the Add of the fourth input, and the activation."""
    activation = _conv_activation(source.attributes)
    addend, result = source.input(3), source.output(0)
    inputs = [x, *(source.input(index) for index in (1, 2) if source.input(index))]
    attributes = _only(source.attributes, _CONV_ATTRIBUTES)
    goes_on = bool(addend or activation)
    value = maker.add("Conv", inputs, output="" if axes or goes_on else result, product="", **attributes)
    if axes:
        value = maker.add("Transpose", [value], output="" if goes_on else result, perm=axes)
    if addend:
        value = maker.add("Add", [value, addend], output="" if activation else result)
    if activation is not None:
        activate(activation, value, result, source, maker)


def _conv_activation(attributes: Mapping[str, Any]) -> Activation | None:
    name, parameters = attributes.get("activation"), tuple(attributes.get("activation_params", ()))
    if name is None:
        return None
    _known(name, _CONV_ACTIVATIONS)
    expected = len(parameters_of(name))
    if len(parameters) != expected and expected:
        raise Refused(f"applies {name} with {len(parameters)} activation_params; expected {expected}")
    return Activation(name, parameters[:expected])


def _gemm_activation(attributes: Mapping[str, Any]) -> Activation:
    name = _known(attributes.get("activation", ""), _GEMM_ACTIVATIONS)
    missing = [n for n in parameters_of(name) if f"activation_{n}" not in attributes]
    if missing:
        raise Refused(f"applies {name} without the attribute activation_{missing[0]}")
    return Activation(name, tuple(float(attributes[f"activation_{n}"]) for n in parameters_of(name)))


def _known(name: str, names: Sequence[str]) -> str:
    if name not in names:
        raise Refused(f"applies the activation {name!r}; expected one of {', '.join(names)}")
    return name


def _transposed(source: Source, maker: Maker, index: int, letter: str) -> str:
    """Return an operand of FusedMatMul as MatMul takes it."""
    is_swapped = bool(source.attributes.get(f"trans{letter}", 0))
    is_batched = bool(source.attributes.get(f"transBatch{letter}", 0))
    if not (is_swapped or is_batched):
        return source.input(index)
    rank = source.rank(index)
    if rank is None:
        raise Refused(f"transposes {source.input(index)!r}, whose number of dimensions is not known")
    axes = list(range(rank))
    if is_batched and rank > 2:
        axes[:-1] = [*axes[1:-1], 0]
    if is_swapped and rank > 1:
        axes[-2:] = axes[-1], axes[-2]
    return transpose(source, maker, index, axes)


def _only(attributes: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name in names}

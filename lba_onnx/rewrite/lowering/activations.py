"""Activations that onnxruntime's fused operators and recurrent ones apply to their sums, as nodes of their own.

Each is described by how many numbers it takes, and made by a function of the maker, the value, the numbers and the
output's name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Refused, Source
from lba_onnx.rewrite.lowering.scalars import scalar

_FIRST_OPSET_WITH_CLIP_INPUTS = 11
_FIRST_OPSETS = {"ThresholdedRelu": 10}
_PLAIN = ("Relu", "Sigmoid", "Softplus", "Softsign", "Tanh")
_WITH_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "Elu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "LeakyRelu": ("alpha",),
    "Selu": ("alpha", "gamma"),
    "ThresholdedRelu": ("alpha",),
}
_SCALED: Mapping[str, str] = {"ParametricSoftplus": "Softplus", "ScaledTanh": "Tanh"}  # alpha * f(beta * x)


@dataclass(frozen=True)
class Activation:
    """An activation and the numbers that it takes, in the order in which `parameters_of` names them."""

    name: str
    parameters: tuple[float, ...]


def parameters_of(name: str) -> tuple[str, ...]:
    """Return the names of the numbers that an activation takes.

    Raises:
        Refused: There is no such activation.
    """
    if name in _PLAIN:
        return ()
    if name in _WITH_ATTRIBUTES:
        return _WITH_ATTRIBUTES[name]
    if name == "Affine" or name in _SCALED:
        return ("alpha", "beta")
    if name == "Clip":
        return ("minimum", "maximum")
    raise Refused(f"applies the activation {name!r}, which is not known")


def activate(activation: Activation, value: str, output: str, source: Source, maker: Maker) -> str:
    """Add the nodes that apply an activation to a value, and return the name of the output; "" makes a fresh one."""
    name, parameters = activation.name, activation.parameters
    if source.site.opset < _FIRST_OPSETS.get(name, 0):
        raise Refused(f"applies {name}, an operator from opset {_FIRST_OPSETS[name]} on, got opset {source.site.opset}")
    if name == "Clip":
        return _clip(value, parameters, output, source, maker)
    if name == "Affine":
        alpha, beta = (scalar(number, value, source, maker) for number in parameters)
        return maker.add("Add", [maker.add("Mul", [value, alpha]), beta], output=output)
    if name in _SCALED:
        alpha, beta = (scalar(number, value, source, maker) for number in parameters)
        inner = maker.add(_SCALED[name], [maker.add("Mul", [value, beta])])
        return maker.add("Mul", [inner, alpha], output=output)
    attributes: dict[str, Any] = dict(zip(parameters_of(name), parameters, strict=True))
    return maker.add(name, [value], output=output, **attributes)


def _clip(value: str, bounds: Sequence[float], output: str, source: Source, maker: Maker) -> str:
    if source.site.opset < _FIRST_OPSET_WITH_CLIP_INPUTS:
        return maker.add("Clip", [value], output=output, min=bounds[0], max=bounds[1])
    limits = [scalar(bound, value, source, maker) for bound in bounds]
    return maker.add("Clip", [value, *limits], output=output)

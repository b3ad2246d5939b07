"""Normalizations: their sums as MatMul with ones, the rest in float32.

y = LayerNormalization(x)   ->  d = x - sum(x) / n; variance = sum(d * d) / n, which rounding never makes negative
                                y = d / Sqrt(variance + epsilon) * scale + bias
y = RMSNormalization(x)     ->  y = x / Sqrt(sum(x * x) / n + epsilon) * scale
"""

from dataclasses import dataclass

import numpy as np

from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Refused, Source
from lba_onnx.rewrite.lowering.sums import Sums, axes_from, expect_float32

_FLOAT32 = 1
_EPSILON, _SKIP_EPSILON = 1e-5, 1e-12


def layer_normalization(source: Source, maker: Maker) -> None:
    """Take apart LayerNormalization."""
    x, scale, bias = (source.input(index) for index in range(3))
    norm = _Norm.of(source, maker, x, source.attributes.get("axis", -1), _EPSILON)
    norm.affine(norm.centred(source.output(1), source.output(2)), scale, bias, source.output(0))


def rms_normalization(source: Source, maker: Maker) -> None:
    """Take apart RMSNormalization, and SimplifiedLayerNormalization of onnxruntime."""
    norm = _Norm.of(source, maker, source.input(0), source.attributes.get("axis", -1), _EPSILON)
    norm.affine(norm.scaled(source.output(1)), source.input(1), "", source.output(0))


def skip_layer_normalization(source: Source, maker: Maker) -> None:
    """Take apart SkipLayerNormalization of com.microsoft: of a sum."""
    scale, bias = source.input(2), source.input(3)
    norm = _Norm.of(source, maker, _skipped(source, maker, 4), -1, _SKIP_EPSILON)
    norm.affine(norm.centred("", ""), scale, bias, source.output(0))


def skip_simplified_layer_normalization(source: Source, maker: Maker) -> None:
    """Take apart SkipSimplifiedLayerNormalization of com.microsoft: of a sum."""
    norm = _Norm.of(source, maker, _skipped(source, maker, 3), -1, _SKIP_EPSILON)
    norm.affine(norm.scaled(""), source.input(2), "", source.output(0))


def _skipped(source: Source, maker: Maker, bias: int) -> str:
    """Return the sum of the first two inputs and a bias, which is the fourth output, too."""
    if source.output(1) or source.output(2):
        raise Refused("has its statistics as outputs, which onnxruntime does not compute")
    addend, output = source.input(bias), source.output(3)
    value = maker.add("Add", [source.input(0), source.input(1)], output="" if addend else output)
    return maker.add("Add", [value, addend], output=output) if addend else value


@dataclass(frozen=True)
class _Norm:
    """One normalization.

    Attributes:
        maker: Gets the nodes.
        x: What is normalized.
        sums: Sums over the axes that are.
        epsilon: The name of what is added to the mean of squares.
    """

    maker: Maker
    x: str
    sums: Sums
    epsilon: str

    @classmethod
    def of(cls, source: Source, maker: Maker, x: str, axis: int, epsilon: float) -> "_Norm":
        """Return the normalization of a value over all axes from one on; the node's attributes say the rest."""
        expect_float32(source)
        if source.attributes.get("stash_type", _FLOAT32) != _FLOAT32:
            raise Refused("sums in another type than float32 (stash_type)")
        sums = Sums.of(source, maker, x, axes_from(axis, source))
        number = np.asarray(source.attributes.get("epsilon", epsilon), np.float32)
        return cls(maker, x, sums, maker.constant(number, "epsilon"))

    def centred(self, mean_output: str, inverse_output: str) -> str:
        """Return the value less its mean, divided by its deviation; both may be outputs, the latter's inverse."""
        mean = self.sums.mean(self.x, "mean", output=mean_output)
        centred = self.maker.add("Sub", [self.x, mean])
        variance = self.sums.mean(self.maker.add("Mul", [centred, centred]), "variance")
        return self._divided(centred, variance, inverse_output)

    def scaled(self, inverse_output: str) -> str:
        """Return the value divided by the root of the mean of its squares, whose inverse may be an output."""
        squares = self.sums.mean(self.maker.add("Mul", [self.x, self.x]), "mean_square")
        return self._divided(self.x, squares, inverse_output)

    def affine(self, value: str, scale: str, bias: str, output: str) -> None:
        """Multiply by a scale and add a bias, if there is one."""
        scaled = self.maker.add("Mul", [value, scale], output="" if bias else output)
        if bias:
            self.maker.add("Add", [scaled, bias], output=output)

    def _divided(self, value: str, variance: str, inverse_output: str) -> str:
        deviation = self.maker.add("Sqrt", [self.maker.add("Add", [variance, self.epsilon])])
        if inverse_output:
            self.maker.add("Reciprocal", [deviation], output=inverse_output)
        return self.maker.add("Div", [value, deviation])

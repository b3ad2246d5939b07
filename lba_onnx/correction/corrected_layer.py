"""What a recipe has made of a layer, or of a product of two computed operands."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lba_onnx.rewrite.folding import ChannelAffine

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CorrectedLayer:
    """A layer that has been corrected: what is folded into the model, and what the runs go on with.

    Attributes:
        affine: What is folded.
        weights: float32 [groups, depth, channels].
        start: float32 [channels], what sums start from; None for zero.
    """

    affine: ChannelAffine
    weights: Floats
    start: Floats | None

    def to_arrays(self) -> dict[str, Floats]:
        """Return its arrays by name."""
        found = {"scale": self.affine.scale, "offset": self.affine.offset, "operand": self.affine.weights}
        found |= {"weights": self.weights, "start": self.start}
        return {name: array for name, array in found.items() if array is not None}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Floats]) -> "CorrectedLayer":
        """Return what `to_arrays` has taken apart.

        Raises:
            KeyError: An array is missing.
        """
        affine = ChannelAffine(arrays["scale"], arrays["offset"], arrays.get("operand"))
        return cls(affine, arrays["weights"], arrays.get("start"))


@dataclass(frozen=True, eq=False)
class CorrectedProduct:
    """A product of two computed operands that has been corrected.

    Attributes:
        factor: float32 [1], of values that the model's type has.
    """

    factor: Floats

    @property
    def affine(self) -> ChannelAffine:
        """What is folded."""
        return ChannelAffine(self.factor, np.zeros(1, np.float32))

    def to_arrays(self) -> dict[str, Floats]:
        """Return its arrays by name."""
        return {"factor": self.factor}


Corrected: TypeAlias = CorrectedLayer | CorrectedProduct


def corrected_from(arrays: dict[str, Floats]) -> Corrected:
    """Return what `to_arrays` of either has taken apart.

    Raises:
        KeyError: An array is missing.
    """
    return CorrectedProduct(arrays["factor"]) if "factor" in arrays else CorrectedLayer.from_arrays(arrays)

"""Tuning by gradient: how it is asked for, and what it makes of a correction (`lba_onnx.torch.tuning` does it).

corrections of a recipe --> folded --> tuned as a whole, towards float32 --> corrections with other weights and offsets
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lba_onnx.data.batches import Batch
from lba_onnx.errors import LbaError
from lba_onnx.estimators import DEFAULT_ESTIMATOR, as_estimator
from lba_onnx.integers import as_count
from lba_onnx.rewrite.folding import ChannelAffine, ScalableNode
from lba_onnx.rewrite.model_files import OpenModel

if TYPE_CHECKING:
    from lba_onnx.torch.tuning.tuner import Tuner

SUFFIX = "+tune"
"""What the name of a recipe gets whose result has been tuned."""


@dataclass(frozen=True)
class Tuning:
    """How a corrected model is tuned.

    Attributes:
        epochs: How often all samples are seen.
        learning_rate: Of Adam, in units of each layer's weights: their root mean square. It falls along a cosine.
        estimator: How gradients pass what accumulators lose, one of `estimators.ESTIMATORS`.

    Raises:
        TypeError: A number is none.
        ValueError: A number is not positive, or there is no such estimator.
    """

    epochs: int = 20
    learning_rate: float = 3e-3
    estimator: str = DEFAULT_ESTIMATOR

    def __post_init__(self) -> None:
        """Check the fields."""
        object.__setattr__(self, "epochs", as_count("epochs", self.epochs))
        if not 0 < self.learning_rate < np.inf:
            raise ValueError(f"expected a learning_rate above 0, got {self.learning_rate}")
        as_estimator(self.estimator)


def make_tuner(wide: OpenModel, nodes: Mapping[str, ScalableNode], first: Batch) -> "Tuner":
    """Return what tunes corrections of a model; arguments and other errors are those of `Tuner`.

    Raises:
        LbaError: PyTorch is not installed.
    """
    try:
        from lba_onnx.torch.tuning.tuner import Tuner
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise LbaError(f"{error}; tuning needs: pip install 'lba-onnx[torch]'") from None
    return Tuner(wide, nodes, first)


def tuned(
    tuner: "Tuner",
    corrected: OpenModel,
    corrections: Mapping[str, ChannelAffine],
    batches: Sequence[Batch],
    settings: Tuning,
    progress: Callable[[int], None],
) -> dict[str, ChannelAffine]:
    """Return corrections as they are after tuning.

    Args:
        tuner: Of the model that they correct.
        corrected: That model with the corrections folded in.
        corrections: By node.
        batches: Samples to tune on.
        settings: How.
        progress: Called after each step with the number of samples in it.
    """
    layers = tuner.tune(corrected, batches, settings.epochs, settings.learning_rate, settings.estimator, progress)
    found = dict(corrections)
    for name, layer in layers.items():
        ones, zeros = np.ones_like(layer.offset), np.zeros_like(layer.offset)
        before = found.get(name, ChannelAffine(ones, zeros))
        found[name] = ChannelAffine(before.scale, before.offset + layer.offset, layer.weights)
    return found

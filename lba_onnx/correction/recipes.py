"""How layers are corrected: the recipes, by name. A new one is an entry here."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from lba_onnx.correction.estimators import AFFINE, CHAIN, SCALE, Estimator


@dataclass(frozen=True)
class Recipe:
    """How each layer is corrected, in execution order.

    Attributes:
        name: What people call it.
        help: What it does, in a few words.
        estimator: Where scales and offsets come from.
        follows_float32: Whether a layer should give what it gives in the float32 model, which undoes errors of earlier
            layers, too; else the float32 dot products of its own inputs.
        evens: Whether weights make up for where in the sum their products stand.
        rounds: How often at most weights are refitted, as long as it helps; 0 for never.
        weighs_rows: Whether each row of outputs counts the same, whatever its size.
        is_for_matrices: Whether it is for layers that multiply matrices, as those of transformers do: of networks that
            mostly convolve only the effort "thorough" tries it.
    """

    name: str
    help: str
    estimator: Estimator
    follows_float32: bool = False
    evens: bool = False
    rounds: int = 0
    weighs_rows: bool = False
    is_for_matrices: bool = False

    @property
    def moves_weights(self) -> bool:
        """Whether weights change by more than a scale a channel."""
        return self.evens or self.rounds > 0

    def without_moves(self) -> "Recipe":
        """Return the recipe for weights that can only be scaled."""
        return replace(self, evens=False, rounds=0)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("scale", "a scale per channel, of the layer's own inputs", SCALE),
        Recipe("affine", "a scale and an offset per channel, of the layer's own inputs", AFFINE),
        Recipe("chain", "the mean and deviation of each channel in float32", CHAIN, follows_float32=True),
        Recipe("refit", "chain, and weights moved to meet float32", CHAIN, True, evens=True, rounds=2),
        Recipe(
            "refit_rows",
            "scale, and weights moved, rows alike",
            SCALE,
            evens=True,
            rounds=2,
            weighs_rows=True,
            is_for_matrices=True,
        ),
    )
}
"""What `correct` can do to a layer, by name."""

DEFAULT_EFFORT = "default"
"""The effort of `correct` unless another is given."""
THOROUGH = "thorough"
"""The effort that tries every recipe."""
EFFORTS: dict[str, tuple[str, ...]] = {
    "quick": ("scale", "chain"),
    DEFAULT_EFFORT: ("refit", "refit_rows"),
    THOROUGH: tuple(RECIPES),
}
"""How much is tried, by name, to the recipes."""


def recipes_of(effort: str, layers: Collection[str]) -> tuple[str, ...]:
    """Return the recipes that an effort tries on a model.

    Args:
        effort: Its name.
        layers: The operator type of each layer that can be corrected.
    """
    convolves = sum(layer == "LbaConv" for layer in layers) > len(layers) / 2
    leaves_out = convolves and effort != THOROUGH
    return tuple(name for name in EFFORTS[effort] if not (leaves_out and RECIPES[name].is_for_matrices))

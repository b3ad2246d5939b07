"""The transformations, by name. A new one is a module of its own and an entry here.

They are loaded when first used, so that the command line can list them without loading what they run on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lba_onnx.transformation.transformation import Transformation


@dataclass(frozen=True)
class Entry:
    """A transformation that is known.

    Attributes:
        help: What it does, in a few words.
        load: Returns it.
    """

    help: str
    load: "Callable[[], Transformation]"


def _load_rotation() -> "Transformation":
    from lba_onnx.transformation.rotation import Rotation

    return Rotation()


def _load_balancing() -> "Transformation":
    from lba_onnx.transformation.balancing import Balancing

    return Balancing()


TRANSFORMATIONS = {
    "rotation": Entry(
        "rotates the residual stream of pre-norm transformers, so that no channel stands out", _load_rotation
    ),
    "balancing": Entry(
        "scales channels between layers by powers of two, so that a layer's are of one size", _load_balancing
    ),
}
"""All transformations, by name."""


def load(name: str) -> "Transformation":
    """Return the transformation of a name.

    Raises:
        ValueError: There is none.
    """
    if name not in TRANSFORMATIONS:
        raise ValueError(f"expected transformations out of {', '.join(TRANSFORMATIONS)}, got {name!r}")
    return TRANSFORMATIONS[name].load()

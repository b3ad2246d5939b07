"""Samples as functions take them: the data, and how they are read."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from os import PathLike
from typing import Any

from numpy.typing import NDArray

from lba_onnx.integers import as_count

DEFAULT_BATCH_SIZE = 16

Preprocess = Callable[[dict[str, NDArray[Any]]], dict[str, NDArray[Any]]]
"""Called with the arrays of each feed as the data have them; returns what the model is fed."""

Labels = NDArray[Any] | Sequence[int] | str | PathLike[str]
"""Class numbers [samples], or the path of an .npy file with them."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Data, and how they are read. Wherever a function takes `data`, it takes plain data or this.

    Attributes:
        data: A path, a reader, an array, a mapping or an iterable, as `data.blocks.open_blocks` takes; an entry "label"
            or "labels" is set apart.
        labels: Class numbers [samples], or the path of an .npy file with them; instead of labels in the data.
        batch_size: Samples per run where the model leaves it open.
        max_samples: Where to stop; None for the end of the data, or for as many samples as the function looks at.
        preprocess: Called with the arrays of each feed as the data have them; returns what the model is fed.
        shared_inputs: Names of the inputs that are the same for all samples, such as a mask: the data hold them as the
            model takes them. With `preprocess`, names of such arrays in the data too.

    Raises:
        TypeError: A field has the wrong type.
        ValueError: A number is below 1.
    """

    data: Any = field(repr=False)
    labels: Labels | None = field(default=None, repr=False)
    _: KW_ONLY
    batch_size: int = DEFAULT_BATCH_SIZE
    max_samples: int | None = None
    preprocess: Preprocess | None = None
    shared_inputs: Collection[str] = ()

    def __post_init__(self) -> None:
        """Check the fields."""
        if isinstance(self.shared_inputs, str):
            raise TypeError(f"expected shared_inputs as a sequence of names, got {self.shared_inputs!r}")
        object.__setattr__(self, "batch_size", as_count("batch_size", self.batch_size))
        if self.max_samples is not None:
            object.__setattr__(self, "max_samples", as_count("max_samples", self.max_samples))
        object.__setattr__(self, "shared_inputs", tuple(self.shared_inputs))

    @staticmethod
    def of(data: Any) -> "Samples":
        """Return samples as they are, and plain data as samples."""
        return data if isinstance(data, Samples) else Samples(data)

    def up_to(self, count: int) -> "Samples":
        """Return at most so many samples where nothing says how many."""
        return self if self.max_samples is not None else replace(self, max_samples=count)

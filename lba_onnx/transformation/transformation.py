"""What a transformation is.

    find(graph)                    -> what can be done, and what cannot with the reason
    channels(places)               -> the values whose ranges it wants to know, if any
    apply(graph, places, ranges)   -> the graph changed; its outputs are the same but for rounding

A transformation is a module of its own with one class of this, and an entry of the registry.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from lba_onnx.transformation.channel_ranges import ChannelRange
from lba_onnx.transformation.graph import ModelGraph


@dataclass(frozen=True)
class Refusal:
    """Something that is left as it is.

    Attributes:
        node: What is in the way: a node, or a value.
        reason: Why.
    """

    node: str
    reason: str

    def __str__(self) -> str:
        """Return both in one line."""
        return f"{self.node}: {self.reason}"


@dataclass(frozen=True)
class Found:
    """What a transformation found.

    Attributes:
        places: Where it can be applied; each says what it is as a text.
        refusals: Where it cannot.
    """

    places: tuple[Any, ...]
    refusals: tuple[Refusal, ...]


class Transformation(ABC):
    """Changes the weights of a float32 model, and not what it computes.

    Attributes:
        name: What people call it: its name in the registry.
        tolerance: The largest difference of an output that is rounding: root mean square of the difference, divided by
            that of the output. `docs/transformations.md` says why.
    """

    name: ClassVar[str]
    tolerance: ClassVar[float]

    @abstractmethod
    def find(self, graph: ModelGraph) -> Found:
        """Return where the transformation can be applied."""

    def channels(self, places: Sequence[Any]) -> dict[str, int]:
        """Return the names of the values whose ranges `apply` takes, and the axis of each that runs over channels."""
        return {}

    @abstractmethod
    def apply(self, graph: ModelGraph, places: Sequence[Any], ranges: Mapping[str, ChannelRange]) -> None:
        """Apply it, in place.

        Args:
            graph: The graph in which the places were found.
            places: `Found.places`.
            ranges: Of the values that `channels` names, as they are on the samples.
        """

"""What is left of the data after their one pass: every node's ranges, and a few samples for what comes after."""

from dataclasses import dataclass, field
from enum import Enum

from lba_onnx.calibration.outliers import Outlier
from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.data.batch import Batch


class Keep(Enum):
    """Which samples a method needs after the pass."""

    FEW = "none: ranges and histograms are enough"
    SPREAD = "some, spread over all, to judge the model's output by"
    APART = "some to fit to, and others, kept apart, to judge the model's output by"
    MANY_APART = "some to search by, and half of all, up to 256, kept apart, to confirm what was found"


@dataclass(frozen=True)
class Kept:
    """Samples that stay in memory.

    Attributes:
        judged: Samples to judge the model's output by; for methods that do not, a few to count events on.
        fitted: Other samples, to fit to; empty where the method does not.
        is_shared: Whether there was only one sample, so that both are the same.
    """

    judged: list[Batch]
    fitted: list[Batch] = field(default_factory=list)
    is_shared: bool = False


@dataclass(frozen=True)
class DataSeen:
    """What is left.

    Attributes:
        ranges: What each node has seen; None for nodes that never ran.
        samples: Number of samples.
        data_sha256: Hash of all that the model was fed.
        kept: The samples that the method needs.
        counted: A few of these, to count events on.
        outliers: Samples that alone set the ranges of many nodes.
    """

    ranges: dict[str, NodeRange | None]
    samples: int
    data_sha256: str
    kept: Kept
    counted: list[Batch]
    outliers: tuple[Outlier, ...] = ()

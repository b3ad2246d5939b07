"""What an evaluation found, and its JSON form."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from lba_onnx.evaluation.metrics import OutputComparison


@dataclass(frozen=True)
class Evaluation:
    """Figures of a model on data.

    Attributes:
        samples: How many samples ran.
        labelled_samples: How many of them have labels.
        top1: Percent of labelled samples whose label has the highest score; None without labels.
        top5: Percent whose label is among the five highest; None without labels or with five classes or fewer.
        reference_top1: As `top1`, of the reference; None without one.
        reference_top5: As `top5`, of the reference.
        agreement: Percent of samples whose highest score is that of the reference; None without a reference, or where
            no output is [samples, classes].
        outputs: Per output, how it compares with the reference; empty without one.
    """

    samples: int
    labelled_samples: int
    top1: float | None
    top5: float | None
    reference_top1: float | None
    reference_top5: float | None
    agreement: float | None
    outputs: tuple[OutputComparison, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; numbers that JSON cannot hold (an infinite sqnr_db, NaN) become null."""
        values = asdict(self)
        values["outputs"] = [{key: _finite(value) for key, value in output.items()} for output in values["outputs"]]
        return values


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value

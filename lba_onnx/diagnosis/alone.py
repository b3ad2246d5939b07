"""What each converted node does to the model's own output, all others being float32."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lba_onnx.data.batches import Batch
from lba_onnx.data.execution import Execution
from lba_onnx.data.watching import enter_phase
from lba_onnx.diagnosis.variants import Variants
from lba_onnx.evaluation.judge import Judge

if TYPE_CHECKING:
    import onnx

    from lba_onnx.arithmetic import Accumulator


def score_alone(variants: Variants, batches: Sequence[Batch], execution: Execution) -> dict[str, float]:
    """Return by node the score of the model in which it is the only converted one.

    Args:
        variants: The models.
        batches: Few samples; they run once through the reference, and once a node through a variant.
        execution: How models run; progress is told in nodes.
    """
    judge = Judge(variants.reference, batches, providers=execution.providers)
    enter_phase("each layer alone", "layers", len(variants.specs))
    scores: dict[str, float] = {}
    for name in variants.specs:
        scores[name] = judge.score(_only(variants, name))
        if execution.progress is not None:
            execution.progress(len(scores), len(variants.specs))
    return scores


def _only(variants: Variants, name: str) -> "onnx.ModelProto":
    def keep(other: str, spec: "Accumulator") -> "Accumulator | None":
        return spec if other == name else None

    return variants.make(keep)

"""What each converted node does to the model's own output, all others being float32.

The float32 model runs in segments: for each node, the one with this node gets a session in which the node is converted,
and only that and what follows runs.
"""

from collections.abc import Iterator, Sequence

from lba_onnx.data.batches import Batch
from lba_onnx.data.execution import Execution
from lba_onnx.data.watching import enter_phase, part, passing
from lba_onnx.diagnosis.variants import Variants, to_float32
from lba_onnx.evaluation.judge import Judge
from lba_onnx.evaluation.outputs import Outputs, run_by_name
from lba_onnx.observation.segments import Change, SegmentedModel, quiet_session


def score_alone(variants: Variants, batches: Sequence[Batch], execution: Execution) -> dict[str, float]:
    """Return by node the score of the model in which it is the only converted one.

    Args:
        variants: The models.
        batches: Few samples; they run twice through the float32 model, and for each node once from there on.
        execution: How models run; progress is told in nodes.
    """
    judge = Judge(variants.reference, batches, providers=execution.providers)
    float32 = SegmentedModel(variants.open(to_float32), batches, execution.providers)
    enter_phase("each layer alone", "layers", len(variants.specs))
    scores: dict[str, float] = {}
    for name, changed in variants.each_alone():
        change = float32.move_to(changed)
        scores[name] = judge.score_outputs(list(_outputs(float32, change, batches, execution.providers)))
        if execution.progress is not None:
            execution.progress(len(scores), len(variants.specs))
    return scores


def _outputs(
    float32: SegmentedModel, change: Change, batches: Sequence[Batch], providers: Sequence[str]
) -> Iterator[Outputs]:
    """Yield by batch the outputs that depend on a change."""
    session = quiet_session(change.model, providers) if change.outputs else None
    for number, _ in enumerate(passing(batches)):
        given: Outputs = {}
        if session is not None:
            with part(0, 0.5):
                given = run_by_name(session, change.batches[number], change.outputs, "the model")
        with part(0.5, 1):
            yield float32.finish(change, number, given)

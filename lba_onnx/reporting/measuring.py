"""What a report measures itself where it is given data: accuracy, layers, and how values are spread."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.data.batches import read_batches
from lba_onnx.data.execution import Execution, run_batch
from lba_onnx.data.hashing import DataHash
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.data.samples import Samples
from lba_onnx.data.watching import enter_phase
from lba_onnx.diagnosis import debug
from lba_onnx.evaluation import compare, evaluate
from lba_onnx.observation.collection import collecting_session

if TYPE_CHECKING:
    from lba_onnx.rewrite.model_files import ModelSource

_SPREAD_SAMPLES = 64
_SAMPLED_FRACTION = 1 / 64


@dataclass(frozen=True)
class Measured:
    """What data tell.

    Attributes:
        results: JSON objects as commands print them, by command; None for what was not measured.
        ranges: What each converted product has seen.
        data_sha256: Hash of what the model was fed.
    """

    results: Mapping[str, Mapping[str, Any] | None]
    ranges: Mapping[str, NodeRange]
    data_sha256: str


def measure(
    model: "ModelSource",
    reference: "ModelSource | None",
    samples: Samples,
    metric: Any,
    execution: Execution,
    known: Collection[str] = (),
) -> Measured:
    """Run a converted model, and the float32 model where there is one, over samples.

    Args:
        model: Path, bytes or ModelProto of the converted model.
        reference: The float32 model; without it neither the difference nor layers are measured.
        samples: The data.
        metric: As in `compare`.
        execution: How models run.
        known: Commands whose results are at hand, and are not measured.

    Raises:
        DataError: The data cannot be read or do not fit the model.
        ModelError: A model cannot be read, or the first has no converted node.
    """
    results: dict[str, Mapping[str, Any] | None] = {}
    is_measured = "compare" in known or "evaluate" in known
    if reference is None:
        if not is_measured:
            results["evaluate"] = evaluate(model, samples, metric=metric, execution=execution).to_json()
        return Measured(results, *_spreads(model, samples, execution))
    if not is_measured:
        results["compare"] = compare(reference, model, samples, metric=metric, execution=execution).to_json()
    if "debug" not in known:
        results["debug"] = debug(model, samples, reference, execution=execution).to_json()
    return Measured(results, *_spreads(model, samples, execution))


def _spreads(model: "ModelSource", samples: Samples, execution: Execution) -> tuple[dict[str, NodeRange], str]:
    """Return what converted products have seen of the first samples, and the hash of all."""
    fed, seen = DataHash(), 0
    enter_phase("spreads")
    with collecting_session(model, execution.providers, _SAMPLED_FRACTION) as collecting:
        for batch in read_batches(samples, describe_inputs(collecting.session)):
            fed.update(batch)
            if seen < _SPREAD_SAMPLES:
                run_batch(collecting.session, batch, [])
            seen += batch.samples
        found = collecting.read_statistics()
    ranges = {name: NodeRange.from_statistics(statistics) for name, statistics in found.items() if statistics}
    return ranges, fed.hexdigest()

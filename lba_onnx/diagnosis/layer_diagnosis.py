"""What is known of one converted node after a diagnosis."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lba_onnx.accumulator import AccumulatorSpec
from lba_onnx.diagnosis.causes import KINDS
from lba_onnx.diagnosis.events import EventRates
from lba_onnx.evaluation.estimates import finite_or_none


@dataclass(frozen=True)
class LayerDiagnosis:
    """One converted node. SQNRs are in dB, of dot products before any bias; None where the node did not run.

    Attributes:
        node: Its name.
        op_type: MatMul, Gemm or Conv.
        spec: What it computes in.
        output_sqnr_alone: The model's own output against the reference's where only this node is converted: what
            `evaluation.Judge` scores (for a model of integer outputs, percent of equal values). None where skipped.
        exact_input_err: SQNR of what the node computes from the reference's own inputs.
        qdq_err: SQNR of what it computes from the inputs that it gets in the converted model, against float32 of the
            same inputs: the error that it makes by itself.
        xmodel_err: SQNR of its output in the converted model against its output in the reference.
        shares: By cause, the part of the error on the reference's inputs, by energy, that goes when the cause is
            switched off. Negative where the error grows; they need not add up to 1. None without an error.
        events: How often something goes wrong in the converted model; None where the node did not run.
        balanced_chunk_size: The chunk size that the share of the cause "chunk_size" was measured with.
        outputs: How many values the errors come from.
        notes: What was not as described: causes that could not be switched off in full, executions without an equal.
    """

    node: str
    op_type: str
    spec: AccumulatorSpec
    output_sqnr_alone: float | None
    exact_input_err: float | None
    qdq_err: float | None
    xmodel_err: float | None
    shares: Mapping[str, float | None]
    events: EventRates | None
    balanced_chunk_size: int
    outputs: int
    notes: tuple[str, ...]

    @property
    def main_cause(self) -> str | None:
        """The cause that makes most of the error; None without an error, or where none makes a tenth of it.

        That is overflow, underflow or truncation, whichever has the largest share in both formats together; of the
        product or of the accumulator where that format alone makes at least half of the share.
        """
        kind = max(KINDS, key=self._share)
        if self._share(kind) < 0.1:
            return None
        place = max(("product", "accumulator"), key=lambda place: self._share(f"{place}_{kind}"))
        return f"{place}_{kind}" if self._share(f"{place}_{kind}") >= self._share(kind) / 2 else kind

    @property
    def harm(self) -> tuple[float, float]:
        """What layers are ranked by, the most harmful highest: the model's output, then the layer's own."""
        return tuple(_harm(value) for value in (self.output_sqnr_alone, self.exact_input_err))  # type: ignore[return-value]

    def _share(self, cause: str) -> float:
        share = self.shares[cause]
        return 0.0 if share is None else share

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; null stands for None, and for numbers that JSON cannot hold."""
        return {**_finite(asdict(self)), "spec": self.spec.to_json(), "main_cause": self.main_cause}


def _harm(value: float | None) -> float:
    if value is None:
        return -math.inf
    return math.inf if math.isnan(value) else -value


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    return finite_or_none(value)

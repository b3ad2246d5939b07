"""What is known of one converted node after a diagnosis."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lba_onnx.arithmetic import Accumulator
from lba_onnx.arithmetic.accumulator import Cause
from lba_onnx.diagnosis.needed_bits import NeededBits
from lba_onnx.evaluation.estimates import finite_or_none
from lba_onnx.observation.event_rates import EventRates


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
        events: How often something goes wrong in the converted model, of all sums together, or of integers level by
            level; None where the node did not run.
        largest_sum: The largest magnitude of an exact sum in the converted model, before any bias; None where the node
            did not run.
        largest_product: Likewise of an exact product.
        reordered: The text of the spec with another order of additions, which the share of that cause was measured
            with; None where there is none, or nothing to change.
        outputs: How many values the errors come from.
        notes: What was not as described: causes that could not be switched off in full, executions without an equal.
        bits: Of integers, what the sums of each register need; of the last one that wraps, the results of the
            reference; of others, prefix sums in the converted model.
        can_overflow: Of the sums of a shipping kernel, whether the weights let them overflow at all; None for all else,
            and for weights that are not constant.
    """

    node: str
    op_type: str
    spec: Accumulator
    output_sqnr_alone: float | None
    exact_input_err: float | None
    qdq_err: float | None
    xmodel_err: float | None
    shares: Mapping[str, float | None]
    events: EventRates | None
    largest_sum: float | None
    largest_product: float | None
    reordered: str | None
    outputs: int
    notes: tuple[str, ...]
    bits: tuple[NeededBits, ...] = ()
    can_overflow: bool | None = None

    @property
    def main_cause(self) -> str | None:
        """The name of the `cause` that makes most of the error; None where there is none."""
        return None if self.cause is None else self.cause.name

    @property
    def cause(self) -> Cause | None:
        """The cause that makes most of the error; None without an error, or where none makes a tenth of it.

        That is the kind of loss with the largest share in all places together; in one place where that alone makes at
        least half of the share.
        """
        losses = [cause for cause in self.spec.causes if not cause.is_order]
        everywhere = max((cause for cause in losses if not cause.place), key=self._share)
        if self._share(everywhere) < 0.1:
            return None
        here = [cause for cause in losses if cause.place and cause.kind == everywhere.kind]
        place = max(here, key=self._share, default=everywhere)
        return place if self._share(place) >= self._share(everywhere) / 2 else everywhere

    @property
    def share_of_order(self) -> float:
        """The part of the error that goes with another order of additions."""
        return sum(self._share(cause) for cause in self.spec.causes if cause.is_order)

    @property
    def harm(self) -> tuple[float, float]:
        """What layers are ranked by, the most harmful highest: the model's output, then the layer's own."""
        return tuple(_harm(value) for value in (self.output_sqnr_alone, self.exact_input_err))  # type: ignore[return-value]

    def _share(self, cause: Cause) -> float:
        share = self.shares[cause.name]
        return 0.0 if share is None else share

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; null stands for None, and for numbers that JSON cannot hold."""
        events = None if self.events is None else self.events.to_json()
        bits = [needed.to_json() for needed in self.bits]
        told = {"bits": bits, "spec": self.spec.to_json(), "events": events, "main_cause": self.main_cause}
        return {**_finite(asdict(self)), **told}


def _harm(value: float | None) -> float:
    if value is None:
        return -math.inf
    return math.inf if math.isnan(value) else -value


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    return finite_or_none(value)

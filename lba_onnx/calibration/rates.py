"""What becomes of a node's values at the biases that were chosen.

Overflow and underflow are read from the histograms of the data pass. Swamping depends on the order of the values: it is
counted while the model runs a few samples with the accumulators chosen.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.calibration.settings import Specs
from lba_onnx.calibration.subject import Subject
from lba_onnx.data.watching import enter_phase, passing
from lba_onnx.observation.event_rates import EventRates, event_name

if TYPE_CHECKING:
    from lba_onnx.arithmetic import Accumulator
    from lba_onnx.data.batch import Batch
    from lba_onnx.native import Statistics

_EVENTS_SAMPLED_FRACTION = 1 / 256
"""Share of the rows or positions that events are counted on."""


def rates_of(seen: NodeRange, spec: "Accumulator", statistics: "Statistics | None") -> EventRates:
    """Return the rates of one node, of all events that its accumulator has.

    Overflow, wraps and underflow are shares of the nonzero values of a level; see `EventRates.counted` for the others.

    Args:
        seen: What the data pass saw.
        spec: The accumulator chosen.
        statistics: Those of a run with the accumulators chosen; None where the node did not run.
    """
    shares = dict(EventRates.counted(spec, statistics).shares)
    for index, level in enumerate(seen.levels):
        held = spec.ranges[min(index, 1)]
        above, below = level.log2.share_above(held.max_exponent), level.log2.share_below(held.min_exponent)
        lost = {
            event_name(level.name, event): share
            for event, share in (("overflow", above), ("underflow", below), ("wrap", above))
        }
        shares |= {name: share for name, share in lost.items() if name in shares}
    return EventRates(shares)


def count_events(subject: Subject, specs: Specs, batches: "Sequence[Batch]") -> "dict[str, Statistics | None]":
    """Run a model with the accumulators chosen, and return each node's statistics."""
    enter_phase("events", unit="")
    with subject.collecting(_EVENTS_SAMPLED_FRACTION, specs) as collector:
        for batch in passing(batches):
            collector.run(batch)
        return collector.read_statistics()

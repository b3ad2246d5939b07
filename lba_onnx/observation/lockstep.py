"""Runs of a converted model side by side, which wait for each other at every product.

    batch 1   -> conv1 | -> conv2 | -> ...
    batch 2   -> conv1 | -> conv2 |            at each |, `visit` sees the calls of all runs, and computes them

A visitor sees one product on all samples at once, and what it writes into the results is what the runs go on with: no
part of the model runs twice, and no product is computed that nobody wants. What is alive at the cut stays in memory
for all samples.

Each run has a thread. Where runs take different ways (If, Loop), those that have come to the first product in the order
of the model are visited, and then go on.
"""

import contextvars
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lba_onnx.data.batches import Batch
from lba_onnx.native import ObservedCall
from lba_onnx.observation.observer import ObservingSession, observing_session
from lba_onnx.rewrite.candidates import converted_products
from lba_onnx.rewrite.model_files import OpenModel

_SECONDS_BETWEEN_LOOKS = 0.1

Visit = Callable[[str, Sequence[ObservedCall | None]], None]
"""Called with a product's key, and its call in each batch; None where a run took another way. It writes the results."""


def run_in_lockstep(model: OpenModel, batches: Sequence[Batch], visit: Visit, providers: Sequence[str]) -> None:
    """Run batches through a model, and visit each product once all runs have come to it.

    Args:
        model: A converted model.
        batches: What it is fed.
        visit: Called in this thread, product after product; a product in a loop is visited each time.
        providers: onnxruntime's execution providers.

    Raises:
        DataError: The model does not run on a batch.
        ModelError: The model cannot be read, or has no converted node.
        BaseException: What `visit` raises, or a signal handler; all runs end before.
    """
    order = {product.name: place for place, product in enumerate(converted_products(model.proto))}
    meeting = _Meeting()
    with observing_session(model, meeting.arrive, providers, fills=True, is_lean=True) as session:
        lanes = [_Lane(meeting, session, batch) for batch in batches]
        try:
            for lane in lanes:
                lane.start()
            _visit_all(meeting, lanes, order, visit)
        finally:
            meeting.dissolve()
            for lane in lanes:
                lane.join()


def _visit_all(meeting: "_Meeting", lanes: "Sequence[_Lane]", order: dict[str, int], visit: Visit) -> None:
    while arrived := meeting.wait_for(lanes):
        key = min((call.node for call in arrived.values()), key=lambda name: order.get(name, len(order)))
        calls = [call if call is not None and call.node == key else None for call in map(arrived.get, lanes)]
        visit(key, calls)
        meeting.release([lane for lane, call in zip(lanes, calls, strict=True) if call is not None])


class _Lane(threading.Thread):
    """One run of one batch."""

    def __init__(self, meeting: "_Meeting", session: ObservingSession, batch: Batch) -> None:
        super().__init__(name="lba_onnx-lane", daemon=True)
        self.error: BaseException | None = None
        self._meeting = meeting
        self._observing = session
        self._batch = batch
        self._context = contextvars.copy_context()

    def run(self) -> None:
        try:
            self._context.run(self._observing.run, self._batch, [])
        except BaseException as error:  # raised again in the thread that waits
            self.error = error
        self._meeting.leave()


class _DissolvedError(Exception):
    """Ends a run whose meeting is over."""


@dataclass(eq=False)
class _Meeting:
    """Where runs wait; `arrived` and `left` change under the lock of `changed` only. It holds no run that has left."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    arrived: dict[threading.Thread, ObservedCall] = field(default_factory=dict)
    left: int = 0
    is_over: bool = False

    def arrive(self, call: ObservedCall) -> None:
        """Wait, in the thread of a run, until the call has been visited."""
        lane = threading.current_thread()
        with self.changed:
            self.arrived[lane] = call
            self.changed.notify_all()
            self.changed.wait_for(lambda: lane not in self.arrived or self.is_over)
            if self.is_over:
                raise _DissolvedError

    def leave(self) -> None:
        with self.changed:
            self.left += 1
            self.changed.notify_all()

    def wait_for(self, lanes: Sequence[_Lane]) -> dict[threading.Thread, ObservedCall]:
        """Return the calls of all runs once each waits or has ended; none where all have.

        Raises:
            BaseException: What a run raised.
        """
        with self.changed:
            while len(self.arrived) + self.left < len(lanes):
                self.changed.wait(_SECONDS_BETWEEN_LOOKS)  # so that signal handlers run
            error = next((lane.error for lane in lanes if lane.error is not None), None)
            if error is not None:
                raise error
            return dict(self.arrived)

    def release(self, lanes: Sequence[threading.Thread]) -> None:
        with self.changed:
            for lane in lanes:
                del self.arrived[lane]
            self.changed.notify_all()

    def dissolve(self) -> None:
        with self.changed:
            self.is_over = True
            self.changed.notify_all()

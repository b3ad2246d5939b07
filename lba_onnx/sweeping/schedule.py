"""Which part runs when: shard after shard, all points on one before the next is read, a bounded number at a time."""

import queue
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from lba_onnx.data.watching import advance
from lba_onnx.evaluation.figures import ComparisonFigures
from lba_onnx.rewrite.given_specs import Specs
from lba_onnx.sweeping.journal import Journal
from lba_onnx.sweeping.pools import PartFuture, Pool, WorkerError
from lba_onnx.sweeping.shards import Shard

_CHECK_SECONDS = 2
_MAX_LOSSES = 3


@dataclass(frozen=True)
class Part:
    """One point on one shard.

    Attributes:
        point: Position of the point.
        shard: The data.
        losses: How often it was lost with the process that it ran in.
    """

    point: int
    shard: Shard
    losses: int = 0


class Schedule:
    """Runs parts in a pool, and keeps a journal of what they found."""

    def __init__(
        self, specs: Sequence[Specs], pool: Pool, journal: Journal, done: Callable[[Part, ComparisonFigures], None]
    ) -> None:
        """Take note.

        Args:
            specs: The arithmetic of each point.
            pool: Where parts run.
            journal: Where what they found is looked up first, and kept.
            done: Called with each part and its figures, in any order.
        """
        self._specs = specs
        self._pool = pool
        self._journal = journal
        self._done = done
        self._running: dict[PartFuture, Part] = {}
        self._finished: queue.SimpleQueue[PartFuture] = queue.SimpleQueue()

    def run(self, shards: Iterable[Shard]) -> None:
        """Run all points on all shards.

        Raises:
            WorkerError: A part was lost too often.
            Exception: What a part raised.
        """
        for part in (Part(point, shard) for shard in shards for point in range(len(self._specs))):
            known = self._journal.find(self._specs[part.point], part.shard)
            if known is not None:
                self._done(part, known)
                continue
            while len(self._running) >= self._pool.slots():
                self._await_one()
            self._submit(part)
        while self._running:
            self._await_one()

    def _submit(self, part: Part) -> None:
        future = self._pool.submit(self._specs[part.point], part.shard)
        self._running[future] = part
        future.add_done_callback(self._finished.put)

    def _await_one(self) -> None:
        """Wait for a part, or for a while."""
        try:
            future = self._finished.get(timeout=_CHECK_SECONDS)
        except queue.Empty:
            self._pool.check()
            advance(0.0, 0)  # nothing has come in, but the time goes on
            return
        part = self._running.pop(future)
        try:
            figures = future.result()
        except Exception as error:
            if not self._pool.is_loss(error):
                raise
            self._submit_again(part, error)
            return
        self._journal.add(self._specs[part.point], part.shard, figures)
        self._done(part, figures)

    def _submit_again(self, part: Part, error: Exception) -> None:
        if part.losses == _MAX_LOSSES:
            raise WorkerError(
                f"point {part.point}, shard {part.shard.index}: lost with its worker too often: "
                f"{type(error).__name__}: {error}"
            ) from error
        self._submit(replace(part, losses=part.losses + 1))

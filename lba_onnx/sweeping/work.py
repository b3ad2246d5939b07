"""Who does the work of a sweep, in which portions, and where what is found is kept meanwhile."""

from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING

from lba_onnx.integers import as_count

if TYPE_CHECKING:
    import distributed

DEFAULT_SHARD_SIZE = 128


@dataclass(frozen=True)
class Work:
    """How the work of a sweep is shared. It never changes the result.

    Attributes:
        workers: Processes on this machine to work in, which share its processors; None for this process.
        scheduler: A Dask scheduler, such as "tcp://host:8786", or a client of one, whose workers do the work.
        shard_size: Samples per unit of work, rounded up to whole batches.
        journal_path: A file to keep what is found in, and to read it from when the sweep is started again; the caller
            removes it when the result is safe.

    Raises:
        TypeError: A number is no integer.
        ValueError: A number is below 1, or there are both workers and a scheduler.
    """

    workers: int | None = None
    scheduler: "str | distributed.Client | None" = None
    shard_size: int = DEFAULT_SHARD_SIZE
    journal_path: "str | PathLike[str] | None" = None

    def __post_init__(self) -> None:
        """Check the fields."""
        as_count("shard_size", self.shard_size)
        if self.workers is not None:
            as_count("workers", self.workers)
        if self.workers is not None and self.scheduler is not None:
            raise ValueError("expected workers on this machine or a scheduler, got both")

"""Where the parts of a sweep run: on the workers of a Dask scheduler, on any number of machines.

The scheduler holds the job and the shards that are being worked on, so that neither is lost with a worker; a part that
was lost starts again on another worker.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lba_onnx.rewrite.given_specs import Specs
from lba_onnx.sweeping.job import Job
from lba_onnx.sweeping.parts import run_part
from lba_onnx.sweeping.pools import PartFuture, WorkerError
from lba_onnx.sweeping.shards import Shard

if TYPE_CHECKING:
    import distributed

_WORKER_SECONDS = 60
_WARN_ABOVE = "distributed.admin.large-graph-warning-threshold"


class ClusterPool:
    """Runs parts on a Dask cluster."""

    def __init__(self, job: Job, client: "distributed.Client") -> None:
        """Send the job to the scheduler.

        Args:
            job: What all parts share. Without a number of threads, each session has one: a worker runs as many parts
                at a time as it has threads.
            client: A connected client; it stays open.

        Raises:
            WorkerError: No worker has joined the scheduler, for a minute.
        """
        self._client = client
        self.check()
        self._job = self._share(replace(job, threads=job.threads or 1))
        self._shard: tuple[int, Any] = (-1, None)

    def slots(self) -> int:
        """Return two per thread of the workers that are there now."""
        threads: int = sum(self._client.nthreads().values())
        return 2 * max(1, threads)

    def submit(self, spec: Specs, shard: Shard) -> PartFuture:
        """Start a part."""
        if self._shard[0] != shard.index:
            self._shard = (shard.index, self._share(shard.batches))
        future: PartFuture = self._client.submit(run_part, self._job, spec, self._shard[1], pure=False)
        return future

    def is_loss(self, error: BaseException) -> bool:
        """Return False: the scheduler has already tried again."""
        return False

    def check(self) -> None:
        """Wait for a worker, if there is none.

        Raises:
            WorkerError: None has come for a minute.
        """
        try:
            self._client.wait_for_workers(1, timeout=_WORKER_SECONDS)
        except TimeoutError:
            raise WorkerError(
                f"{_address(self._client)}: expected at least one worker, got none for {_WORKER_SECONDS} s"
            ) from None

    def close(self) -> None:
        """Let go of what the scheduler holds; parts that nobody waits for any more are given up."""
        self._shard = (-1, None)
        self._job = None

    def _share(self, value: Any) -> Any:
        """Let the scheduler hold a value: as a task, it can be run again where the value was lost with a worker."""
        import dask

        with dask.config.set({_WARN_ABOVE: "2 GiB"}):
            return self._client.submit(_same, value, pure=False)


@contextlib.contextmanager
def connected(scheduler: "str | distributed.Client") -> "Iterator[distributed.Client]":
    """Yield a client of a scheduler; one that was made here is closed at the end.

    Args:
        scheduler: Address, such as "tcp://host:8786", or a client.

    Raises:
        WorkerError: The scheduler does not answer, it or its workers are lost while the block runs, or the package
            distributed is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        raise WorkerError(
            f"a scheduler takes the package distributed: pip install 'lba-onnx[dask]' ({error})"
        ) from None
    lost = (distributed.client.FutureCancelledError, distributed.comm.CommClosedError, distributed.KilledWorker)
    with _client(scheduler) as client:
        try:
            yield client
        except lost as error:
            what = "workers were lost" if isinstance(error, distributed.KilledWorker) else "the scheduler was lost"
            raise WorkerError(f"{_address(client)}: {what}: {type(error).__name__}: {error}") from error


def _client(scheduler: "str | distributed.Client") -> Any:
    """Return what a with statement takes."""
    import distributed

    if not isinstance(scheduler, str):
        return contextlib.nullcontext(scheduler)
    _check_address(scheduler)
    try:
        return distributed.Client(scheduler, set_as_default=False)
    except OSError as error:
        raise WorkerError(f"{scheduler}: no Dask scheduler answers: {error}") from error


def _check_address(scheduler: str) -> None:
    """Refuse what a client would stumble over only after it has started its threads."""
    import distributed

    try:
        distributed.comm.resolve_address(scheduler)
    except (OSError, ValueError) as error:
        raise WorkerError(f"expected a scheduler's address such as tcp://host:8786, got {scheduler}: {error}") from None
    settings = distributed.Security().get_connection_args("client")
    if scheduler.startswith("tls:") and settings.get("ssl_context") is None:
        raise WorkerError(f"{scheduler}: expected certificates under distributed.comm.tls in Dask's configuration")


def _same(value: Any) -> Any:
    return value


def _address(client: "distributed.Client") -> str:
    return str(client.scheduler.address) if client.scheduler else "the scheduler"

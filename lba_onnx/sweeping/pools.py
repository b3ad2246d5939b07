"""Where the parts of a sweep run: in this process, or in processes on this machine (`cluster.py` has others).

A pool takes parts and returns futures. Where a process is lost together with a part, the part's future fails with an
error that `is_loss` knows, and the part may be submitted again.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Any, Protocol

from lba_onnx.data.hooks import function_name
from lba_onnx.errors import LbaError
from lba_onnx.native.processors import processors
from lba_onnx.rewrite.given_specs import Specs
from lba_onnx.sweeping.job import Job
from lba_onnx.sweeping.parts import run_part
from lba_onnx.sweeping.shards import Shard


class WorkerError(LbaError):
    """Workers that cannot be reached, or that were lost too often."""


class PartFuture(Protocol):
    """What pools return: the common part of concurrent.futures.Future and distributed.Future."""

    def result(self) -> Any:
        """Return what the part found, or raise what went wrong."""

    def add_done_callback(self, fn: Callable[[Any], Any], /) -> Any:
        """Call a function with the future when it is done."""


class Pool(Protocol):
    """Runs parts of one job."""

    def slots(self) -> int:
        """Return how many parts should be submitted at a time."""

    def submit(self, spec: Specs, shard: Shard) -> PartFuture:
        """Start a part; shards come in ascending order, but for parts that are submitted again."""

    def is_loss(self, error: BaseException) -> bool:
        """Return whether an error says that a process was lost, so that the part should be submitted again."""

    def check(self) -> None:
        """Raise WorkerError if nobody is left to work; called now and then while nothing comes in."""

    def close(self) -> None:
        """Give up parts that have not started, and let go of the processes."""


class SerialPool:
    """Runs each part at once, in this process."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def slots(self) -> int:
        """Return 1."""
        return 1

    def submit(self, spec: Specs, shard: Shard) -> "Future[Any]":
        """Run a part."""
        future: Future[Any] = Future()
        try:
            future.set_result(run_part(self._job, spec, shard.batches))
        except Exception as error:
            future.set_exception(error)
        return future

    def is_loss(self, error: BaseException) -> bool:
        """Return False: this process is not lost."""
        return False

    def check(self) -> None:
        """Do nothing: this process is left."""

    def close(self) -> None:
        """Do nothing."""


class ProcessPool:
    """Runs parts in fresh processes on this machine, which share its processors; replaces processes that are lost."""

    def __init__(self, job: Job, workers: int) -> None:
        """Take note; processes start with the first part.

        Args:
            job: What all parts share; each process receives it once. Without a number of threads, the processors are
                divided among the processes.
            workers: How many processes.

        Raises:
            ValueError: The metric is no function of a module, so that other processes cannot find it.
        """
        try:
            pickle.dumps(job.metric)
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            name = function_name(job.metric) if job.metric else ""
            raise ValueError(f"metric {name}: cannot be sent to other processes: {error}") from None
        threads = job.threads or max(1, processors() // workers)
        self._job = replace(job, threads=threads)
        self._workers = workers
        self._executor = self._start()

    def slots(self) -> int:
        """Return two per process: one that runs, one that waits."""
        return 2 * self._workers

    def submit(self, spec: Specs, shard: Shard) -> "Future[Any]":
        """Start a part."""
        try:
            return self._submit(spec, shard)
        except BrokenProcessPool:
            self._executor.shutdown(wait=False)
            self._executor = self._start()
            return self._submit(spec, shard)

    def is_loss(self, error: BaseException) -> bool:
        """Return whether an error says that a process was lost."""
        return isinstance(error, BrokenProcessPool)

    def check(self) -> None:
        """Do nothing: lost processes make futures fail."""

    def close(self) -> None:
        """End the processes, and give up parts that are not done."""
        for process in list((self._executor._processes or {}).values()):
            process.kill()
        self._executor.shutdown(cancel_futures=True)

    def _submit(self, spec: Specs, shard: Shard) -> "Future[Any]":
        with _interrupts_held_back():  # of a process that this starts, too
            return self._executor.submit(_run, spec, shard.batches)

    def _start(self) -> ProcessPoolExecutor:
        # Not forked: onnxruntime's threads would not live in the copy.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, context, initializer=_set_job, initargs=(self._job,))


_JOBS: list[Job] = []


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Let Ctrl-C wait while the block runs, for this thread and for processes that start in it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _set_job(job: Job) -> None:
    """Prepare a process: it leaves Ctrl-C to the one that started it, and ends with that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _JOBS[:] = [job]


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(spec: Specs, batches: Any) -> Any:
    return run_part(_JOBS[0], spec, batches)

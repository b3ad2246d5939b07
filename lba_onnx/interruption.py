"""Native work that Ctrl-C ends.

Python calls signal handlers in the main thread, between its own instructions: none runs before native code returns.
So the main thread has a worker thread do long native work, and waits for it where handlers do run. What they raise
stops that work, and no other of the process.

    main thread     wait ... KeyboardInterrupt: run.stop(), stop()  ... wait until the worker is back ... raise
    worker thread   session.run: our kernels look at `run`, onnxruntime at RunOptions.terminate
"""

import atexit
import contextvars
import os
import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lba_onnx.native import Run

Result = TypeVar("Result")

_SECONDS_BETWEEN_LOOKS = 0.1
_SECONDS_TO_STOP = 1.0  # what does not stop within them, such as one long float32 node, is left behind
_INTERRUPTED = 130


def run_interruptibly(
    work: Callable[[], Result], run: Run, stop: Callable[[], None], look: Callable[[], None] | None = None
) -> Result:
    """Return the result of native work, or end it when a signal handler raises.

    In other threads than the main one, which see no signals, the work is done right here.

    Args:
        work: Releases the interpreter's lock while it is long. It is done in a thread of its own, as part of the run.
        run: Stopped with the work; its progress tells how far the work has come.
        stop: Called to stop what does not look at the run.
        look: Called in this thread now and then while the work goes on.

    Raises:
        BaseException: What the work, `look` or a signal handler raised.
    """
    if threading.current_thread() is not threading.main_thread():
        with run.entered():
            return work()
    call, worker = _Call(contextvars.copy_context(), run, work), _take_worker()
    try:
        worker.calls.put(call)
        while (outcome := call.outcome_within(_SECONDS_BETWEEN_LOOKS)) is None:
            if look is not None:
                look()
    except BaseException as error:
        run.stop()
        stop()
        _leave(worker, call, getattr(error, "exit_code", _INTERRUPTED))
        raise
    _IDLE.append(worker)
    if outcome.error is not None:
        raise outcome.error
    result: Result = outcome.value
    return result


@dataclass(frozen=True)
class _Outcome:
    value: Any = None
    error: BaseException | None = None


@dataclass(frozen=True, eq=False)
class _Call:
    context: contextvars.Context
    run: Run
    work: Callable[[], Any]
    outcomes: "queue.SimpleQueue[_Outcome]" = field(default_factory=queue.SimpleQueue)

    def do(self) -> None:
        try:
            with self.run.entered():
                outcome = _Outcome(self.context.run(self.work))
        except BaseException as error:  # raised again in the thread that waits
            outcome = _Outcome(error=error)
        self.outcomes.put(outcome)

    def outcome_within(self, seconds: float) -> _Outcome | None:
        try:
            return self.outcomes.get(timeout=seconds)
        except queue.Empty:
            return None


class _Worker(threading.Thread):
    """A thread that does one call after the other, until it gets None."""

    def __init__(self) -> None:
        super().__init__(name="lba_onnx-worker", daemon=True)
        self.calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self.start()

    def run(self) -> None:
        while (call := self.calls.get()) is not None:
            call.do()
            del call  # and with it the arrays of its result


_IDLE: list[_Worker] = []
_LEFT: list[_Worker] = []


def _take_worker() -> _Worker:
    worker = _IDLE.pop() if _IDLE else _Worker()
    return worker if worker.is_alive() else _Worker()  # in a process that was forked, no other thread is


def _leave(worker: _Worker, call: _Call, exit_code: int) -> None:
    """Wait until a stopped call is over; after a while, or a second interrupt, leave its thread behind."""
    atexit.unregister(_end_process)
    atexit.register(_end_process, exit_code)
    _LEFT.append(worker)
    worker.calls.put(None)
    if call.outcome_within(_SECONDS_TO_STOP) is not None:
        _LEFT.remove(worker)


def _end_process(exit_code: int) -> None:
    """End a process in which native code still runs: the interpreter cannot take it down in order."""
    if any(worker.is_alive() for worker in _LEFT):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)

"""Signals that end a process, as exceptions: they unwind as Ctrl-C does, and whatever cleans up does so."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """The process has been asked to end.

    Attributes:
        exit_code: The code to end with, 128 and the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@contextmanager
def ending_with_an_exception() -> Iterator[None]:
    """Raise Terminated, once, for signals that would end the process while the block runs; ignored ones stay so."""
    try:
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        taken = [number for number, handler in before.items() if handler is signal.SIG_DFL]
        for number in taken:
            signal.signal(number, _terminate)
    except ValueError:  # only the main thread may
        taken = []
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    for other in _SIGNALS:  # cleaning up goes on to its end
        if signal.getsignal(other) is _terminate:
            signal.signal(other, signal.SIG_IGN)
    raise Terminated(number)

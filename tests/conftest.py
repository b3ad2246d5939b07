import os
import signal

import pytest
from hypothesis import settings
from processor import Paths, force_path, paths

from lba_onnx import native
from lba_onnx.cli import progress

settings.register_profile("untimed", deadline=None)  # a busy machine is no fault
settings.load_profile("untimed")

_DEFAULTS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Leaves each worker one thread of OpenMP and BLAS: there are as many workers as processors."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True, scope="session")
def signals_are_heard() -> None:
    """Takes back that signals are ignored, as they are behind nohup or in the background of a script.

    Processes that tests start would inherit it, and be right not to end.
    """
    for number, handler in _DEFAULTS.items():
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def commands_end_before_they_tell_how_far_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a command may take longer than it does without a line of progress on standard error."""
    monkeypatch.setattr(progress, "_SECONDS_BEFORE_LINES", float("inf"))


@pytest.fixture(params=native.CPU_PATHS)
def forced_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Forces each CPU path in turn; skips the ones that this CPU lacks."""
    return force_path(monkeypatch, request.param)


@pytest.fixture
def each_path(monkeypatch: pytest.MonkeyPatch) -> Paths:
    """Returns what forces each CPU path of this machine in turn, where the bits expected of all take long to compute.

    That the library has all of them is a test of its own.
    """
    return lambda: (force_path(monkeypatch, path) for path in paths())

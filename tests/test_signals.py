"""Signals that end a process unwind as Ctrl-C does: SIGTERM left temporary files, and progress that was not written."""

import os
import signal
import threading

import pytest
from click.testing import CliRunner

import lba_onnx.calibration
from lba_onnx.cli import main
from lba_onnx.cli.signals import Terminated, ending_with_an_exception

SIGNALS = [signal.SIGTERM, signal.SIGHUP]


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda n: n.name)
def test_signal_becomes_an_exception_once(number):
    cleaned = []
    with pytest.raises(KeyboardInterrupt) as raised, ending_with_an_exception():
        try:
            send(number)
        finally:
            for again in SIGNALS:  # whoever is in haste does not stop the cleaning
                send(again)
            cleaned.append(True)
    assert isinstance(raised.value, Terminated) and raised.value.exit_code == 128 + number
    assert cleaned and all(signal.getsignal(other) is signal.SIG_DFL for other in SIGNALS)


def test_ignored_signal_stays_ignored():
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_with_an_exception():
            send(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_leave_signals_alone():
    handlers = []

    def run():
        with ending_with_an_exception():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [signal.SIG_DFL]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda n: n.name)
def test_command_says_by_what_it_was_ended(number, monkeypatch):
    monkeypatch.setattr(lba_onnx.calibration, "calibrate", lambda *arguments, **settings: send(number))
    result = CliRunner().invoke(main, ["calibrate", "-i", "m", "-o", "c", "--calibration_data_path", "d"])
    assert result.exit_code == 128 + number
    assert result.stderr.strip() == f"error: ended by {number.name}"

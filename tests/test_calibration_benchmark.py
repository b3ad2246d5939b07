"""The benchmark of calibration's cost takes any model, and bounds memory by what its page says."""

from types import SimpleNamespace

import numpy as np
import pytest
from onnx import numpy_helper
from small_models import images, network

from benchmarks import calibration
from benchmarks.calibration_subjects import CORRECT, KINDS, Kind, Subject, read_subject
from lba_onnx.data.split import is_kept_apart


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch):
    kind = Kind(lambda: (network(), {network().graph.input[0].name: images(6)}), (4, 8), ("max",), batch_size=4)
    monkeypatch.setitem(KINDS, "small", kind)
    return lambda samples: read_subject("small", samples)


def test_samples_are_repeated_as_often_as_it_takes(small):
    subject = small(8)
    assert isinstance(subject, Subject) and subject.samples == 8 and subject.batch_size == 4
    (repeated,) = subject.inputs.values()
    np.testing.assert_array_equal(repeated, np.concatenate([images(6), images(6)[:2]]))


def test_a_method_is_told_by_its_slope_and_its_constant(small, monkeypatch):
    seconds = {4: 3.0, 8: 5.0}

    def take_turns(subject, runs, rounds):
        for run in runs:
            run()
        return [[0.1], [seconds[4]], [seconds[8]]]

    monkeypatch.setattr(calibration, "_take_turns", take_turns)
    row = calibration.run_method(small(4), small(8), "max", 1)
    assert row["float32_passes"] == pytest.approx(5) and row["constant_seconds"] == pytest.approx(1)
    assert (row["samples"], row["target"]) == ("4 and 8", 8)


@pytest.mark.parametrize("method", ["max", CORRECT])
def test_the_limit_of_memory_counts_weights_and_the_samples_that_meet_at_the_largest_layer(small, method, monkeypatch):
    weights = sum(numpy_helper.to_array(tensor).nbytes for tensor in network().graph.initializer)
    largest = calibration._largest_layer(small(8), network())
    assert largest == 4 * (8 * 8 * 8 + 8 * 4 * 4)  # into the depthwise convolution, and out of it
    meeting = sum(not is_kept_apart(number) for number in range(8)) if method == CORRECT else 4

    def run_here(command, **_):
        calibration.run_once(*command[command.index("--only") + 1 :])
        return SimpleNamespace(stdout=b'{"peak_bytes": 7e6}')

    monkeypatch.setattr(calibration.subprocess, "run", run_here)
    row = calibration.run_memory(small(8), method)
    assert row["limit_mb"] == pytest.approx((2.5 * weights + meeting * largest) / 1e6 + 500)
    assert row["peak_mb"] == 7

"""Samples that alone set the ranges of many nodes: named, with what they cost.

One of a user's 32 images was not scaled: 10,000 times too large. Every bias followed it, nine of ten products became
zero on all other images, and neither a note nor a warning said so.
"""

import json

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import matmul_model, model, tensor

from lba_onnx import Samples
from lba_onnx.calibration import Calibration, calibrate, data_pass
from lba_onnx.calibration.methods import Percentile
from lba_onnx.calibration.peaks import Peak, Peaks
from lba_onnx.calibration.ranges import LevelRange

RANDOM = np.random.default_rng(0)
WEIGHTS = {name: RANDOM.standard_normal(shape).astype(np.float32) for name, shape in (("w", (16, 16)), ("v", (16, 8)))}


def two_layers(batch: int | str = "n") -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["y"], "second"),
    ]
    return model(nodes, [tensor("x", batch, 16)], [tensor("y", batch, 8)], WEIGHTS)


def samples(count: int, *outliers: int, factor: float = 1e4) -> np.ndarray:
    x = np.random.default_rng(1).standard_normal((count, 16)).astype(np.float32)
    x[list(outliers)] *= np.float32(factor)
    return x


def warnings_of(x, **settings) -> tuple[str, ...]:
    return calibrate(settings.pop("model", two_layers()), x, **settings).data_warnings


@pytest.mark.parametrize("count", [3, 16, 17, 40, 300])
@pytest.mark.parametrize("place", [0, 1, -1])
def test_outlier_is_named_wherever_it_is(count, place, caplog):
    number = place % count
    (text,) = warnings_of(samples(count, number))
    assert text.startswith(f"the array, sample {number}: this sample alone sets the range of 2 of 2 nodes, up to ")
    factor = float(text.split("up to ")[1].split(" times")[0])
    assert 2e3 < factor < 5e4
    assert "of the 16 binades of M7E4" in text and "leave it out, or scale it" in text
    assert count < 17 or "% more of a node's products zero" in text  # histograms hold one row of each batch
    assert [record.getMessage() for record in caplog.records if "alone" in record.getMessage()] == [text]


@pytest.mark.parametrize("outliers", [(), (3, 7), (3, 40), (40, 200), (0, 299)])
def test_no_word_where_none_stands_out_alone(outliers):
    assert warnings_of(samples(300, *outliers)) == ()


@pytest.mark.parametrize("count", [1, 2])
def test_of_two_samples_none_stands_out(count):
    assert warnings_of(samples(count, 0)) == ()


def test_one_value_is_named_with_its_index():
    x = samples(40)
    x[21, 5] = 3e7
    (text,) = warnings_of(x)
    assert text.startswith("the array, sample 21: this sample alone (x[5] is 3e+07, ")
    assert "any other value) sets the range" in text


def test_outlier_is_named_by_its_file_and_its_feed(tmp_path):
    for index in range(2):
        np.savez(tmp_path / f"part{index}.npz", x=samples(20, *([7] if index else [])))
    (text,) = warnings_of(tmp_path)
    assert text.startswith(f"{tmp_path / 'part1.npz'}, sample 7: ")
    (text,) = warnings_of([{"x": samples(1)}] * 20 + [{"x": samples(4, 2)}])
    assert text.startswith("feed 20, sample 2: ")


def test_fixed_batches_are_run_one_sample_at_a_time_too():
    (text,) = warnings_of(samples(10, 5), model=two_layers(4))
    assert text.startswith("the array, sample 5: ")


def test_harmless_factor_and_methods_that_follow_no_outlier_say_nothing():
    assert warnings_of(samples(40, 5, factor=2)) == ()
    x = samples(3000, 5)
    assert warnings_of(x, method=Percentile(99.0)) == ()


def test_node_that_runs_for_few_samples_is_no_outlier():
    assert (
        warnings_of(np.eye(16, dtype=np.float32), model=matmul_model(np.diag(np.arange(1, 17)).astype(np.float32)))
        == ()
    )


def feeds(x: np.ndarray, stop: int | None = None):
    for index in range(len(x)):
        if index == stop:
            raise KeyboardInterrupt
        yield {"x": x[index : index + 1]}


@pytest.mark.parametrize("outlier", [0, 4, 12, 33, 39])
@pytest.mark.parametrize("stop", [5, 20, 35])
def test_run_that_goes_on_from_a_file_says_the_same(tmp_path, monkeypatch, outlier, stop):
    monkeypatch.setattr(data_pass, "_STRETCH_SAMPLES", 8)
    x, path = samples(40, outlier), tmp_path / "progress.json"
    with pytest.raises(KeyboardInterrupt):
        calibrate(two_layers(), feeds(x, stop), resume_path=path)
    resumed = calibrate(two_layers(), feeds(x), resume_path=path)
    assert resumed == calibrate(two_layers(), feeds(x))
    (text,) = resumed.data_warnings
    assert text.startswith(f"feed {outlier}: this sample alone")


def test_ranges_are_those_without_the_search():
    x = samples(300, 40)
    found = calibrate(two_layers(), x).nodes["first"].range
    products = np.abs(x[:, :, np.newaxis] * WEIGHTS["w"].astype(np.float64))
    assert found.max_abs_product == products.max() and found.outputs == 300 * 16


def test_warnings_are_kept_in_the_file_which_may_lack_them(tmp_path):
    found = calibrate(two_layers(), samples(20, 3))
    found.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == found
    value = json.loads((tmp_path / "c.json").read_text())
    del value["data_warnings"]
    (tmp_path / "c.json").write_text(json.dumps(value))
    assert Calibration.load(tmp_path / "c.json").data_warnings == ()
    value["data_warnings"] = [3]
    with pytest.raises(TypeError, match="data_warnings"):
        Calibration.from_json(value)


def test_memory_holds_few_batches_however_many_there_are():
    kept = []

    class Pass(data_pass.DataPass):
        def _count(self, batch, first):
            super()._count(batch, first)
            kept.append(len(self._suspects))

    original, data_pass.DataPass = data_pass.DataPass, Pass
    try:
        from lba_onnx.calibration import flow

        flow_pass, flow.DataPass = flow.DataPass, Pass
        growing = samples(160) * np.float32(1.3) ** np.arange(160, dtype=np.float32)[:, np.newaxis]
        calibrate(two_layers(), Samples(growing, batch_size=2))
    finally:
        data_pass.DataPass, flow.DataPass = original, flow_pass
    assert len(kept) == 80 and max(kept) <= 8


class Seen:
    """What a node has collected."""

    def __init__(self, value: float) -> None:
        self.levels = [LevelRange(name, value) for name in ("product", "partial_sum", "total")]


def test_peaks_follow_the_running_maximum():
    peaks, running = Peaks(), 0.0
    for holder, value in enumerate([5, 2, 3, 60, 4]):
        running = max(running, value)
        if peaks.see(holder, {"node": Seen(running), "idle": None}):
            running = 0.0
    assert peaks.of_nodes == {"node": (Peak(60, 5, 3), Peak(60, 5, 3))}
    assert peaks.suspects() == {3}
    assert Peaks.from_json(json.loads(json.dumps(peaks.to_json()))).of_nodes == peaks.of_nodes


@pytest.mark.parametrize(
    "value", [None, {}, {"holders": 1, "nodes": {"a": [[1, 2, 3]]}}, {"holders": 1, "nodes": {"a": 3}}]
)
def test_peaks_of_another_form_are_refused(value):
    with pytest.raises(ValueError, match="peaks"):
        Peaks.from_json(value)

"""A calibration that was interrupted goes on, and ends as if it had not been."""

import json

import numpy as np
import pytest
from small_models import images, network

from lba_onnx import Execution, Samples, Selection
from lba_onnx.calibration import calibrate, data_pass, session_subject
from lba_onnx.calibration.methods import Max
from lba_onnx.calibration.methods.zero_shot import ZeroShot
from lba_onnx.errors import DataError

COUNT = 40


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch):
    monkeypatch.setattr(data_pass, "_STRETCH_SAMPLES", 8)


def feeds(count: int = COUNT, stop: int | None = None, seed: int = 1):
    for index, image in enumerate(images(count, seed)):
        if index == stop:
            raise KeyboardInterrupt
        yield {"x": image[np.newaxis]}


def interrupted(path, stop: int, method: str = "max") -> None:
    with pytest.raises(KeyboardInterrupt):
        calibrate(network(), feeds(stop=stop), "M4E3", method, resume_path=path)


@pytest.mark.parametrize("method", ["max", "percentile", "mse", "zero_shot"])
@pytest.mark.parametrize("stop", [8, 21, 39])
def test_resumed_run_ends_like_an_uninterrupted_one(tmp_path, method, stop):
    path = tmp_path / "progress.json"
    interrupted(path, stop, method)
    assert json.loads(path.read_text())["samples"] == stop // 8 * 8
    assert calibrate(network(), feeds(), "M4E3", method, resume_path=path) == calibrate(
        network(), feeds(), "M4E3", method
    )
    assert not path.exists()


def test_counted_samples_are_read_but_do_not_run(tmp_path, monkeypatch):
    path = tmp_path / "progress.json"
    interrupted(path, 30)
    runs = []
    run_batch = session_subject.run_batch
    monkeypatch.setattr(session_subject, "run_batch", lambda *call: (runs.append(1), run_batch(*call))[1])
    calibrate(network(), feeds(), "M4E3", resume_path=path)
    assert len(runs) == COUNT - 24 + 2  # two to count events on


def test_interruption_by_the_progress_callback(tmp_path):
    path = tmp_path / "progress.json"

    def stop_at_20(done, total):
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(network(), feeds(), "M4E3", resume_path=path, execution=Execution(progress=stop_at_20))
    expected = calibrate(network(), feeds(), "M4E3")
    assert calibrate(network(), feeds(), "M4E3", resume_path=path) == expected


def test_interruption_after_the_data_does_not_run_them_again(tmp_path, monkeypatch):
    path = tmp_path / "progress.json"
    monkeypatch.setattr(ZeroShot, "choose", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        calibrate(network(), feeds(), "M4E3", "zero_shot", resume_path=path)
    assert json.loads(path.read_text())["samples"] == COUNT


def test_interruption_before_the_first_stretch_leaves_no_file(tmp_path):
    interrupted(tmp_path / "progress.json", 5)
    assert not list(tmp_path.iterdir())


def test_run_without_a_path_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calibrate(network(), feeds(), "M4E3")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("data", [lambda: feeds(seed=2), lambda: feeds(10), lambda: iter([{"x": images(30)}])])
def test_other_data_are_refused(tmp_path, data):
    path = tmp_path / "progress.json"
    interrupted(path, 20)
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"progress\.json: expected the data to begin with the 16 samples"):
        calibrate(network(), data(), "M4E3", resume_path=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"family": "M4E4"}, "family"),
        ({"method": "percentile"}, "method"),
        ({"method": Max(granularity="model")}, "granularity"),
        ({"family": "M4E3,chunk=8"}, "family"),
        ({"data": Samples(feeds(), batch_size=2)}, "batch_size"),
        ({"selection": Selection(nodes_to_exclude=["conv1"])}, "nodes_to_exclude"),
    ],
)
def test_other_settings_are_refused(tmp_path, settings, name):
    path = tmp_path / "progress.json"
    interrupted(path, 20)
    with pytest.raises(DataError, match=rf"progress\.json: .*got others: .*{name}"):
        calibrate(network(), **{"data": feeds(), "family": "M4E3", **settings}, resume_path=path)


def test_another_model_is_refused(tmp_path):
    path = tmp_path / "progress.json"
    interrupted(path, 20)
    other = network()
    other.producer_name = "another"
    with pytest.raises(DataError, match="got others: model_sha256"):
        calibrate(other, feeds(), "M4E3", resume_path=path)


@pytest.mark.parametrize("text", ["", "{}", '{"kind": "lba_onnx.calibration", "schema": 2}'])
def test_files_that_are_something_else_are_refused_and_kept(tmp_path, text):
    path = tmp_path / "progress.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"progress\.json"):
        calibrate(network(), feeds(), resume_path=path)
    assert path.read_text() == text


def test_damaged_nodes_are_refused(tmp_path):
    path = tmp_path / "progress.json"
    interrupted(path, 20)
    value = json.loads(path.read_text())
    del value["nodes"]["conv1"]["max_abs_product"]
    path.write_text(json.dumps(value))
    with pytest.raises(DataError, match="damaged: expected a number of at least 0 as max_abs_product"):
        calibrate(network(), feeds(), "M4E3", resume_path=path)

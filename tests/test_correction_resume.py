"""A correction that was interrupted goes on, and ends as if it had not been."""

import numpy as np
import pytest
from small_models import images, loop_model, network

import lba_onnx
from lba_onnx import Execution, Samples
from lba_onnx.correction import correct, sequence
from lba_onnx.errors import DataError, OutputError

RECIPES = ("refit", "scale")
LAYERS = 3


def converted(proto=None):
    return lba_onnx.convert(network() if proto is None else proto, "M4E5b16")[0]


def run(path=None, stop=None, model=None, data=None):
    def progress(done: int, total: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    data = Samples(images(24) if data is None else data, batch_size=8)
    return correct(
        converted() if model is None else model,
        data,
        recipes=RECIPES,
        execution=Execution(progress=progress),
        resume_path=path,
    )


def interrupted(path, stop: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(path, stop)


def same(found, expected) -> bool:
    return found[0].SerializeToString() == expected[0].SerializeToString() and found[1] == expected[1]


@pytest.fixture(scope="module")
def uninterrupted():
    return run()


@pytest.mark.parametrize("stop", range(1, 2 * LAYERS + 1))
def test_resumed_run_ends_like_an_uninterrupted_one(tmp_path, stop, uninterrupted, monkeypatch):
    path = tmp_path / "progress"
    interrupted(path, stop)
    corrected = []
    correct_layer = sequence.correct_layer
    monkeypatch.setattr(sequence, "correct_layer", lambda *call: (corrected.append(1), correct_layer(*call))[1])
    assert same(run(path), uninterrupted)
    assert len(corrected) == 2 * LAYERS - stop
    assert not path.exists()


def test_a_run_may_be_interrupted_again_and_again(tmp_path, uninterrupted):
    path = tmp_path / "progress"
    for stop in (1, 2, 5):
        interrupted(path, stop)
    assert same(run(path), uninterrupted)


def test_a_layer_in_a_loop_goes_on_as_it_was(tmp_path):
    path, model, data = tmp_path / "progress", converted(loop_model(3)), np.ones((8, 2), np.float32)
    with pytest.raises(KeyboardInterrupt):
        run(path, 1, model, data)
    assert same(run(path, model=model, data=data), run(model=model, data=data))


def test_what_was_not_written_whole_is_done_again(tmp_path, uninterrupted):
    path = tmp_path / "progress"
    interrupted(path, 4)
    whole = path.read_bytes()
    for size in range(whole.index(b"\n") + 1, len(whole), len(whole) // 7):
        path.write_bytes(whole[:size])
        assert same(run(path), uninterrupted), size


def test_a_damaged_file_is_refused_or_its_damaged_part_done_again(tmp_path, uninterrupted):
    path, random = tmp_path / "progress", np.random.default_rng(3)
    interrupted(path, 3)
    whole = path.read_bytes()
    for place in (1, *random.integers(0, len(whole), 7)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            assert same(run(path), uninterrupted), place
        except DataError:
            assert place <= whole.index(b"\n")


@pytest.mark.parametrize(
    "other", [{"model": converted(loop_model(2)), "data": np.ones((8, 2), np.float32)}, {"data": images(24, seed=9)}]
)
def test_another_model_and_other_data_are_refused(tmp_path, other):
    path = tmp_path / "progress"
    interrupted(path, 2)
    held = path.read_bytes()
    with pytest.raises(DataError, match=r"progress: expected the model, the data and the version"):
        run(path, **other)
    assert path.read_bytes() == held


def test_a_file_of_another_kind_is_refused_and_kept(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("mine\n")
    with pytest.raises(DataError, match=r"notes\.txt: expected the progress of a correction"):
        run(path)
    assert path.read_text() == "mine\n"


def test_the_data_are_no_place_for_progress(tmp_path):
    data = tmp_path / "x.npy"
    np.save(data, images(8))
    with pytest.raises(OutputError):
        correct(converted(), data, resume_path=data)


def test_conversion_with_data_goes_on_in_its_correction(tmp_path):
    path = tmp_path / "progress"
    expected = lba_onnx.convert_with_data(network(), {"x": images(40)}, "M5E4")

    def stop_in_the_correction(done: int, total: int) -> None:
        if (tmp_path / "progress.correction").exists():
            raise KeyboardInterrupt

    running = {"execution": Execution(progress=stop_in_the_correction), "resume_path": path}
    with pytest.raises(KeyboardInterrupt):
        lba_onnx.convert_with_data(network(), {"x": images(40)}, "M5E4", **running)
    assert [file.name for file in tmp_path.iterdir()] == ["progress.correction"]
    resumed = lba_onnx.convert_with_data(network(), {"x": images(40)}, "M5E4", resume_path=path)
    assert same((resumed.model, resumed.correction), (expected.model, expected.correction))
    assert not list(tmp_path.iterdir())

"""What `transform` does around its transformations: verification, files, the command, errors."""

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from residual_models import HIDDEN, TOKENS, ids, post_norm, pre_norm, weights_of

import lba_onnx
from lba_onnx.cli import main
from lba_onnx.errors import ModelError, OutputError
from lba_onnx.rewrite import ModelFile, load_model, save_model
from lba_onnx.session import make_session
from lba_onnx.transformation import TRANSFORMATIONS, Found, Refusal, Transformation
from lba_onnx.transformation.registry import Entry


class Spoil(Transformation):
    """Changes what the model computes."""

    name = "spoil"
    tolerance = 1e-3

    def find(self, graph):
        return Found(("everywhere",), (Refusal("head", "is left"),))

    def apply(self, graph, places, ranges):
        (use,) = graph.uses("table")[:1]
        graph.replace(use, 1.01 * graph.vector("table"), "spoiled")


@pytest.fixture
def spoil(monkeypatch):
    monkeypatch.setitem(TRANSFORMATIONS, "spoil", Entry("spoils", Spoil))


def test_what_is_not_equal_is_not_done(spoil):
    model = pre_norm(has_positions=True)
    transformed, report = lba_onnx.transform(model, ids(), ["spoil"])
    (entry,) = report.entries
    assert not entry.is_done and not entry.verification.is_equal and report.done == ()
    assert report.summary().startswith("spoil: not done, not equal on 4 samples: output 'logits' moved by")
    assert np.array_equal(weights_of(transformed)["table"], weights_of(model)["table"])


def test_the_next_transformation_goes_on_from_what_was_kept(spoil):
    transformed, report = lba_onnx.transform(pre_norm(has_bias=True), ids(), ["spoil", "rotation", "balancing"])
    assert report.done == ("rotation", "balancing")
    assert json.loads(transformed.metadata_props[0].value) == {"done": ["rotation", "balancing"]}
    assert report.to_json()["transformations"][0]["refusals"] == [{"node": "head", "reason": "is left"}]


def test_a_model_remembers_what_was_done_before():
    rotated, _ = lba_onnx.transform(pre_norm(), ids(), ["rotation"])
    again, report = lba_onnx.transform(rotated, ids(), ["rotation", "balancing"])
    assert report.done == ("rotation", "balancing")
    assert json.loads(again.metadata_props[0].value) == {"done": ["rotation", "rotation", "balancing"]}


def test_the_model_that_is_given_stays():
    model = pre_norm()
    before = model.SerializeToString()
    lba_onnx.transform(model, ids())
    assert model.SerializeToString() == before


def test_a_model_with_nothing_to_do_says_why():
    transformed, report = lba_onnx.transform(post_norm(), ids(), ["rotation"])
    assert report.done == () and "rotation: not done" in report.summary() and "post-norm" in report.summary()
    assert report.entries[0].verification is None
    assert np.array_equal(weights_of(transformed)["table"], weights_of(post_norm())["table"])


def test_samples_that_are_read_once_serve_every_transformation():
    feeds = ({"ids": ids()["ids"][i : i + 1]} for i in range(4))
    _, report = lba_onnx.transform(pre_norm(), lba_onnx.Samples(feeds), ["rotation", "balancing"])
    assert [entry.verification.samples for entry in report.entries] == [4, 4]


def test_external_data_stay_external(tmp_path):
    save_model(pre_norm(is_tied=True), ModelFile(tmp_path / "model.onnx", use_external_data_format=True))
    before = make_session(tmp_path / "model.onnx").run(None, ids())[0]
    _, report = lba_onnx.transform(tmp_path / "model.onnx", ids(), model_output=tmp_path / "out.onnx")
    assert report.done == ("rotation", "balancing")
    written = onnx.load(tmp_path / "out.onnx", load_external_data=False)
    large = [tensor for tensor in written.graph.initializer if np.prod(tensor.dims) * 4 >= 1024]
    assert len(large) == 6 and all(tensor.external_data for tensor in large)
    after = make_session(tmp_path / "out.onnx").run(None, ids())[0]
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-4)
    assert load_model(tmp_path / "out.onnx", load_external_data=True).graph.initializer


def test_a_model_in_memory_takes_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lba_onnx.transform(pre_norm(), ids())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["rotate"], ValueError, "expected transformations out of rotation, balancing, got 'rotate'"),
        (["rotation", "rotation"], ValueError, "expected each transformation once, got 'rotation' 2 times"),
        ("rotation", TypeError, "expected transformations as a sequence of names, got 'rotation'"),
    ],
)
def test_wrong_names_are_refused(names, error, message):
    with pytest.raises(error, match=message):
        lba_onnx.transform(pre_norm(), ids(), names)


def test_a_converted_model_is_refused():
    converted, _ = lba_onnx.convert(pre_norm(), "M7E4b10")
    with pytest.raises(ModelError, match=r"expected a float32 model, got LbaMatMul '.*'; transform it before"):
        lba_onnx.transform(converted, ids())


def test_the_model_itself_is_no_output(tmp_path):
    save_model(pre_norm(), tmp_path / "model.onnx")
    with pytest.raises(OutputError):
        lba_onnx.transform(tmp_path / "model.onnx", ids(), model_output=tmp_path / "model.onnx")


@pytest.fixture
def folder(tmp_path):
    save_model(pre_norm(), tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", **ids())
    return tmp_path


def run(folder, *arguments):
    command = ["transform", "-i", folder / "model.onnx", "-o", folder / "out.onnx"]
    command += ["--calibration_data_path", folder / "data.npz", *arguments]
    return CliRunner().invoke(main, list(map(str, command)))


def test_the_command_writes_model_and_report(folder):
    result = run(folder, "--report_path", folder / "report.json", "--transformations", "rotation", "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed.pop("output_path") == str(folder / "out.onnx")
    assert printed == json.loads((folder / "report.json").read_text())
    assert printed["done"] == ["rotation"] and printed["transformations"][0]["verification"]["is_equal"]
    assert weights_of(folder / "out.onnx")["table"].shape == (TOKENS, HIDDEN)


def test_the_command_tells_what_it_did(folder):
    text = run(folder).stdout
    for words in ("residual stream of 24 channels", "rotation: done in 1 places", "balancing: done in 2 places"):
        assert words in text
    assert "wrote" in text


def test_a_wrong_name_ends_the_command(folder):
    result = run(folder, "--transformations", "rotate")
    assert result.exit_code == 1 or "rotate" in str(result.exception)
    assert not (folder / "out.onnx").exists()

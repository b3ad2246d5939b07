"""Weights files beside an output: names that cannot be somebody else's, and which of them go when a model does."""

import errno
import os
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from small_models import matmul_model, network

from lba_onnx import ModelFile
from lba_onnx.cli import main
from lba_onnx.errors import OutputError
from lba_onnx.files import temporary, weights_names
from lba_onnx.files.temporary import is_temporary
from lba_onnx.files.weights_names import is_weights_name, weights_name
from lba_onnx.rewrite import load_model, save_model

LARGE = matmul_model(np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32))


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def external(path) -> ModelFile:
    return ModelFile(path, use_external_data_format=True)


def changed(model):
    return matmul_model(numpy_helper.to_array(model.graph.initializer[0]) + 1)


def save_as_others_do(path, location):
    model = onnx.ModelProto()
    model.CopyFrom(LARGE)
    onnx.save_model(model, path, save_as_external_data=True, location=location, size_threshold=0)


def weights_of(model):
    loaded = onnx.load(model) if isinstance(model, Path) else model
    return [numpy_helper.to_array(tensor).tobytes() for tensor in loaded.graph.initializer]


def save(model, path):
    save_model(model, ModelFile(path, use_external_data_format=True))
    (location,) = {e.value for t in load_model(path).graph.initializer for e in t.external_data if e.key == "location"}
    assert is_weights_name(location) and weights_of(path) == weights_of(model)
    return location


def test_weights_file_is_named_by_what_it_holds(tmp_path):
    first = save(LARGE, tmp_path / "out.onnx")
    assert save(LARGE, tmp_path / "out.onnx") == first
    second = save(changed(LARGE), tmp_path / "out.onnx")
    assert listing(tmp_path) == sorted(["out.onnx", second]) and second != first


def test_weights_of_a_strangers_model_are_never_written_over(tmp_path):
    """What happened: fp32.onnx kept its weights in model.onnx.data; `convert -i fp32.onnx -o model.onnx` wrote its own
    there, and fp32.onnx then gave other results, without an error."""
    save_as_others_do(tmp_path / "fp32.onnx", "model.onnx.data")
    arguments = ["convert", "-i", tmp_path / "fp32.onnx", "-o", tmp_path / "model.onnx", "--spec", "M7E4b10"]
    for more in ([], ["--use_external_data_format"]):
        result = CliRunner().invoke(main, [*map(str, arguments), *more])
        assert result.exit_code == 0, result.output
        assert weights_of(tmp_path / "fp32.onnx") == weights_of(tmp_path / "model.onnx") == weights_of(LARGE)


def test_weights_files_of_older_versions_are_not_removed(tmp_path):
    save_as_others_do(tmp_path / "out.onnx", "out.onnx.data")
    location = save(changed(LARGE), tmp_path / "out.onnx")
    assert listing(tmp_path) == sorted(["out.onnx", "out.onnx.data", location])


def test_weights_that_another_model_refers_to_stay(tmp_path):
    """What happened: two outputs with equal weights, or a model and its copy, shared a file; to write one of them anew
    would have removed the weights of the other."""
    first = save(LARGE, tmp_path / "out.onnx")
    for name in ("copy.onnx", "best model", "COPY.ONNX"):
        (tmp_path / name).write_bytes((tmp_path / "out.onnx").read_bytes())
    second = save(changed(LARGE), tmp_path / "out.onnx")
    for name in ("copy.onnx", "best model", "COPY.ONNX"):
        assert {first, second} < set(listing(tmp_path))
        assert weights_of(tmp_path / name) == weights_of(LARGE)
        (tmp_path / name).unlink()
    (tmp_path / "again.onnx").write_bytes((tmp_path / "out.onnx").read_bytes())
    save_model(network(), tmp_path / "out.onnx")
    save_model(network(), tmp_path / "again.onnx")
    assert listing(tmp_path) == sorted(["out.onnx", "again.onnx", first])  # no run knows any more that it was its own


def test_model_that_cannot_be_read_counts_as_one_that_refers(tmp_path, monkeypatch):
    first = save(LARGE, tmp_path / "out.onnx")
    (tmp_path / "locked.onnx").write_text("whatever")
    original = Path.open

    def refuse(path, *arguments, **settings):
        if path.name == "locked.onnx":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path, *arguments, **settings)

    monkeypatch.setattr(Path, "open", refuse)
    save(changed(LARGE), tmp_path / "out.onnx")
    assert first in listing(tmp_path)


def test_name_at_the_border_of_two_blocks_is_found(tmp_path, monkeypatch):
    first = save(LARGE, tmp_path / "out.onnx")
    copy = load_model(tmp_path / "out.onnx")
    (tmp_path / "copy.onnx").write_bytes(copy.SerializeToString())
    monkeypatch.setattr("lba_onnx.files.weights_names._BLOCK_BYTES", 7)
    save(changed(LARGE), tmp_path / "out.onnx")
    assert first in listing(tmp_path)


def test_weights_of_a_model_behind_a_link_stay(tmp_path):
    first = save(LARGE, tmp_path / "real.onnx")
    (tmp_path / "sub").mkdir()
    (tmp_path / "real.onnx").rename(tmp_path / "sub" / "real.onnx")
    (tmp_path / "out.onnx").symlink_to("sub/real.onnx")
    save(changed(LARGE), tmp_path / "out.onnx")
    assert first in listing(tmp_path) and not (tmp_path / "out.onnx").is_symlink()


def test_moved_model_keeps_its_weights_when_its_place_is_filled(tmp_path):
    first = save(LARGE, tmp_path / "out.onnx")
    os.rename(tmp_path / "out.onnx", tmp_path / "best.onnx")
    save(changed(LARGE), tmp_path / "out.onnx")
    assert first in listing(tmp_path) and weights_of(tmp_path / "best.onnx") == weights_of(LARGE)


@pytest.mark.parametrize("is_link", [False, True])
def test_file_of_somebody_else_under_the_name_of_the_weights_is_refused(tmp_path, is_link):
    name = save(LARGE, tmp_path / "out.onnx")
    (tmp_path / "out.onnx").unlink()
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("nowhere") if is_link else (tmp_path / name).write_text("somebody else's")
    with pytest.raises(OutputError, match="expected the weights that its name stands for, got something else"):
        save_model(LARGE, ModelFile(tmp_path / "out.onnx", use_external_data_format=True))
    assert listing(tmp_path) == [name]


def test_run_does_not_take_weights_for_its_own_that_another_is_removing(tmp_path, monkeypatch):
    """Run a finds its weights there already; run b, which has replaced the last model that needs them, removes them."""
    path = tmp_path / "out.onnx"
    save(LARGE, path)
    remove, others = weights_names.remove, []

    def remove_late(victim):
        if is_weights_name(victim.name) and not others:
            others.append(threading.Thread(target=save_model, args=(LARGE, external(path))))
            others[0].start()
            others[0].join(0.5)  # time enough, were there no lock
        remove(victim)

    monkeypatch.setattr(weights_names, "remove", remove_late)
    save_model(changed(LARGE), external(path))
    others[0].join()
    assert weights_of(path) == weights_of(LARGE) and len(listing(tmp_path)) == 2


def test_without_locks_models_are_written_and_nothing_is_cleared_away(tmp_path, monkeypatch):
    # As on some network file systems: there is no telling whether an owner is dead.
    first = save(LARGE, tmp_path / "out.onnx")
    (tmp_path / ".lba_onnx-0123456789abcdef.tmp").write_text("dead")

    def fail(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(temporary.fcntl, "flock", fail)
    second = save(changed(LARGE), tmp_path / "out.onnx")
    assert listing(tmp_path) == sorted([".lba_onnx-0123456789abcdef.tmp", "out.onnx", first, second])
    monkeypatch.undo()
    save(LARGE, tmp_path / "out.onnx")
    assert not any(is_temporary(name) for name in listing(tmp_path))


def test_no_weights_file_where_there_are_no_large_weights(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])] for name in "xy"]
    save_model(
        helper.make_model(helper.make_graph(nodes, "g", *ends)),
        external(tmp_path / "o.onnx"),
    )
    assert listing(tmp_path) == ["o.onnx"]


def test_names_are_ours_alone():
    assert is_weights_name(weights_name("model.onnx", "0123456789abcdef" * 4))
    for name in ("model.onnx.data", "model.onnx_data", "weights.bin", "../x.lba-" + 32 * "0" + ".data", "x.lba-0.data"):
        assert not is_weights_name(name)

"""Files are written whole or not at all, errors name the file that was to be written, and what killed runs leave goes.

What happened: a disk ran full, and the message said "a file: No space left on device"; the temporary files of killed
runs stayed for ever.
"""

import contextlib
import errno
import fcntl
import os
import resource
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from small_models import images, matmul_model, network

import lba_onnx
from lba_onnx.calibration.peaks import Peaks
from lba_onnx.calibration.progress_file import SCHEMA, Counted, ProgressFile
from lba_onnx.cli import main
from lba_onnx.errors import OutputError
from lba_onnx.figure_file import write_figure
from lba_onnx.files import temporary, weights_names
from lba_onnx.files.atomic import append, replacing
from lba_onnx.files.leftovers import clear_leftovers, scratch_folder
from lba_onnx.files.temporary import is_temporary, temporary_file, temporary_folder
from lba_onnx.files.weights_names import is_weights_name, weights_name
from lba_onnx.json_file import write_json, write_text
from lba_onnx.rewrite import load_model, save_model

LARGE = matmul_model(np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32))


def write_progress(path):
    file = ProgressFile(path, {"settings": "x" * 20000})
    file.update(Counted(1, "hash"))
    file.write()


def write_plot(path):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    write_figure(Figure(), path)


WRITERS = {
    "text.csv": lambda path: write_text(path, "x" * 20000),
    "object.json": lambda path: write_json(path, {"text": "x" * 20000}),
    "calibration.json": lambda path: lba_onnx.calibrate(LARGE, {"x": images(4).reshape(4, 64)}).save(path),
    "figure.png": write_plot,
    "model.onnx": lambda path: save_model(LARGE, path),
    "external.onnx": lambda path: save_model(LARGE, path, use_external_data_format=True),
    "progress": write_progress,
}


def listing(folder):
    return sorted(path.name for path in Path(folder).iterdir())


@contextlib.contextmanager
def full_disk():
    """No file may grow beyond 500 bytes: to whoever writes, that is a disk that is full, and it takes no rights."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextlib.contextmanager
def folder_without_rights():
    """Yields a folder that may not be written; root, who may all the same, becomes somebody else for the while."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "inside").mkdir()
        os.chmod(folder, 0o755)
        yield Path(folder) / "inside"


@contextlib.contextmanager
def without_rights(folder):
    os.chmod(folder, 0o555)
    if os.getuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        os.chmod(folder, 0o755)


def replace_old(name, folder, tmp_path):
    """Makes an old file that the writer replaces; of a progress file one that it takes."""
    path = folder / name
    path.write_text("old") if name != "progress" else write_json(path, settings_of_progress())
    WRITERS[name](tmp_path / name)  # so that all is imported, and the writer is known to work
    return path, path.read_bytes()


def settings_of_progress():
    head = {"kind": "lba_onnx.calibration_progress", "schema": SCHEMA, "settings": {"settings": "x" * 20000}}
    return {**head, "samples": 0, "data_sha256": "", "nodes": {}, "peaks": Peaks().to_json()}


@pytest.mark.parametrize("name", WRITERS)
def test_full_disk_names_the_file_and_keeps_the_old_one(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    path, old = replace_old(name, folder, tmp_path)
    with full_disk(), pytest.raises(OSError) as raised:
        WRITERS[name](path)
    assert (raised.value.errno, raised.value.filename) == (errno.EFBIG, str(path))
    assert path.read_bytes() == old and listing(folder) == [name]


@pytest.mark.parametrize("name", WRITERS)
def test_folder_without_rights_names_the_file_and_keeps_the_old_one(tmp_path, name):
    with folder_without_rights() as folder:
        path, old = replace_old(name, folder, tmp_path)
        with without_rights(folder), pytest.raises(PermissionError) as raised:
            WRITERS[name](path)
        assert raised.value.filename == str(path)
        assert path.read_bytes() == old and listing(folder) == [name]


def test_full_disk_on_the_command_line_is_one_line(tmp_path):
    onnx.save(LARGE, tmp_path / "model.onnx")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "out.onnx").write_text("old")
    arguments = ["convert", "-i", tmp_path / "model.onnx", "-o", folder / "out.onnx", "--spec", "M7E4b10"]
    with full_disk():
        result = CliRunner().invoke(main, [*map(str, arguments), "--use_external_data_format"])
    assert result.exit_code == 1
    assert result.stderr == f"error: {folder / 'out.onnx'}: {os.strerror(errno.EFBIG)}\n"
    assert listing(folder) == ["out.onnx"] and (folder / "out.onnx").read_text() == "old"


def test_journal_on_a_full_disk_names_itself(tmp_path):
    with full_disk(), pytest.raises(OSError) as raised:
        append(tmp_path / "journal", "x" * 20000)
    assert raised.value.filename == str(tmp_path / "journal")


def test_error_of_something_else_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as raised, replacing(tmp_path / "out"):
        (tmp_path / "other").read_text()
    assert raised.value.filename == str(tmp_path / "other")


def test_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write_text(tmp_path / "link", "new")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "old" and (tmp_path / "link").read_text() == "new"


def test_new_file_has_the_rights_that_the_user_gives_new_files(tmp_path):
    mask = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "text")
    finally:
        os.umask(mask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


HOLD = """
import sys, time
from pathlib import Path
from lba_onnx.files.temporary import temporary_file, temporary_folder
folder = Path(sys.argv[1])
with temporary_file(folder) as file, temporary_folder(folder) as inner:
    (inner / "content").write_text("content")
    print(file.path.name, inner.name, flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def process_that_writes(folder):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        yield process, process.stdout.readline().split()
    finally:
        process.kill()
        process.communicate()


def test_files_of_a_dead_process_go_and_those_of_a_living_one_stay(tmp_path):
    with process_that_writes(tmp_path) as (process, names):
        assert all(is_temporary(name) for name in names)
        before = listing(tmp_path)
        write_text(tmp_path / "a", "text")
        assert listing(tmp_path) == sorted([*before, "a"])
        process.kill()
        process.wait()
        assert listing(tmp_path) == sorted([*before, "a"])
        write_text(tmp_path / "b", "text")
        assert listing(tmp_path) == ["a", "b"]


def test_files_of_this_process_stay(tmp_path):
    with temporary_file(tmp_path) as file, temporary_folder(tmp_path) as folder:
        clear_leftovers(tmp_path)
        assert file.path.exists() and folder.exists()
    assert listing(tmp_path) == []


def test_scratch_folders_of_dead_processes_go(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with process_that_writes(tmp_path) as (process, _):
        process.kill()
        process.wait()
    with scratch_folder() as folder:
        assert listing(tmp_path) == sorted([folder.name, folder.with_suffix(".lock").name])
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    "name", [".lba_onnx-abc12_x", ".out.onnx.0123456789abcdef.tmp", "lba_onnx-0123456789abcdef.tmp"]
)
def test_files_of_others_and_of_older_versions_stay(tmp_path, name):
    (tmp_path / name).write_text("not ours to remove")
    (tmp_path / ".lba_onnx-0123456789abcdef.tmp").symlink_to(name)
    write_text(tmp_path / "a", "text")
    assert listing(tmp_path) == sorted([name, ".lba_onnx-0123456789abcdef.tmp", "a"])


def test_without_locks_files_are_written_and_nothing_is_cleared_away(tmp_path, monkeypatch):
    # As on some network file systems: there is no telling whether an owner is dead.
    with process_that_writes(tmp_path) as (process, _):
        process.kill()
        process.wait()
    left = listing(tmp_path)
    save_model(LARGE, tmp_path / "out.onnx", use_external_data_format=True)  # where locks work
    left = [name for name in listing(tmp_path) if not is_temporary(name)]
    assert len(left) == 2
    (tmp_path / ".lba_onnx-0123456789abcdef.tmp").write_text("dead")

    def fail(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(temporary.fcntl, "flock", fail)
    save_model(changed(LARGE), tmp_path / "out.onnx", use_external_data_format=True)
    assert set(left) < set(listing(tmp_path)) and len(listing(tmp_path)) == 4
    assert weights_of(tmp_path / "out.onnx") == weights_of(changed(LARGE))


def test_file_that_is_taken_for_a_leftover_before_it_is_locked_gets_another_name(tmp_path, monkeypatch):
    original, calls = fcntl.flock, []

    def remove_first(descriptor, operation):
        calls.append(operation)
        if len(calls) == 1:
            for path in tmp_path.iterdir():
                path.unlink()
        original(descriptor, operation)

    monkeypatch.setattr(temporary.fcntl, "flock", remove_first)
    with temporary_file(tmp_path) as file:
        assert file.path.exists() and len(calls) == 2


# Weights files.


EXTERNAL = {"use_external_data_format": True}


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
    save_model(model, path, use_external_data_format=True)
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
        save_model(LARGE, tmp_path / "out.onnx", use_external_data_format=True)
    assert listing(tmp_path) == [name]


def test_run_does_not_take_weights_for_its_own_that_another_is_removing(tmp_path, monkeypatch):
    """Run a finds its weights there already; run b, which has replaced the last model that needs them, removes them."""
    path = tmp_path / "out.onnx"
    save(LARGE, path)
    remove, others = weights_names.remove, []

    def remove_late(victim):
        if is_weights_name(victim.name) and not others:
            others.append(threading.Thread(target=save_model, args=(LARGE, path), kwargs=EXTERNAL))
            others[0].start()
            others[0].join(0.5)  # time enough, were there no lock
        remove(victim)

    monkeypatch.setattr(weights_names, "remove", remove_late)
    save_model(changed(LARGE), path, **EXTERNAL)
    others[0].join()
    assert weights_of(path) == weights_of(LARGE) and len(listing(tmp_path)) == 2


def test_no_weights_file_where_there_are_no_large_weights(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])] for name in "xy"]
    save_model(
        helper.make_model(helper.make_graph(nodes, "g", *ends)), tmp_path / "o.onnx", use_external_data_format=True
    )
    assert listing(tmp_path) == ["o.onnx"]


def test_names_are_ours_alone():
    assert is_weights_name(weights_name("model.onnx", "0123456789abcdef" * 4))
    for name in ("model.onnx.data", "model.onnx_data", "weights.bin", "../x.lba-" + 32 * "0" + ".data", "x.lba-0.data"):
        assert not is_weights_name(name)

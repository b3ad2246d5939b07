"""Files are written whole or not at all, errors name the file that was to be written, and what killed runs leave goes.

What happened: a disk ran full, and the message said "a file: No space left on device"; the temporary files of killed
runs stayed for ever.
"""

import contextlib
import errno
import fcntl
import functools
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from small_models import images, matmul_model

import lba_onnx
from lba_onnx import ModelFile
from lba_onnx.calibration.peaks import Peaks
from lba_onnx.calibration.progress_file import SCHEMA, Counted, ProgressFile
from lba_onnx.cli import main
from lba_onnx.files import temporary
from lba_onnx.files.atomic import append, replacing
from lba_onnx.files.figure_file import write_figure
from lba_onnx.files.json_file import write_json, write_text
from lba_onnx.files.leftovers import clear_leftovers, scratch_folder
from lba_onnx.files.temporary import is_temporary, temporary_file, temporary_folder
from lba_onnx.rewrite import save_model

LARGE = matmul_model(np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32))


def write_progress(path):
    file = ProgressFile(path, {"settings": "x" * 20000})
    file.update(Counted(1, "hash"))
    file.write()


def write_plot(path):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    write_figure(Figure(), path)


@functools.cache
def calibration():
    """Made once, while all files of the package can be read."""
    return lba_onnx.calibrate(LARGE, {"x": images(4).reshape(4, 64)})


WRITERS = {
    "text.csv": lambda path: write_text(path, "x" * 20000),
    "object.json": lambda path: write_json(path, {"text": "x" * 20000}),
    "calibration.json": lambda path: calibration().save(path),
    "figure.png": write_plot,
    "model.onnx": lambda path: save_model(LARGE, path),
    "external.onnx": lambda path: save_model(LARGE, ModelFile(path, use_external_data_format=True)),
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

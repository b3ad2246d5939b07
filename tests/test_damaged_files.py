"""Damaged files: one line that names the file, never an error of ours, never a warning of Python or NumPy.

A byte of an .npy header had flipped: "internal error, SyntaxError". A list stood in a calibration where an object
belongs: "internal error, AttributeError". A FIFO was given as data: the command waited for ever.
"""

import io
import json
import os
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from damaged import damaged_bytes, damaged_values
from onnx import numpy_helper, save
from small_models import images, network

from lba_onnx import Samples, Work
from lba_onnx.calibration import Calibration, calibrate, data_pass
from lba_onnx.cli import main
from lba_onnx.data.arrays import open_npz
from lba_onnx.data.batches import read_batches
from lba_onnx.data.blocks import sample_count
from lba_onnx.data.inputs import ModelInput
from lba_onnx.data.labels import read_labels
from lba_onnx.errors import DataError
from lba_onnx.sweeping import sweep

INPUTS = (ModelInput("x", "float32", (None, 3)),)
X = np.arange(60, dtype=np.float32).reshape(20, 3)


def saved(save_, *arrays, **named) -> bytes:
    file = io.BytesIO()
    save_(file, *arrays, **named)
    return file.getvalue()


def zipped(method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("x.npy", saved(np.save, X))
    return file.getvalue()


DATA = {
    "rows.npy": saved(np.save, X),
    "columns.npy": saved(np.save, np.asfortranarray(X)),
    "stored.npz": saved(np.savez, x=X, label=np.arange(20)),
    "deflated.npz": saved(np.savez_compressed, x=X),
    "lzma.npz": zipped(zipfile.ZIP_LZMA),
    "bzip2.npz": zipped(zipfile.ZIP_BZIP2),
    "input_0.pb": numpy_helper.from_array(X).SerializeToString(),
}


@pytest.mark.parametrize("name", DATA)
def test_damaged_data_are_read_or_refused(tmp_path, name):
    path = tmp_path / name
    refused = 0
    for content in damaged_bytes(DATA[name], 300, seed=1):
        path.write_bytes(content)
        try:
            list(read_batches(Samples(tmp_path if name.endswith(".pb") else path), INPUTS))
            sample_count(Samples(path))
        except DataError as error:
            refused += 1
            assert len(str(error)) < 1000
    assert refused > 20


def test_damaged_labels_are_read_or_refused(tmp_path):
    path, refused = tmp_path / "labels.npy", 0
    for content in damaged_bytes(saved(np.save, np.arange(20)), 300, seed=2):
        path.write_bytes(content)
        try:
            read_labels(path)
        except DataError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }", "sizes of at least 0"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1 << 70, 3), }", "cannot be read"),
        (f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({10**40}, 3), }}", "bytes"),
        ("{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': False, 'shape': (3,), }", "numbers or strings"),
        ("{'descr': '|V0', 'fortran_order': False, 'shape': (3,), }", "numbers or strings"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", "pickled"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)", "cannot be read"),
        ("'\\d' 3L (((((", "cannot be read"),
        ("(" * 100, "cannot be read"),
        ("{'descr': __import__('os').getcwd(), 'fortran_order': False, 'shape': (3,), }", "cannot be read"),
        ("{'descr': '<f99', 'fortran_order': False, 'shape': (3,), }", "cannot be read"),
        ("{1: 2}", "cannot be read"),
    ],
)
def test_header_that_is_none_is_refused(tmp_path, header, reason):
    text = header.encode().ljust(117) + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64))
    with pytest.raises(DataError, match=rf"a\.npy: .*{reason}"):
        list(read_batches(Samples(tmp_path / "a.npy"), INPUTS))


def test_header_that_python_2_wrote_is_read_without_a_warning(tmp_path):
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }".ljust(117) + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(24))
    (batch,) = read_batches(Samples(tmp_path / "a.npy"), INPUTS)
    assert batch.samples == 2


def test_archive_with_two_arrays_of_a_name_or_with_something_else_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    for second, reason in (
        ("x.npy", "two arrays of this name"),
        ("notes.txt", "cannot be read as NumPy data"),
        ("d/", "cannot"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", saved(np.save, X))
            with pytest.warns(UserWarning) if second == "x.npy" else open(os.devnull):
                archive.writestr(second, saved(np.save, X) if second == "x.npy" else b"text")
        with pytest.raises(DataError, match=reason):
            open_npz(path)


def test_encrypted_archive_is_refused(tmp_path):
    content = bytearray(DATA["stored.npz"])
    with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
        start = archive.start_dir
    content[start + 8] |= 1  # the flag of encryption, in the directory and before the member
    content[6] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz\[.*encrypted"):
        open_npz(tmp_path / "a.npz")


@pytest.fixture(scope="module")
def calibration():
    return calibrate(network(), {"x": images(20)}, "M7E4", "mse").to_json()


def test_damaged_calibration_is_read_or_refused(tmp_path, calibration):
    path, refused = tmp_path / "c.json", 0
    for value in damaged_values(calibration, 400, seed=0):
        path.write_text(json.dumps(value))
        try:
            Calibration.load(path).save(tmp_path / "again.json")
        except DataError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 200


def test_flipped_bytes_of_a_calibration_are_read_or_refused(tmp_path, calibration):
    path = tmp_path / "c.json"
    for content in damaged_bytes(json.dumps(calibration).encode(), 300, seed=3):
        path.write_bytes(content)
        try:
            Calibration.load(path)
        except DataError:
            continue


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ('{"a": NaN}', "number of 64 bits, got NaN"),
        ('{"a": 1e999}', "number of 64 bits, got 1e999"),
        ('{"a": ' + "9" * 5000 + "}", "number of 64 bits, got 9"),
        ('{"a": 1, "a": 2}', "each name once, got 'a' again"),
        ("[1]", "expected a JSON object, got list"),
        ('{"kind": "lba_onnx.calibration", "schema": 2, "nodes": []}', "nodes"),
    ],
)
def test_json_that_is_none_is_refused(tmp_path, text, reason):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(DataError, match=rf"c\.json: .*{reason}"):
        Calibration.load(tmp_path / "c.json")


def feeds(stop: int | None = None):
    for index, image in enumerate(images(20)):
        if index == stop:
            raise KeyboardInterrupt
        yield {"x": image[np.newaxis]}


def test_damaged_progress_is_taken_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(data_pass, "_STRETCH_SAMPLES", 4)
    path = tmp_path / "progress.json"
    with pytest.raises(KeyboardInterrupt):
        calibrate(network(), feeds(10), resume_path=path)
    value, refused = json.loads(path.read_text()), 0
    for changed in damaged_values(value, 60, seed=4):
        path.write_text(json.dumps(changed))
        try:
            calibrate(network(), feeds(), resume_path=path)
        except DataError:
            refused += 1
    assert refused > 20


def test_damaged_journal_is_taken_or_refused(tmp_path):
    data = {"x": images(12), "label": np.arange(12) % 10}
    path = tmp_path / "journal"
    sweep(network(), data, biases=[10], work=Work(journal_path=path))
    value, refused = json.loads(path.read_text()), 0
    for changed in damaged_values(value, 60, seed=5):
        path.write_text(json.dumps(changed) + "\n")
        try:
            sweep(network(), data, biases=[10], work=Work(journal_path=path)).save(tmp_path / "sweep.json")
        except DataError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 20


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    save(network(), "m.onnx")
    np.savez("d.npz", x=images(4))
    for name in ("a.onnx", "a.npz", "a.npy", "a.json"):
        os.mkfifo(name) if kind == "fifo" else os.mkdir(name)
    os.mkdir("sets")
    os.mkfifo("sets/input_0.pb") if kind == "fifo" else os.mkdir("sets/input_0.pb")
    commands = [
        ("evaluate", "-i", "a.onnx", "--data_path", "d.npz"),
        ("inspect", "-i", "a.onnx"),
        ("evaluate", "-i", "m.onnx", "--data_path", "d.npz", "--labels_path", "a.npy"),
        ("evaluate", "-i", "m.onnx", "--data_path", "sets"),
        ("convert", "-i", "m.onnx", "-o", "o.onnx", "--calibration_path", "a.json"),
        ("convert", "-i", "m.onnx", "-o", "o.onnx", "--search_path", "a.json"),
    ]
    if kind == "fifo":
        commands.append(("evaluate", "-i", "m.onnx", "--data_path", "a.npz"))
        commands.append(("calibrate", "-i", "m.onnx", "-o", "b.json", "--calibration_data_path", "a.npy"))
    for command in commands:
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 1, (command, result.output)
        assert f"expected a file, got a {'FIFO' if kind == 'fifo' else 'folder'}" in result.stderr, command

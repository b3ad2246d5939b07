"""Bundles: written whole, proved on the machine that they come to, and clear about what differs."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from language_models import decoder
from small_models import images, network

import lba_onnx
from lba_onnx import native
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.cli import main
from lba_onnx.errors import DataError, LibraryError, ModelError, OutputError
from lba_onnx.files.hashes import file_hash
from lba_onnx.shipping import Attachments, SampleInputs, bundle, verify
from lba_onnx.shipping.libraries import copy_libraries, this_platform

SPEC = AccumulatorSpec.parse("M7E4b10")


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model_lba.onnx"
    lba_onnx.convert(network(), SPEC, model_output=path)
    return path


@pytest.fixture(scope="module")
def whole(model_path):
    bundle(model_path, model_path.parent / "bundle")
    return model_path.parent / "bundle"


@pytest.fixture
def folder(whole, tmp_path):
    """A copy to change."""
    return shutil.copytree(whole, tmp_path / "bundle")


def write_manifest(folder, **changed):
    path = folder / "MANIFEST.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def rehash(folder, name):
    files = json.loads((folder / "MANIFEST.json").read_text())["files"]
    write_manifest(folder, files={**files, name: file_hash(folder / name)})


def elf(machine):
    return b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little") + bytes(44)


def mach_o(machine):
    return b"\xcf\xfa\xed\xfe" + machine.to_bytes(4, "little") + bytes(56)


def pe(machine):
    return b"MZ" + bytes(58) + (128).to_bytes(4, "little") + bytes(64) + b"PE\0\0" + machine.to_bytes(2, "little")


def test_a_bundle_holds_on_the_machine_that_made_it(whole):
    assert verify(whole) == ()


def test_the_python_runner_needs_no_package_of_ours(whole):
    code = f"import sys; sys.modules['lba_onnx'] = None; import runpy; runpy.run_path({str(whole / 'run.py')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/", check=True)
    assert done.stdout == "equal bits\n"


@pytest.mark.parametrize("name", ["run.py", "run.cc"])
def test_a_runner_has_20_lines(whole, name):
    assert len((whole / name).read_text().splitlines()) <= 20


def test_the_python_runner_tells_of_other_bits(folder):
    golden = folder / "samples/0/output_0.npy"
    np.save(golden, -np.load(golden))
    done = subprocess.run([sys.executable, folder / "run.py"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "samples/0: output 0 has other bits\n")


def test_golden_outputs_are_those_of_a_session(whole, model_path):
    feed = np.load(whole / "samples/0/input_0.npy", allow_pickle=False)
    golden = np.load(whole / "samples/0/output_0.npy", allow_pickle=False)
    assert lba_onnx.make_session(model_path).run(None, {"x": feed})[0].tobytes() == golden.tobytes()


def test_the_same_seed_draws_the_same_samples(model_path, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        bundle(model_path, tmp_path / name, SampleInputs(seed=seed, input_shapes={"x": (5, 1, 8, 8)}))
    a, b, c = (np.load(tmp_path / name / "samples/0/input_0.npy") for name in "abc")
    assert a.shape == (5, 1, 8, 8)
    assert a.tobytes() == b.tobytes() != c.tobytes()


def test_samples_come_from_data_batch_by_batch(model_path, tmp_path):
    manifest = bundle(model_path, tmp_path / "b", SampleInputs(lba_onnx.Samples(images(7), batch_size=4)))
    assert manifest.samples == {"source": "data", "folders": ["samples/0", "samples/1"]}
    fed = [np.load(tmp_path / "b" / name / "input_0.npy") for name in manifest.samples["folders"]]
    assert np.concatenate(fed).tobytes() == images(7).tobytes()
    assert verify(tmp_path / "b") == ()


def test_a_language_model_is_fed_what_its_token_ids_tell(tmp_path):
    lba_onnx.convert(decoder(), SPEC, model_output=tmp_path / "d.onnx")
    bundle(tmp_path / "d.onnx", tmp_path / "b", SampleInputs(input_shapes={"input_ids": (2, 5)}))
    assert [np.load(tmp_path / f"b/samples/0/input_{i}.npy").shape for i in range(4)] == [
        (2, 5), (2, 5), (2, 5), (2, 1, 0, 4),
    ]  # fmt: skip
    assert verify(tmp_path / "b") == ()
    with pytest.raises(DataError, match="input_ids.*expected sizes of all axes but the first, got open ones"):
        bundle(tmp_path / "d.onnx", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_external_data_travels_with_the_model(tmp_path):
    path = tmp_path / "m.onnx"
    lba_onnx.convert(network(), SPEC, model_output=lba_onnx.ModelFile(path, use_external_data_format=True))
    manifest = bundle(path, tmp_path / "b")
    [weights] = [name for name in manifest.files if name.endswith(".data")]
    assert manifest.files[weights] == file_hash(tmp_path / weights.removeprefix("model/"))
    assert manifest.files["model/m.onnx"] == file_hash(path)
    assert verify(tmp_path / "b") == ()


def test_provenance_and_licences_are_inside(model_path, tmp_path):
    (tmp_path / "calibration.json").write_text("{}")
    (tmp_path / "LICENSE.model").write_text("free")
    given = Attachments(provenance=(tmp_path / "calibration.json",), licenses=(tmp_path / "LICENSE.model",))
    manifest = bundle(model_path, tmp_path / "b", attachments=given)
    provenance = json.loads((tmp_path / "b/provenance.json").read_text())
    assert provenance["metadata"]["lba_onnx.spec"] == "M7E4b12/M7E4b10"
    assert provenance["files"] == ["provenance/calibration.json"]
    assert {"licenses/LICENSE", "licenses/LICENSE.model", "provenance/calibration.json"} <= manifest.files.keys()


def test_libraries_of_other_platforms_come_from_files_and_wheels(model_path, tmp_path):
    other = {"x86_64": ("linux-aarch64", 183), "aarch64": ("linux-x86_64", 62)}
    name, machine = other[this_platform().removeprefix("linux-")]
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as wheel:
        wheel.writestr("lba_onnx/liblba_ops.so", elf(machine))
    manifest = bundle(model_path, tmp_path / "b", attachments=Attachments((tmp_path / "w.whl",)))
    assert manifest.libraries.keys() == {name, this_platform()}
    assert (tmp_path / "b" / manifest.libraries[name]).read_bytes() == elf(machine)
    write_manifest(tmp_path / "b", libraries={name: manifest.libraries[name]})
    with pytest.raises(LibraryError, match=f"expected a library for {this_platform()}, got those for {name}"):
        verify(tmp_path / "b")


def test_libraries_say_which_system_they_are_for(tmp_path):
    files = {
        "darwin-arm64/liblba_ops.dylib": mach_o(0x0100000C),
        "darwin-x86_64/liblba_ops.dylib": mach_o(0x01000007),
        "windows-amd64/liblba_ops.dll": pe(0x8664),
        "windows-arm64/liblba_ops.dll": pe(0xAA64),
    }
    for index, content in enumerate(files.values()):
        (tmp_path / f"library{index}").write_bytes(content)
    found = copy_libraries(sorted(tmp_path.glob("library?")), tmp_path / "lib")
    assert {found.pop(this_platform()), *files} == {*found.values(), f"{this_platform()}/{native.LIBRARY_NAME}"}
    assert {path: (tmp_path / "lib" / path).read_bytes() for path in files} == files


@pytest.mark.parametrize("content", [elf(8), mach_o(7), pe(0x14C), b"MZ" + bytes(200), b"", b"text"])
def test_a_library_that_is_none_is_refused(model_path, tmp_path, content):
    (tmp_path / "l.so").write_bytes(content)
    with pytest.raises(LibraryError, match=r"l.so: expected a shared library for linux-x86_64, .*, windows-arm64, got"):
        bundle(model_path, tmp_path / "b", attachments=Attachments((tmp_path / "l.so",)))


def test_a_wheel_of_another_package_is_refused(model_path, tmp_path):
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as wheel:
        wheel.writestr("other/liblba_ops.so", elf(62))
    with pytest.raises(LibraryError, match=r"w.whl: expected a wheel of this package"):
        bundle(model_path, tmp_path / "b", attachments=Attachments((tmp_path / "w.whl",)))


def test_what_is_no_converted_model_is_refused(tmp_path):
    onnx.save(network(), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="expected a converted model, got one without operators of lba_onnx"):
        bundle(tmp_path / "m.onnx", tmp_path / "b")


def test_what_exists_is_not_overwritten(model_path, tmp_path):
    (tmp_path / "note").write_text("kept")
    with pytest.raises(OutputError, match="expected a folder to make, got something that exists"):
        bundle(model_path, tmp_path)
    assert os.listdir(tmp_path) == ["note"]


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda f: (f / "run.cc").unlink(), "run.cc: expected a file, found none"),
        (lambda f: (f / "run.cc").write_text("x"), "run.cc: expected SHA-256 .{64}, got .{64}"),
        (lambda f: (f / "more").write_text("x"), "more: expected no such file, found one"),
        (lambda f: (f / "more").symlink_to("/"), "more: expected no such file, found one"),
    ],
)
def test_a_changed_file_is_named(folder, change, finding):
    change(folder)
    [difference] = verify(folder)
    assert re.fullmatch(finding, difference)


def test_a_link_out_of_the_bundle_is_named(folder, tmp_path):
    shutil.move(folder / "run.cc", tmp_path / "run.cc")
    (folder / "run.cc").symlink_to(tmp_path / "run.cc")
    assert verify(folder) == ("run.cc: expected a file of the bundle, found a link that leads outside",)


def test_other_bits_are_told_from_broken_operators(folder):
    name = "samples/0/output_0.npy"
    golden = np.load(folder / name)
    golden[1, 3] += 1
    np.save(folder / name, golden)
    rehash(folder, name)
    outputs, cause = verify(folder)
    assert outputs.startswith(
        "samples/0, output 'y': expected the golden bits, got 1 of 20 values with others, by up to"
    )
    assert cause.startswith("the operators give the right bits here, so that what stays float32 differs")


@pytest.mark.parametrize("path", ["../run.py", "/etc/passwd", "a/../../b", "a\\b", "", 3])
def test_a_manifest_that_leads_outside_is_refused(folder, path):
    write_manifest(folder, model=path)
    with pytest.raises(ModelError, match="expected paths inside the bundle"):
        verify(folder)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"expected a bundle, got a folder without MANIFEST.json"):
        verify(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": 1}', '{"format": 2}'])
def test_what_is_no_manifest_is_refused(folder, text):
    (folder / "MANIFEST.json").write_text(text)
    with pytest.raises(ModelError, match=r"MANIFEST.json: "):
        verify(folder)


def test_the_command_writes_verifies_and_tells_by_its_exit_code(model_path, tmp_path):
    np.save(tmp_path / "x.npy", images(3))
    written = CliRunner().invoke(
        main,
        ["bundle", "-i", str(model_path), "-o", str(tmp_path / "b"), "--data_path", str(tmp_path / "x.npy"), "--json"],
    )
    assert json.loads(written.stdout)["source"] == "x.npy"
    right = CliRunner().invoke(main, ["bundle", "--verify", str(tmp_path / "b")])
    assert (right.exit_code, right.stderr) == (0, "")
    (tmp_path / "b/run.py").write_text("")
    wrong = CliRunner().invoke(main, ["bundle", "--verify", str(tmp_path / "b")])
    assert wrong.exit_code == 1
    assert wrong.stderr.startswith("error: run.py: expected SHA-256")


@pytest.mark.parametrize("arguments", [[], ["-i", "m.onnx"], ["--verify", ".", "-o", "b"]])
def test_the_command_says_what_it_expects(arguments):
    result = CliRunner().invoke(main, ["bundle", *arguments])
    assert result.exit_code == 1
    assert "--verify" in result.stderr

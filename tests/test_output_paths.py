"""No output takes the place of what the same run reads, or of another of its outputs.

What happened: `calibrate -i m.onnx -o m.onnx` wrote JSON over the model, `sweep -o d.npz --data_path d.npz` wrote over
the samples, `convert -o o.onnx --report_path o.onnx` left a report without a model; each ended with exit code 0.
"""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from small_models import images, network

import lba_onnx
from lba_onnx.calibration.plot import plot_node
from lba_onnx.cli import main
from lba_onnx.demo import demo_data_path, run_demo
from lba_onnx.errors import OutputError
from lba_onnx.files import outputs
from lba_onnx.files.outputs import check_outputs, is_same_file
from lba_onnx.post_training import convert_with_data
from lba_onnx.rewrite import convert, load_model, save_model
from lba_onnx.sweeping.plot import plot_sweep

SPEC = lba_onnx.AccumulatorSpec.parse("M7E4b10")

MODEL = {"-i": "model.onnx"}
SAMPLES = {"--calibration_data_path": "data.npz"}
FUNCTIONS = {"--metric": "hooks:metric", "--preprocess": "hooks:preprocess"}
TEST_DATA = {"--data_path": "data.npz", "--labels_path": "labels.npy", **FUNCTIONS}
COMMANDS = {
    "transform": {
        **MODEL, **SAMPLES, "--preprocess": "hooks:preprocess", "-o": "new/o.onnx", "--report_path": "new/r.json",
    },
    "calibrate": {**MODEL, **SAMPLES, **FUNCTIONS, "-o": "new/c.json", "--resume_path": "new/p.json"},
    "convert": {
        **MODEL, **SAMPLES, **FUNCTIONS, "-o": "new/o.onnx", "--report_path": "new/r.json",
        "--resume_path": "new/p.json",
    },
    "convert --calibration": {
        **MODEL, **SAMPLES, "--calibration": "biases.json", "-o": "new/o.onnx", "--report_path": "new/r.json",
    },
    "debug": {
        **MODEL, **TEST_DATA, "--reference_path": "reference.onnx", "-o": "new/o.onnx", "--promote_until": "sqnr>=1",
    },
    "sweep": {
        **MODEL, **TEST_DATA, "--reference_path": "reference.onnx", "--calibration_data_path": "more.npz",
        "-o": "new/s.json", "--csv_path": "new/s.csv", "--plot_path": "new/s.svg",
    },
    "search": {**MODEL, "--data_path": "data.npz", **FUNCTIONS, "-o": "new/f.json", "--choices": "M7E4"},
    "report": {
        **MODEL, "--data_path": "data.npz", "--preprocess": "hooks:preprocess", "-r": "reference.onnx",
        "--calibration": "biases.json", "-o": "new/r.html",
    },
    "plot": {"--calibration": "biases.json", "--node": "conv1", "-o": "new/p.svg"},
}  # fmt: skip
"""What each command reads and writes, by its options."""
WRITTEN = {
    "-o": "output_path", "--report_path": "report_path", "--resume_path": "resume_path", "--csv_path": "csv_path",
    "--plot_path": "plot_path",
}  # fmt: skip
WRITES_FOLDERS = {"demo", "bundle", "export-triton"}  # of their own, never over one that is there
NO_FILES = {"--node", "--promote_until", "--choices"}
BESIDES = {
    "-i": ["model_data/w1.bin", "model_data/w3.bin"],
    "--reference_path": ["reference.onnx.weights"],
    "-r": ["reference.onnx.weights"],
}
"""The external data of the models."""
EXISTING = "new/old.txt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("files")
    (path / "model_data").mkdir()
    (path / "new").mkdir()
    model = network()
    onnx.save_model(model, path / "reference.onnx", save_as_external_data=True, location="reference.onnx.weights",
                    size_threshold=0)  # fmt: skip
    spread(path)
    lba_onnx.calibrate(network(), {"x": images(4)}).save(path / "biases.json")
    np.savez(path / "data.npz", x=images(4))
    np.savez(path / "more.npz", x=images(4))
    np.save(path / "labels.npy", np.zeros(4, np.int64))
    (path / "hooks.py").write_text("def metric(outputs, labels): return [1]\ndef preprocess(feeds): return feeds\n")
    return path


def spread(folder):
    """Writes the model with external data in two files of a subfolder."""
    model = network()
    for name in ("w1", "w3"):
        tensor = next(t for t in model.graph.initializer if t.name == name)
        (folder / "model_data" / f"{name}.bin").write_bytes(tensor.raw_data)
        onnx.external_data_helper.set_external_data(tensor, f"model_data/{name}.bin", 0, len(tensor.raw_data))
        tensor.ClearField("raw_data")
    (folder / "model.onnx").write_bytes(model.SerializeToString())


@pytest.fixture(autouse=True)
def _inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path: path.read_bytes() for path in files}


def run(command, options):
    arguments = [text for option, value in options.items() for text in (option, str(value))]
    return CliRunner().invoke(main, [command.split()[0], *arguments])


def refused(folder, command, options, *names):
    before = contents(folder)
    result = run(command, options)
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ") and "expected a file for the" in line
    for name in names:
        assert name in line
    assert contents(folder) == before
    return line


def files_of(option, value):
    return ["hooks.py"] if ":" in value else [value, *BESIDES.get(option, [])]


def collisions():
    for command, options in COMMANDS.items():
        for output in options.keys() & WRITTEN.keys():
            for other in options.keys() - {output} - NO_FILES:
                for victim in files_of(other, options[other]):
                    yield pytest.param(command, output, other, victim, id=f"{command} {output} {other} {victim}")


def test_every_output_option_is_listed():
    listed = {
        (command.split()[0], WRITTEN[o]) for command, options in COMMANDS.items() for o in options if o in WRITTEN
    }
    written = {*WRITTEN.values()}
    assert listed == {
        (name, parameter.name)
        for name, command in main.commands.items()
        for parameter in command.params
        if parameter.name in written and name not in WRITES_FOLDERS
    }


@pytest.mark.parametrize(("command", "output", "other", "victim"), sorted(collisions(), key=lambda p: p.id))
def test_output_that_is_another_file_of_the_command_is_refused(folder, command, output, other, victim):
    refused(folder, command, {**COMMANDS[command], output: victim}, victim)


def test_journal_of_a_sweep_is_an_output_too(folder):
    os.link("data.npz", "new/t.json.journal")
    line = refused(folder, "sweep", {**COMMANDS["sweep"], "-o": "new/t.json"}, "new/t.json.journal", "data.npz")
    assert "journal" in line
    os.unlink("new/t.json.journal")
    refused(folder, "sweep", {**COMMANDS["sweep"], "--csv_path": "new/s.json.journal"}, "new/s.json.journal")


@pytest.mark.parametrize("spelling", ["new/../model.onnx", "absolute", "symlink", "hard link", "linked folder"])
@pytest.mark.parametrize("output", ["-o", "--report_path"])
def test_files_are_compared_and_not_names(folder, tmp_path, output, spelling):
    other = tmp_path / "other"
    if spelling == "absolute":
        path = folder / "model.onnx"
    elif spelling == "symlink":
        other.symlink_to(folder / "model.onnx")
        path = other
    elif spelling == "hard link":
        os.link("model.onnx", other)
        path = other
    elif spelling == "linked folder":
        other.symlink_to(folder)
        path = other / "model.onnx"
    else:
        path = spelling
    refused(folder, "convert", {**COMMANDS["convert"], output: path}, str(path), "model.onnx")


def test_outputs_that_do_not_exist_yet_are_compared_too(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder / "new")
    (folder / "new" / "dangling").symlink_to("o.onnx")
    for report in ("new/o.onnx", "new/../new/o.onnx", tmp_path / "link" / "o.onnx", "new/dangling"):
        refused(folder, "convert", {**COMMANDS["convert"], "--report_path": report}, "new/o.onnx", str(report))
    os.unlink("new/dangling")


def test_names_that_differ_in_case_are_one_file_where_the_folder_knows_no_case(folder, monkeypatch):
    assert not is_same_file(Path("new/a.json"), Path("new/A.json"))
    monkeypatch.setattr(outputs, "_ignores_case", lambda folder: True)
    assert is_same_file(Path("new/a.json"), Path("new/A.json"))
    assert not is_same_file(Path("new/a.json"), Path("new/b.json"))


def test_whether_a_folder_knows_case_is_found_out_by_a_file(tmp_path, monkeypatch):
    assert not outputs._ignores_case(tmp_path)
    monkeypatch.setattr(os.path, "exists", lambda path: True)
    assert outputs._ignores_case(tmp_path)
    assert not list(tmp_path.iterdir())


def test_output_equal_to_the_input_says_what_to_write_instead(folder):
    options = {"-i": "model.onnx", "-o": "model.onnx", "--spec": "M7E4b10"}
    line = refused(folder, "convert", options)
    assert "such as model_lba.onnx" in line
    Path("model_lba.onnx").touch()
    assert "such as model_2_lba.onnx" in refused(folder, "convert", options)
    os.unlink("model_lba.onnx")


def test_another_file_may_be_replaced(folder, tmp_path):
    (tmp_path / "out.onnx").write_text("old")
    options = {"-i": "model.onnx", "-o": tmp_path / "out.onnx", "--spec": "M7E4b10"}
    assert run("convert", options).exit_code == 0
    load_model(tmp_path / "out.onnx")


def test_output_among_the_samples_of_a_folder_is_refused(folder, tmp_path):
    # It need not exist: the next run would take it for samples.
    np.savez(tmp_path / "a.npz", x=images(4))
    options = {**COMMANDS["calibrate"], "--calibration_data_path": tmp_path}
    for output in (tmp_path / "a.npz", tmp_path / "new.npz", tmp_path / "input_0.pb"):
        refused(tmp_path, "calibrate", {**options, "-o": output}, str(output), str(tmp_path))
    assert run("calibrate", {**options, "-o": tmp_path / "c.json"}).exit_code == 0


def test_output_in_a_folder_of_test_data_sets_is_refused(folder, tmp_path):
    (tmp_path / "test_data_set_0").mkdir()
    path = tmp_path / "test_data_set_0" / "input_0.pb"
    path.write_bytes(onnx.numpy_helper.from_array(images(1)).SerializeToString())
    options = {**COMMANDS["calibrate"], "--calibration_data_path": tmp_path}
    refused(tmp_path, "calibrate", {**options, "-o": path}, str(path))
    refused(tmp_path, "calibrate", {**options, "-o": path.with_name("input_1.pb")}, str(path.parent))


def calls():
    """Yields calls of Python functions with an output that they read, or have read."""
    data = {"x": images(4)}
    converted = convert(network(), SPEC)[0]
    calibration = lba_onnx.calibrate("model.onnx", "data.npz")
    made = convert_with_data("model.onnx", "data.npz")
    grid = {"families": "M7E4", "biases": 10}
    swept = lba_onnx.sweep(
        "model.onnx", lba_onnx.Samples("data.npz", np.zeros(4, np.int64)), calibration_data="more.npz", **grid
    )
    sample = {"x": np.load("data.npz")["x"]}
    for victim in ("model.onnx", *BESIDES["-i"]):
        yield victim, lambda v=victim: convert("model.onnx", SPEC, model_output=v)
        yield victim, lambda v=victim: lba_onnx.correct("model.onnx", data, model_output=v)
        yield victim, lambda v=victim: lba_onnx.correct("model.onnx", data, resume_path=v)
        yield victim, lambda v=victim: lba_onnx.calibrate("model.onnx", data, resume_path=v)
        yield victim, lambda v=victim: lba_onnx.sweep("model.onnx", data, **grid, work=lba_onnx.Work(journal_path=v))
        yield victim, lambda v=victim: lba_onnx.search("model.onnx", data, ["M7E4"], resume_path=v)
        yield victim, lambda v=victim: lba_onnx.search("model.onnx", data, ["M7E4"], write=1, model_output=v)
        yield victim, lambda v=victim: lba_onnx.promote_until(converted, data, "sqnr>=1", "model.onnx", model_output=v)
        yield victim, lambda v=victim: calibration.save(v)
        yield victim, lambda v=victim: convert_with_data("model.onnx", data, model_output=v)
        yield victim, lambda v=victim: convert_with_data("model.onnx", data, resume_path=v)
        yield victim, lambda v=victim: made.save(v)
        yield victim, lambda v=victim: swept.save(v)
        yield victim, lambda v=victim: swept.save_csv(v)
    for victim in BESIDES["-i"]:
        yield victim, lambda v=victim: save_model(load_model("model.onnx"), v, source_path="model.onnx")
    yield "data.npz", lambda: lba_onnx.correct(converted, "data.npz", model_output="data.npz")
    yield "data.npz", lambda: lba_onnx.calibrate(network(), "data.npz", resume_path="data.npz")
    yield "data.npz", lambda: lba_onnx.calibrate(network(), np.load("data.npz"), resume_path="data.npz")
    yield (
        "labels.npy",
        lambda: lba_onnx.sweep(
            network(), lba_onnx.Samples(sample, "labels.npy"), **grid, work=lba_onnx.Work(journal_path="labels.npy")
        ),
    )
    yield (
        "labels.npy",
        lambda: lba_onnx.calibrate(network(), {"x": np.load("labels.npy", mmap_mode="r")}, resume_path="labels.npy"),
    )
    yield "more.npz", lambda: swept.save("more.npz")
    yield "data.npz", lambda: calibration.save("data.npz")
    yield "data.npz", lambda: made.save("data.npz")
    yield "biases.json", lambda: convert("model.onnx", "biases.json", model_output="biases.json")
    yield "biases.json", lambda: convert_with_data("model.onnx", data, Path("biases.json"), model_output="biases.json")


def test_python_functions_refuse_too(folder):
    before = contents(folder)
    count = 0
    for victim, call in calls():
        with pytest.raises(OutputError, match=f"{Path(victim).name}: expected a file for the .* alone, got .*{victim}"):
            call()
        count += 1
    assert count > 20 and contents(folder) == before


def test_plots_refuse_too(folder):
    pytest.importorskip("matplotlib")
    os.link("data.npz", "data.svg")
    calibration = lba_onnx.calibrate("model.onnx", "data.npz")
    swept = lba_onnx.sweep(
        "model.onnx", lba_onnx.Samples("data.npz", np.zeros(4, np.int64)), families="M7E4", biases=10
    )
    for draw in (lambda: plot_node(calibration, "conv1", "data.svg"), lambda: plot_sweep(swept, "data.svg")):
        with pytest.raises(OutputError, match=r"data.svg: .* got the data, .*data.npz"):
            draw()
    os.unlink("data.svg")


def test_results_know_their_sources_after_a_change_of_folder(folder, tmp_path, monkeypatch):
    calibration = lba_onnx.calibrate("model.onnx", "data.npz")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=r"data.npz"):
        calibration.save(folder / "data.npz")
    calibration.save("data.npz")  # another of the same name
    loaded = lba_onnx.Calibration.load("data.npz")
    loaded.save("data.npz")
    assert loaded == calibration


def test_links_to_the_demos_own_files_are_not_written_over(tmp_path):
    before = contents(demo_data_path())
    os.symlink(demo_data_path() / "fashion_test_1000.npz", tmp_path / "result.json")
    with pytest.raises(OutputError, match=r"result.json: .*fashion_test_1000.npz"):
        run_demo(tmp_path)
    assert contents(demo_data_path()) == before


def test_nothing_is_looked_at_where_nothing_is_written():
    check_outputs({"report": None}, iter(lambda: pytest.fail("looked"), None))

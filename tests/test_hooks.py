"""Functions named as module:function, on the command line and in Python."""

import json
import pickle
import re
import sys

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from small_models import matmul_model

from lba_onnx import Samples
from lba_onnx.cli import main
from lba_onnx.data.hooks import function_name, load_function
from lba_onnx.evaluation import evaluate

SOURCE = """
import numpy as np

class Scores:
    def largest(outputs, labels):
        return outputs["y"].max(axis=1)

def halve(arrays):
    return {"x": (arrays["pixels"] / 2).astype(np.float32)}

def fail(*arguments):
    raise KeyError("pixels")

number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "own_hooks.py").write_text(SOURCE)
    (tmp_path / "broken_hooks.py").write_text("import nothing_of_this_name\n")
    onnx.save(matmul_model(np.eye(7, dtype=np.float32)), tmp_path / "model.onnx")
    np.savez(tmp_path / "pixels.npz", pixels=np.arange(70).reshape(10, 7))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("own_hooks", None)


def run(*arguments):
    return CliRunner().invoke(main, list(arguments))


def test_function_of_the_working_folder_is_found(folder):
    assert load_function("own_hooks:halve")({"pixels": np.array([4])})["x"].tolist() == [2.0]
    assert load_function("own_hooks:Scores.largest").name == "own_hooks:Scores.largest"
    assert load_function("math:sqrt")(9.0) == 3.0


def test_copies_for_other_processes_load_the_function_again(folder):
    copy = pickle.loads(pickle.dumps(load_function("own_hooks:halve")))
    assert copy.name == "own_hooks:halve"
    assert copy({"pixels": np.array([4])})["x"].tolist() == [2.0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_hooks", "expected a function as module:function, got 'own_hooks'"),
        ("own_hooks:", "expected a function as module:function"),
        (":halve", "expected a function as module:function"),
        ("nowhere:f", "nowhere:f: cannot import nowhere: ModuleNotFoundError"),
        ("broken_hooks:f", "cannot import broken_hooks: .*nothing_of_this_name"),
        ("own_hooks:none", "expected a function in own_hooks, got none: .*none"),
        ("own_hooks:number", "own_hooks:number: expected a function, got int"),
        ("..:f", "cannot import"),
    ],
)
def test_what_is_no_function_is_named(folder, name, message):
    with pytest.raises(ValueError, match=message):
        load_function(name)


def test_errors_of_a_loaded_function_name_it(folder):
    with pytest.raises(ValueError, match="own_hooks:fail failed: KeyError: 'pixels'"):
        load_function("own_hooks:fail")({})


def test_names_of_functions():
    assert function_name(np.linalg.norm).endswith(":norm")
    assert function_name(json.JSONDecoder().decode) == "json.decoder:JSONDecoder.decode"


def test_metric_may_be_named_in_python(folder):
    result = evaluate("model.onnx", {"x": np.eye(7, dtype=np.float32)}, metric="own_hooks:Scores.largest")
    assert (result.metric_name, result.metric.mean) == ("own_hooks:Scores.largest", 1.0)


def test_evaluate_takes_preprocess_and_metric(folder):
    data = ["--data_path", "pixels.npz", "--preprocess", "own_hooks:halve"]
    result = run("evaluate", "-i", "model.onnx", *data, "--metric", "own_hooks:Scores.largest", "--json")
    assert result.exit_code == 0, result.output
    value = json.loads(result.stdout)
    assert value["metric"]["mean"] == np.arange(6, 70, 7).mean() / 2
    text = run("evaluate", "-i", "model.onnx", *data, "--metric", "own_hooks:Scores.largest").stdout
    assert "own_hooks:Scores.largest" in text and " to " in text


@pytest.mark.parametrize("command", ["calibrate", "convert"])
def test_calibration_takes_preprocess(folder, command):
    data = ["--calibration_data_path", "pixels.npz", "--preprocess", "own_hooks:halve"]
    result = run(command, "-i", "model.onnx", "-o", "out", *data)
    assert result.exit_code == 0, result.output
    assert (folder / "out").exists()


def test_preprocess_plays_no_part_with_a_spec(folder):
    result = run("convert", "-i", "model.onnx", "-o", "out", "--spec", "M7E4b10", "--preprocess", "own_hooks:halve")
    assert result.exit_code == 1
    assert "--preprocess plays no part with --spec" in result.stderr


@pytest.mark.parametrize("option", ["--preprocess", "--metric"])
def test_errors_of_hooks_are_one_line(folder, option):
    np.savez(folder / "data.npz", x=np.eye(7, dtype=np.float32))
    result = run("evaluate", "-i", "model.onnx", "--data_path", "data.npz", option, "own_hooks:fail")
    assert result.exit_code == 1
    assert result.stderr.strip() == "error: own_hooks:fail failed: KeyError: 'pixels'"


def test_installed_module_is_found_before_one_of_the_folder_and_the_error_says_so(folder):
    """A user's json.py held the metric. Put first on the path, the folder gave json.py to everything imported later."""
    (folder / "json.py").write_text("def score(outputs, labels): return [0]\n")
    with pytest.raises(
        ValueError, match=r"in json, found in .*json.__init__.py, which hides .*json\.py .give that file"
    ):
        load_function("json:score")
    assert sys.path[0] != str(folder) and sys.path[-1] == str(folder)


RETURNED = {
    "a_list": ("[1, 2]", "expected a mapping of input names to arrays, got list"),
    "nothing": ("None", "expected a mapping of input names to arrays, got NoneType"),
    "other_name": ('{"z": x}', "expected the inputs 'x', got 'z'"),
    "float64": ('{"x": x.astype(np.float64)}', r"expected x: float32 \[\?, 7\], got float64 \[10, 7\]"),
    "an_axis_more": ('{"x": x[:, :, None]}', "expected x: float32"),
    "other_size": ('{"x": x[:, :5]}', r"expected x: float32 \[\?, 7\], got float32 \[10, 5\]"),
    "infinite": (
        '{"x": np.where(x == 30, np.float32(np.inf), x)}',
        r"sample 4: expected finite numbers as x, got inf at \[2\]",
    ),
    "ragged": ('{"x": [[1], [1, 2]]}', "expected an array or tensor"),
}


@pytest.mark.parametrize("name", RETURNED)
def test_what_preprocess_returns_is_checked_and_the_function_named(folder, name):
    code, message = RETURNED[name]
    source = (
        f"import numpy as np\ndef {name}(arrays):\n    x = arrays['pixels'].astype(np.float32)\n    return {code}\n"
    )
    (folder / f"hooks_{name}.py").write_text(source)
    result = run("evaluate", "-i", "model.onnx", "--data_path", "pixels.npz", "--preprocess", f"hooks_{name}:{name}")
    assert result.exit_code == 1
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and re.search(
        rf"error: hooks_{name}:{name} returned what does not fit: .*{message}", lines[0]
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_metric_that_is_not_finite_names_the_sample(folder, value):
    """One NaN made the mean of a metric NaN, "null" in the JSON, and no one said for which of the samples."""

    def metric(outputs, labels):
        return np.where(outputs["y"][:, 0] == 21, value, 1.0)

    x = np.arange(70, dtype=np.float32).reshape(10, 7)
    with pytest.raises(
        ValueError, match=rf"metric .*metric: expected a finite number per sample, got {value} for .*sample 3"
    ):
        evaluate("model.onnx", Samples({"x": x}, batch_size=2), metric=metric)
    x[3, 1] = np.nan  # now the model's own output is none, which the metric passes on
    assert np.isnan(evaluate("model.onnx", {"x": x}, metric=lambda outputs, labels: outputs["y"][:, 1]).metric.mean)


@pytest.mark.parametrize(
    "returned", [lambda n: np.ones(n, complex), lambda n: ["1"] * n, lambda n: 1.0, lambda n: [10**400] * n]
)
def test_metric_of_other_values_is_refused(folder, returned):
    with pytest.raises(ValueError, match="expected a number per sample"):
        evaluate("model.onnx", {"x": np.eye(7, dtype=np.float32)}, metric=lambda o, labels: returned(len(o["y"])))

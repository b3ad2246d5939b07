"""A convert with external data that is killed, at whatever instant, leaves a whole model under the output's name.

What happened: the weights took their final name first. A Ctrl-C or a SIGTERM before the model had its own left the old
model with the weights of the new one: it loaded, and computed something else, without an error. What SIGKILL left in
the folder stayed for ever.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from small_models import model, tensor

import lba_onnx
from lba_onnx.cli import main
from lba_onnx.files.temporary import is_temporary, temporary_file, temporary_folder
from lba_onnx.files.weights_names import is_weights_name

SIZE, LAYERS = 32, 3
X = np.random.default_rng(7).standard_normal((2, SIZE)).astype(np.float32)


def chain(seed, size=SIZE):
    random = np.random.default_rng(seed)
    values = [f"t{layer}" for layer in range(LAYERS + 1)]
    nodes = [onnx.helper.make_node("MatMul", [values[i], f"w{i}"], [values[i + 1]], f"n{i}") for i in range(LAYERS)]
    weights = {f"w{i}": random.standard_normal((size, size)).astype(np.float32) / 8 for i in range(LAYERS)}
    return model(nodes, [tensor(values[0], "n", size)], [tensor(values[-1], "n", size)], weights)


def command(folder, source):
    names = ["convert", "-i", folder / source, "-o", folder / "out.onnx", "--spec", "M7E4b10"]
    return [*map(str, names), "--use_external_data_format"]


def outputs(path, x=X):
    return lba_onnx.make_session(path).run(None, {"t0": x})[0].tobytes()


class Killer:
    """The process of killed_convert.py."""

    def __init__(self):
        script = Path(__file__).with_name("killed_convert.py")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self._process = subprocess.Popen([sys.executable, str(script)], **pipes)

    def convert(self, folder, source, number=None, instant=0):
        line = {"arguments": command(folder, source), "signal": number, "instant": instant}
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["code"], answer["instants"]

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@pytest.fixture(scope="module")
def killer():
    killer = Killer()
    yield killer
    killer.close()


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(("a.onnx", "b.onnx")):
        onnx.save(chain(seed), tmp_path / name)
    return tmp_path


def listing(folder):
    return {path.name for path in folder.iterdir()}


def written(folder, source, killer):
    """Returns what a model gives once it is converted."""
    assert killer.convert(folder, source)[0] == 0
    return outputs(folder / "out.onnx")


def assert_only_the_output(folder, *others):
    names = listing(folder) - {"a.onnx", "b.onnx", "out.onnx", *others}
    (weights,) = names
    assert is_weights_name(weights)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_output_is_whole_at_every_instant(folder, killer, number):
    new = written(folder, "b.onnx", killer)
    old = written(folder, "a.onnx", killer)
    assert old != new
    found = set()
    with temporary_file(folder) as file, temporary_folder(folder) as inner:  # a concurrent run's
        others = file.path.name, inner.name, inner.with_suffix(".lock").name
        _, instants = killer.convert(folder, "b.onnx")
        assert instants > 25
        for instant in range(1, instants + 1):
            assert written(folder, "a.onnx", killer) == old
            assert_only_the_output(folder, *others)
            code, _ = killer.convert(folder, "b.onnx", number, instant)
            assert code == (-9 if number == signal.SIGKILL else 128 + number), instant
            got = outputs(folder / "out.onnx")
            assert got in (old, new), instant
            found.add(got)
            left = listing(folder) - {"a.onnx", "b.onnx", "out.onnx"}
            assert all(is_temporary(name) or is_weights_name(name) for name in left), instant
            if number != signal.SIGKILL:
                assert_only_the_output(folder, *others)
        assert written(folder, "a.onnx", killer) == old
        assert_only_the_output(folder, *others)
    assert found == {old, new}


def test_signals_to_a_process_that_has_begun_to_write(tmp_path):
    """As a user does it: a process of its own, killed once its temporary file is seen."""
    x = np.ones((1, 600), np.float32)
    for seed, name in enumerate(("a.onnx", "b.onnx")):
        onnx.save(chain(seed, 600), tmp_path / name)
    results = {}
    for source in ("b.onnx", "a.onnx"):
        assert CliRunner().invoke(main, command(tmp_path, source)).exit_code == 0
        results[outputs(tmp_path / "out.onnx", x)] = listing(tmp_path)
    old = outputs(tmp_path / "out.onnx", x)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
        code = [sys.executable, "-c", "from lba_onnx.cli import main; main()", *command(tmp_path, "b.onnx")]
        process = subprocess.Popen(code, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not any(is_temporary(name) for name in listing(tmp_path)):
            time.sleep(0.0005)
        process.send_signal(number)
        _, said = process.communicate()
        got = outputs(tmp_path / "out.onnx", x)
        assert got in results
        if number != signal.SIGKILL:  # and if the process was not done before
            assert process.returncode in (0, 128 + number) and listing(tmp_path) == results[got]
            words = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
            assert said.strip() == ("" if process.returncode == 0 else f"error: {words}")
        assert CliRunner().invoke(main, command(tmp_path, "a.onnx")).exit_code == 0
        assert outputs(tmp_path / "out.onnx", x) == old and listing(tmp_path) == results[old]


def test_calibrating_convert_that_is_terminated_cleans_up(tmp_path):
    """Its folder with the model that is yet to be corrected stayed beside the output."""
    external = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    onnx.save(chain(0), tmp_path / "model.onnx", **external)
    np.savez(tmp_path / "data.npz", t0=np.ones((24, SIZE), np.float32))
    (tmp_path / "slow.py").write_text("import time\ndef preprocess(feeds): time.sleep(0.05); return feeds\n")
    options = ["convert", "-i", "model.onnx", "-o", "out.onnx", "--calibration_data_path", "data.npz"]
    options += ["--batch_size", "1", "--preprocess", "slow:preprocess"]
    before = {*listing(tmp_path), "__pycache__"}
    code = [sys.executable, "-c", "from lba_onnx.cli import main; main()", *options]
    process = subprocess.Popen(code, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not any(is_temporary(name) for name in listing(tmp_path)):
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()
    process.terminate()
    _, said = process.communicate()
    assert (process.returncode, said.strip().splitlines()[-1]) == (143, "error: ended by SIGTERM")
    assert listing(tmp_path) <= before

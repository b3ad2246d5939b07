"""Runs `lba-onnx convert` again and again in copies of this process, each killed at a chosen instant.

    python killed_convert.py  <  lines of JSON {"arguments": [...], "signal": 9 or null, "instant": 12}
                              >  lines of JSON {"code": -9, "instants": 12}

An instant is a step that Python reports to audit hooks (files opened, renamed, removed, folders listed, locks taken),
or a piece of weights written, from the first temporary file on. The signal comes just before the step, so that all
steps together leave no state of the folder out.
"""

import contextlib
import json
import os
import sys
import tempfile

import numpy as np
import onnx

from lba_onnx.cli import main
from lba_onnx.rewrite import external_data

_STEPS = {
    "open", "os.rename", "os.remove", "os.listdir", "os.scandir", "os.mkdir", "os.rmdir", "fcntl.flock", "test.write",
}  # fmt: skip


class _Aim:
    """Counts the steps in a folder, and sends the signal before one of them."""

    def __init__(self, signal, instant):
        self.count, self._signal, self._instant = 0, signal, instant

    def __call__(self, event, arguments):
        if event not in _STEPS or (self.count == 0 and "lba_onnx-" not in str(arguments[:1])):
            return
        self.count += 1
        if self._signal is not None and self.count == self._instant:
            os.kill(os.getpid(), self._signal)


def _announce_writes():
    write = external_data.HashingFile.write

    def announced(self, content):
        sys.audit("test.write")
        write(self, content)

    external_data.HashingFile.write = announced


def _run(command, pipe):
    aim = _Aim(command["signal"], command["instant"])
    sys.addaudithook(aim)
    code = 2
    try:
        main(command["arguments"])
    except SystemExit as ended:
        code = ended.code
    finally:
        os.write(pipe, str(aim.count).encode())
        os._exit(code)


def _answer(command):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        _run(command, writing)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    count = os.read(reading, 20)
    os.close(reading)
    return {"code": os.waitstatus_to_exitcode(status), "instants": int(count or 0)}


def _warm_up():
    """Imports all that convert imports, so that no step is one of an import."""
    weights = onnx.numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    ends = [[onnx.helper.make_tensor_value_info(name, 1, [2, 2])] for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("MatMul", ["x", "w"], ["y"])], "g", *ends, [weights])
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        onnx.save(onnx.helper.make_model(graph), f"{folder}/i.onnx")
        main(
            ["convert", "-i", f"{folder}/i.onnx", "-o", f"{folder}/o.onnx", "--spec", "M7E4b10"], standalone_mode=False
        )


if __name__ == "__main__":
    _warm_up()
    _announce_writes()
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)

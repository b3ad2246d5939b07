"""Runs converted models in whatever onnxruntime is installed and compares bits. Imports nothing of this package.

    python smoke_onnxruntime.py LIBRARY FOLDER

FOLDER holds pairs of a model NAME.onnx and NAME.npz: its inputs by name, "expected", and "shape", the output's shape as
text, in which "?" stands for any symbol; or a model NAME.onnx beside NAME.txt, words that the refusal must contain.
"""

import pathlib
import sys

import numpy as np
import onnxruntime


def make_session(library: str, path: pathlib.Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.register_custom_ops_library(library)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def check_run(library: str, path: pathlib.Path) -> None:
    arrays = dict(np.load(path.with_suffix(".npz")))
    expected, shape = arrays.pop("expected"), str(arrays.pop("shape"))
    for threads in (1, 2):
        session = make_session(library, path, threads)
        got_shape = [d if str(d) in shape.split() else "?" for d in session.get_outputs()[0].shape]
        assert " ".join(map(str, got_shape)) == shape, f"{path.name}: expected shape {shape}, got {got_shape}"
        got = session.run(None, arrays)[0]
        assert got.dtype == expected.dtype and got.shape == expected.shape, f"{path.name}: {got.dtype} {got.shape}"
        different = int((got != expected).sum())
        assert different == 0, f"{path.name}: {different} of {got.size} values differ with {threads} threads"


def check_refusal(library: str, path: pathlib.Path) -> None:
    words = path.with_suffix(".txt").read_text()
    try:
        make_session(library, path, 1)
    except Exception as error:
        assert words in str(error), f"{path.name}: expected {words!r}, got {error}"
    else:
        raise AssertionError(f"{path.name}: expected a refusal, got a session")


def main() -> None:
    library, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    models = sorted(folder.glob("*.onnx"))
    for path in models:
        (check_refusal if path.with_suffix(".txt").exists() else check_run)(library, path)
    print(f"onnxruntime {onnxruntime.__version__}: {len(models)} models")


main()

"""One binary for the oldest supported onnxruntime, a middle one and the newest, each in an environment of its own.

The environments are kept in ~/.cache/lba_onnx/onnxruntime (or $LBA_ONNX_CACHE/onnxruntime): made once, used again.
"""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from attention_models import CASES
from integer_models import ALL_PAIRS, operator_case
from nbits_models import draw
from onnx.reference import ReferenceEvaluator
from operator_models import SPEC, expected_conv, expected_gemm, expected_matmul, node_model, old_attributes
from recurrent_models import Case, compute
from test_attention import by_reference
from test_lowering_conv_transpose import slow_conv_transpose, up_model

from lba_onnx import matmul, operators, ops
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.rewrite import convert
from lba_onnx.rewrite.attributes import set_attributes
from lba_onnx.session import get_library_path

VERSIONS = {"1.17.3": "numpy<2", "1.22.1": "numpy", None: "numpy"}  # None: the newest
OLDEST_PYTHON_FOR_ALL = (3, 12)  # 1.17.3 has no wheels for later ones
INTEGER_OPERATORS = ["QLinearConv", "QLinearMatMul", "QGemm", "QGemm-float", "ConvInteger", "MatMulInteger"]
INTEGER_OPERATORS += ["MatMulIntegerToFloat"]
INTEGER_TWINS = [getattr(ops, name) for name, schema in operators.OPERATORS.items() if schema.takes_codes]
SMOKE = Path(__file__).with_name("smoke_onnxruntime.py")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)

    def draw(dtype, **shapes):
        return {key: rng.standard_normal(shape).astype(dtype) for key, shape in shapes.items()}

    def write(name, op_type, operands, declared, constant, attributes, expected, shape, of_spec=None):
        inputs = {key: (operands[key].dtype, dims) for key, dims in declared.items()}
        constants = {key: operands[key] for key in constant}
        model = node_model(
            op_type, inputs, constants, {**(of_spec or SPEC.to_attributes()), **attributes}, output_type=expected.dtype
        )
        (folder / f"{name}.onnx").write_bytes(model)
        np.savez(folder / f"{name}.npz", **{key: operands[key] for key in declared}, expected=expected, shape=shape)

    for dtype in (np.float32, np.float16):
        name = np.dtype(dtype).name
        ab = draw(dtype, A=(2, 70, 50), B=(50, 33))
        write(f"matmul_{name}", "LbaMatMul", ab, {"A": ["N", "T", 50]}, "B", {}, expected_matmul(ab, SPEC), "N T 33")
        of_before = old_attributes(SPEC)
        expected = expected_matmul(ab, SPEC)
        write(f"of_before_{name}", "LbaMatMul", ab, {"A": ["N", "T", 50]}, "B", {}, expected, "N T 33", of_before)
        nearest = AccumulatorSpec.parse("M7E4b10,round=nearest")
        expected = expected_matmul(ab, nearest)
        of_nearest = nearest.to_attributes()
        write(f"nearest_{name}", "LbaMatMul", ab, {"A": ["N", "T", 50]}, "B", {}, expected, "N T 33", of_nearest)
        ab = draw(dtype, A=(2, 1, 7, 20), B=(3, 20, 5))
        declared = {"A": ["N", 1, 7, "D"], "B": ["H", "D", 5]}
        write(f"batches_{name}", "LbaMatMul", ab, declared, "", {}, expected_matmul(ab, SPEC), "N H 7 5")
        abc = draw(dtype, A=(20, 3), B=(5, 20), C=(5,))
        gemm = {"transA": 1, "transB": 1, "alpha": 0.3, "beta": -2.0}
        write(f"gemm_{name}", "LbaGemm", abc, {"A": [20, "N"]}, "BC", gemm, expected_gemm(abc, SPEC, gemm), "N 5")
        write(f"no_c_{name}", "LbaGemm", abc, {"A": [20, "N"]}, "B", gemm, _without_c(abc, gemm), "N 5")
        abc = draw(dtype, A=(2, 4, 9, 8), B=(6, 2, 3, 3), C=(6,))
        conv, pads = {"group": 2, "strides": [1, 2], "auto_pad": "SAME_LOWER"}, [1, 1, 1, 0]
        expected = expected_conv(abc, SPEC, conv, pads)
        write(f"conv_{name}", "LbaConv", abc, {"A": ["N", 4, "H", "W"]}, "BC", conv, expected, "N 6 H ?")
        write(f"rank_{name}", "LbaConv", abc, {"A": None}, "BC", conv, expected, "? 6 ? ?")

    _write_integer_models(folder)
    _write_nbits_models(folder)
    _write_lowered_models(folder)
    _write_attention_models(folder)
    bad = node_model(
        "LbaConv", {"A": (np.float32, [1, 2, 9])}, {"B": abc["B"][0, :1].astype(np.float32)}, SPEC.to_attributes()
    )
    _write_refusal(
        folder, "shape", bad, "node 'node' (LbaConv): expected as many channels in X as group times those in W"
    )
    bad = node_model("LbaMatMul", {"A": (np.float32, [1, 50])}, {}, {**old_attributes(SPEC), "chunk_size": -1})
    _write_refusal(folder, "inputs", bad, "LbaMatMul")
    bad = node_model("LbaMatMul", {"A": (np.float64, [1, 5]), "B": (np.float64, [5, 2])}, {}, SPEC.to_attributes())
    _write_refusal(folder, "type", bad, "LbaMatMul")
    bad = node_model(
        "LbaMatMul", {"A": (np.float32, [1, 5]), "B": (np.float32, [5, 2])}, {}, {"product_format": "M7E4b12"}
    )
    _write_refusal(folder, "format", bad, "node 'node' (LbaMatMul): attribute accumulator_format: expected a format")
    return folder


def _write_integer_models(folder: Path) -> None:
    """Write an operator of integers of each kind, each with other types, and one that quantizes or not."""
    pairs = itertools.cycle(ALL_PAIRS)
    for op_type, (x, w) in zip(INTEGER_OPERATORS, pairs, strict=False):
        case = operator_case(op_type, x, w, per_channel=True)
        converted, _ = convert(case.model, "int14-wrap")
        expected = ReferenceEvaluator(converted, new_ops=INTEGER_TWINS).run(None, case.feeds)[0]
        (folder / f"integer_{op_type}.onnx").write_bytes(converted.SerializeToString())
        shape = " ".join(map(str, expected.shape))
        np.savez(folder / f"integer_{op_type}.npz", **case.feeds, expected=expected, shape=shape)
    case = operator_case("QLinearConv", "uint8", "int8")
    converted, _ = convert(case.model, "int14-wrap")
    set_attributes(converted.graph.node[-1], {"accumulator": "M7E4b10"})
    _write_refusal(
        folder, "sort", converted.SerializeToString(), "node 'node' (LbaQLinearConv): expected an accumulator"
    )


def _write_nbits_models(folder: Path) -> None:
    """Write products with weights of few bits, of each combination of inputs."""
    combinations = itertools.product((np.float32, np.float16), (("", 0), ("codes", 0), ("floats", 0), ("codes", 1)))
    for dtype, (zero_points, has_g_idx) in combinations:
        case = draw(1, rows=9, zero_points=zero_points, has_g_idx=bool(has_g_idx), dtype=dtype, accuracy_level=4)
        name = f"nbits_{np.dtype(dtype).name}_{zero_points or 'none'}_{has_g_idx}"
        model = case.model("lba_onnx", dimensions=["N", case.attributes["K"]], **SPEC.to_attributes())
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
        expected = ReferenceEvaluator(model, new_ops=[ops.LbaMatMulNBits]).run(None, {"A": case.a})[0]
        np.savez(folder / f"{name}.npz", A=case.a, expected=expected, shape=f"N {case.attributes['N']}")


def _write_lowered_models(folder: Path) -> None:
    """Write an RNN, whose recurrent product stands in a Scan, and a ConvTranspose, which becomes a Conv."""
    rng = np.random.default_rng(1)
    shapes = {"X": (4, 2, 3), "W": (2, 5, 3), "R": (2, 5, 5), "sequence_lens": (2,)}
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    arrays["sequence_lens"] = np.array([4, 2], np.int32)
    attributes = {"hidden_size": 5, "direction": "bidirectional", "activations": ["Relu", "Relu"]}
    case = Case("RNN", attributes, arrays, ["Y"])
    spec = str(SPEC)
    y = compute(case, lambda a, b, _: matmul(a, b, spec), activation="Relu")["Y"]
    _write_lowered(folder, "recurrent", case.model(), case.feeds, y)
    x = rng.standard_normal((2, 4, 3, 4)).astype(np.float32)
    w, b = rng.standard_normal((4, 3, 3, 5)).astype(np.float32), np.zeros(3, np.float32)
    up = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    _write_lowered(folder, "up", up_model(x, {"w": w, "b": b}, up), {"x": x}, slow_conv_transpose(x, w, b, up, spec))


def _write_attention_models(folder: Path) -> None:
    """Write attention of each kind, with caches and without, one behind a rotation, one with all optional inputs."""
    names = ["groups: rotary, packed", "groups: bias, sinks and cap", "heads: bias and past", "heads: mask of keys"]
    for number, name in enumerate([*names, "standard: past", "standard: joined"]):
        for dtype in (np.float32, np.float16):
            if dtype == np.float16 and "rotary" in name:
                continue  # older ones have no RotaryEmbedding of float16
            case = CASES[name].astype(dtype)
            model, _ = convert(case.model, SPEC)
            model.opset_import[0].version = 17
            expected = by_reference(model, case)[0]
            target = folder / f"attention_{number}_{np.dtype(dtype).name}.onnx"
            target.write_bytes(model.SerializeToString())
            shape = " ".join(str(size) for size in expected.shape)
            np.savez(target.with_suffix(".npz"), **case.feeds, expected=expected, shape=shape)


def _write_lowered(folder: Path, name: str, model: onnx.ModelProto, feeds: dict, expected: np.ndarray) -> None:
    (folder / f"{name}.onnx").write_bytes(convert(model, SPEC)[0].SerializeToString())
    np.savez(folder / f"{name}.npz", **feeds, expected=expected, shape=" ".join("?" * expected.ndim))


def _without_c(operands, attributes):
    return expected_gemm({key: operands[key] for key in "AB"}, SPEC, attributes)


def _write_refusal(folder: Path, name: str, model: bytes, words: str) -> None:
    (folder / f"{name}.onnx").write_bytes(model)
    (folder / f"{name}.txt").write_text(words)


def environment(version: str | None, numpy_requirement: str) -> Path:
    """The Python of an environment with this onnxruntime; skips, with pip's reason, where it cannot be installed."""
    if version is not None and sys.version_info >= (OLDEST_PYTHON_FOR_ALL[0], OLDEST_PYTHON_FOR_ALL[1] + 1):
        pytest.skip(f"onnxruntime {version} has no wheel for Python {sys.version_info.major}.{sys.version_info.minor}")
    cache = Path(os.environ.get("LBA_ONNX_CACHE") or Path.home() / ".cache" / "lba_onnx")
    tag = f"{version or 'newest'}-cp{sys.version_info.major}{sys.version_info.minor}"
    folder = cache / "onnxruntime" / tag
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
        wanted = "onnxruntime" if version is None else f"onnxruntime=={version}"
        command = [python, "-m", "pip", "install", "-q", "--only-binary=:all:", wanted, numpy_requirement]
        installed = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
        if installed.returncode != 0:
            pytest.skip(f"pip cannot install {wanted}: {installed.stderr.strip().splitlines()[-1:]}")
        complete.touch()
    return python


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_the_library_runs_in_this_onnxruntime(version, models):
    python = environment(version, VERSIONS[version])
    done = subprocess.run([python, SMOKE, get_library_path(), models], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"onnxruntime {version or ''}" in done.stdout and "49 models" in done.stdout


def test_the_library_runs_in_the_installed_onnxruntime(models):
    done = subprocess.run(
        [sys.executable, SMOKE, get_library_path(), models], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

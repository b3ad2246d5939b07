"""The demo network, quantized by onnxruntime's own quantizer, from the command line to outputs."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from integer_models import run
from processor import has_vnni

import lba_onnx
from lba_onnx.cli import main

DEMO = Path(__file__).parents[1] / "models" / "demo"
SPECS = ("int32-wrap", "int16-wrap")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    with np.load(DEMO / "fashion_test_1000.npz") as data:
        return data["image"][:64]


@pytest.fixture(scope="module", params=["QDQ", "QOperator"])
def quantized(request, tmp_path_factory) -> Path:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    with np.load(DEMO / "fashion_calibration_256.npz") as data:
        batches = iter([{"image": data["image"][:32]}])

    class Reader(CalibrationDataReader):
        def get_next(self):
            return next(batches, None)

    path = tmp_path_factory.mktemp("quantized") / f"{request.param}.onnx"
    source = shutil.copy(DEMO / "fashion_cnn.onnx", path.parent)  # the quantizer writes beside it
    quantize_static(
        Path(source), path, Reader(), quant_format=QuantFormat[request.param], per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, reduce_range=not has_vnni(),  # exact here
    )  # fmt: skip
    return path


@pytest.mark.parametrize("spec", SPECS)
def test_the_command_line_converts_a_quantized_model(quantized, images, tmp_path, spec):
    output = tmp_path / "converted.onnx"
    arguments = ["convert", "-i", str(quantized), "-o", str(output), "--spec", spec, "--json"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    ledger = json.loads(result.stdout)["report"]
    assert (ledger["converted"], ledger["left"]) == (10, 0)
    assert {(node["element_type"], node["spec"]["accumulator"]) for node in ledger["nodes"]} == {("uint8*int8", spec)}
    model = onnx.load(output)
    onnx.checker.check_model(model, full_check=True)
    found, exact = run(model, {"image": images}), run(onnx.load(quantized), {"image": images})
    assert (found == exact).all() == (spec == "int32-wrap")


def test_a_converted_quantized_model_is_listed_and_left_by_the_next_conversion(quantized):
    converted, _ = lba_onnx.convert(quantized, "int12-saturate")
    entries = lba_onnx.rewrite.list_candidates(converted).entries
    assert {(entry.element_type, entry.reason, str(entry.spec)) for entry in entries} == {
        ("uint8*int8", "already converted", "int12-saturate")
    }
    twice, report = lba_onnx.convert(converted, "M7E4b10")
    assert not report.converted and twice.graph == converted.graph

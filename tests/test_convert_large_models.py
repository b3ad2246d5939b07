"""A model of more than 2 GB: converted without its weights ever being in memory."""

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from rewrite_models import value

MAX_RESIDENT_MIB = 600
LAYERS, SIZE = 9, 8192  # 256 MiB a layer, 2.25 GiB together

CONVERT = """
import sys
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.rewrite import convert
model, report = convert(sys.argv[1], AccumulatorSpec.parse("M7E4b10"), model_output=sys.argv[2])
print(len(report.converted))
print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.fixture
def large_model(tmp_path: Path) -> Path:
    """Writes a chain of square products, whose weights are the zeros of a sparse file."""
    layer_bytes = 4 * SIZE * SIZE
    nodes, tensors = [], []
    for layer in range(LAYERS):
        nodes.append(helper.make_node("MatMul", [f"x{layer}", f"w{layer}"], [f"x{layer + 1}"], name=f"layer{layer}"))
        tensor = onnx.TensorProto(name=f"w{layer}", data_type=TensorProto.FLOAT, dims=[SIZE, SIZE])
        tensor.data_location = TensorProto.EXTERNAL
        for key, text in (("location", "weights.bin"), ("offset", layer * layer_bytes), ("length", layer_bytes)):
            tensor.external_data.add(key=key, value=str(text))
        tensors.append(tensor)
    ends = [value("x0", shape=[1, SIZE])], [value(f"x{LAYERS}", shape=[1, SIZE])]
    model = helper.make_model(helper.make_graph(nodes, "large", *ends, tensors), ir_version=8)
    path = tmp_path / "large.onnx"
    path.write_bytes(model.SerializeToString())
    (tmp_path / "weights.bin").touch()
    os.truncate(tmp_path / "weights.bin", LAYERS * layer_bytes)
    return path


def convert_apart(source: Path, target: Path) -> tuple[int, int]:
    """Returns the number of converted nodes and the peak of resident memory, in MiB, of a process that converts."""
    command = [sys.executable, "-c", CONVERT, str(source), str(target)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    converted, peak_mib = map(int, result.stdout.split())
    return converted, peak_mib


def test_output_beside_the_input_takes_little_memory_and_no_disk(large_model: Path):
    output = large_model.with_name("converted.onnx")
    converted, peak_mib = convert_apart(large_model, output)
    assert converted == LAYERS
    assert peak_mib < MAX_RESIDENT_MIB
    assert {path.name for path in large_model.parent.iterdir()} == {"large.onnx", "weights.bin", "converted.onnx"}
    onnx.checker.check_model(output)


@pytest.mark.slow
def test_output_elsewhere_streams_the_data(large_model: Path, tmp_path: Path):
    output = tmp_path / "elsewhere" / "converted.onnx"
    output.parent.mkdir()
    converted, peak_mib = convert_apart(large_model, output)
    assert converted == LAYERS
    assert peak_mib < MAX_RESIDENT_MIB
    (weights,) = output.parent.glob("converted.onnx.lba-*.data")
    assert weights.stat().st_size == LAYERS * 4 * SIZE * SIZE
    onnx.checker.check_model(output)
    weights.unlink()

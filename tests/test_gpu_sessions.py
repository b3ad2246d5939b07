"""onnxruntime sessions whose products a CUDA device computes have the bits of the CPU provider's."""

from collections.abc import Sequence
from typing import Any

import gpu_device
import numpy as np
import pytest

from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.native.cuda import kernel_counts

onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
pytest.importorskip("onnx", reason="needs onnx")

from benchmarks.nodes import make_model  # noqa: E402
from lba_onnx.session import make_session  # noqa: E402

pytestmark = gpu_device.marks()
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
WINDOW = {"strides": [2, 1], "pads": [1, 1, 1, 0], "dilations": [1, 1]}
SPECS = ("M7E4b10", "M4E3b6,chunk=5,underflow=off", "M7E4b14/M7E4b14")


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


# Operator, inputs, constants, attributes.
NODES = {
    "product with a constant": ("MatMul", {"a": draw(3, 33, 40)}, {"b": draw(40, 50)}, {}),
    "product of two inputs": ("MatMul", {"a": draw(2, 1, 33, 40), "b": draw(3, 40, 17)}, {}, {}),
    "gemm": ("Gemm", {"a": draw(40, 33)}, {"b": draw(40, 50), "c": draw(50)}, {"transA": 1, "alpha": 0.5, "beta": 2.0}),
    "convolution": ("Conv", {"x": draw(2, 8, 13, 11)}, {"w": draw(16, 8, 3, 3), "b": draw(16)}, WINDOW),
    "depthwise": ("Conv", {"x": draw(2, 8, 13, 11)}, {"w": draw(8, 1, 3, 3)}, {**WINDOW, "group": 8}),
}


def run(model: Any, feeds: dict[str, np.ndarray], providers: Sequence[str] = (CPU,), offloads: bool = False) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if offloads:
        options.add_session_config_entry("lba_onnx.offload", "cuda")
    session = make_session(model, options, providers)
    results = [session.run(None, feeds)[0] for _ in range(3)]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
    return results[0]


@pytest.mark.parametrize("text", SPECS)
@pytest.mark.parametrize("name", NODES)
def test_offloaded_node_has_the_bits_of_the_processor(name: str, text: str) -> None:
    op_type, inputs, constants, attributes = NODES[name]
    model = make_model(op_type, inputs, constants, AccumulatorSpec.parse(text), attributes)
    expected = run(model, inputs)
    before = kernel_counts()
    np.testing.assert_array_equal(run(model, inputs, offloads=True), expected)
    assert sum(kernel_counts().values()) > sum(before.values()), "the device computed nothing"


@pytest.mark.skipif(
    CUDA not in onnxruntime.get_available_providers(), reason="this onnxruntime has no CUDAExecutionProvider"
)
@pytest.mark.parametrize("text", SPECS)
@pytest.mark.parametrize("name", NODES)
def test_node_of_the_cuda_provider_has_the_bits_of_the_processor(name: str, text: str) -> None:
    op_type, inputs, constants, attributes = NODES[name]
    model = make_model(op_type, inputs, constants, AccumulatorSpec.parse(text), attributes)
    np.testing.assert_array_equal(run(model, inputs, (CUDA, CPU)), run(model, inputs))

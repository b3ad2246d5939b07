"""MatMulBnb4 of com.microsoft: the weights that it stands for are onnxruntime's bits, its products those of MatMul."""

import numpy as np
import pytest
from lowered_models import MICROSOFT, check_equal, lowered, one_node, refusal, run
from numpy.typing import NDArray
from onnx import helper

import lba_onnx

SHAPES = [(16, 32, 16), (33, 7, 32), (5, 3, 64), (40, 9, 16)]  # depth, columns, block size: short blocks, half bytes


def bnb4(a: NDArray[np.float32], columns: int, block_size: int, **attributes: int):
    rng = np.random.default_rng(columns)
    depth = a.shape[-1]
    constants = {
        "codes": rng.integers(0, 256, -(-depth * columns // 2)).astype(np.uint8),
        "largest": rng.random(-(-depth * columns // block_size)).astype(np.float32),
    }
    sizes = {"K": depth, "N": columns, "block_size": block_size}
    node = helper.make_node(
        "MatMulBnb4", ["a", *constants], ["y"], "proj", domain=MICROSOFT, **{**sizes, "quant_type": 1, **attributes}
    )
    return one_node(node, {"a": a}, constants)


@pytest.mark.parametrize("quant_type", [0, 1])
@pytest.mark.parametrize(("depth", "columns", "block_size"), SHAPES)
def test_weights_are_onnxruntimes_bits(depth: int, columns: int, block_size: int, quant_type: int):
    unit_rows = np.eye(depth, dtype=np.float32)  # each sum has one weight that is not multiplied by zero
    model = bnb4(unit_rows, columns, block_size, quant_type=quant_type)
    apart = check_equal(model, {"a": unit_rows})
    assert apart.graph.node[-1].op_type == "MatMul" and apart.graph.node[-1].name == "proj"
    assert run(apart, {"a": unit_rows})[0].any()


def test_it_is_converted_and_its_codes_stay():
    a = np.random.default_rng(0).standard_normal((6, 48)).astype(np.float32)
    model = bnb4(a, 20, 32)
    converted, report = lba_onnx.convert(model, "M7E4b10")
    (entry,) = report.converted
    assert (entry.node, entry.op_type, entry.weights) == ("proj", "com.microsoft.MatMulBnb4", "derived from constants")
    assert any(tensor == model.graph.initializer[0] for tensor in converted.graph.initializer)
    weights = run(lowered(bnb4(np.eye(48, dtype=np.float32), 20, 32))[0], {"a": np.eye(48, dtype=np.float32)})[0]
    found = lba_onnx.make_session(converted).run(None, {"a": a})[0]
    np.testing.assert_array_equal(found, lba_onnx.matmul(a, weights, "M7E4b10"))
    unselected = lba_onnx.convert(model, "M7E4b10", selection=lba_onnx.Selection(nodes_to_exclude=["proj"]))[0]
    assert unselected.graph == model.graph


def test_an_unknown_format_is_left():
    reason = refusal(bnb4(np.ones((2, 16), np.float32), 4, 16, quant_type=2))
    assert reason == "expected the attributes K, N and block_size, and a quant_type of 0 or 1"

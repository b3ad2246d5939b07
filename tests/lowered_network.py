"""A small network of operators that are taken apart, with data for it."""

import numpy as np
import onnx
from onnx import helper

MICROSOFT = "com.microsoft"
LENGTH, DEPTH, HEADS = 5, 8, 2


def network() -> onnx.ModelProto:
    """Return a model: convolution, attention, an Einsum with weights, two fused products."""
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)

    nodes = [
        helper.make_node("FusedConv", ["x", "conv_w", "conv_b"], ["c"], "conv", domain=MICROSOFT, activation="Relu"),
        helper.make_node("Transpose", ["c"], ["t"], "transpose", perm=[0, 2, 1]),
        helper.make_node("Attention", ["t", "att_w", "att_b"], ["a"], "attention", domain=MICROSOFT, num_heads=HEADS),
        helper.make_node("Einsum", ["a", "ein_w"], ["e"], "einsum", equation="bsd,hkd->bshk"),
        helper.make_node("ReduceMean", ["e"], ["m"], "mean", axes=[1], keepdims=0),
        helper.make_node("Reshape", ["m", "flat"], ["r"], "flatten"),
        helper.make_node(
            "FusedGemm", ["r", "gemm_w", "gemm_b"], ["g"], "gemm", domain=MICROSOFT, transB=1, activation="Tanh"
        ),
        helper.make_node("FusedMatMul", ["g", "out_w"], ["y"], "out", domain=MICROSOFT, transB=1, alpha=0.5),
    ]
    arrays = {
        "conv_w": weights(DEPTH, 3, 2),
        "conv_b": weights(DEPTH),
        "att_w": weights(DEPTH, 3 * DEPTH),
        "att_b": weights(3 * DEPTH),
        "ein_w": weights(2, 6, DEPTH),
        "flat": np.asarray([0, 12]),
        "gemm_w": weights(7, 12),
        "gemm_b": weights(7),
        "out_w": weights(4, 7),
    }
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", 1, ["batch", 3, LENGTH + 1])],
        [helper.make_tensor_value_info("y", 1, ["batch", 4])],
        [onnx.numpy_helper.from_array(values, name) for name, values in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def samples(count: int = 16, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 3, LENGTH + 1)).astype(np.float32)

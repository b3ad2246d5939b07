"""Models of one integer node in every form that onnxruntime's quantizers write, with random codes and scales."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from processor import has_vnni

import lba_onnx

DTYPES = {"uint8": np.uint8, "int8": np.int8}
PAIRS = [("uint8", "uint8"), ("uint8", "int8"), ("int8", "int8")]
"""What onnxruntime's kernels pair; it has none of int8 and uint8 but for MatMulInteger and ConvInteger."""

ALL_PAIRS = [*PAIRS, ("int8", "uint8")]
WINDOW = {"pads": [1, 0, 1, 1], "strides": [1, 2]}


def code_range(dtype: str, beside: str | None = None) -> tuple[int, int]:
    """Return the least code and one more than the largest.

    int8 beside uint8 has 7 bits where the processor lacks VNNI: there onnxruntime would saturate sums of pairs.
    """
    limits, saturates = np.iinfo(DTYPES[dtype]), (dtype, beside) == ("int8", "uint8") and not has_vnni()
    parts = 2 if saturates else 1
    return limits.min // parts, (limits.max + 1) // parts


@dataclass
class Draw:
    """Random values, the same for one seed."""

    seed: int = 0
    rng: np.random.Generator = field(init=False)

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)

    def codes(self, dtype: str, *shape: int, beside: str | None = None) -> np.ndarray:
        """Return codes to be multiplied by those of another type."""
        return self.rng.integers(*code_range(dtype, beside), shape).astype(DTYPES[dtype])

    def scale(self, *shape: int) -> np.ndarray:
        return np.exp2(self.rng.uniform(-9, -4, shape)).astype(np.float32)

    def bias(self, size: int) -> np.ndarray:
        return self.rng.integers(-20000, 20000, size).astype(np.int32)


def make_model(nodes, inputs: dict[str, Any], constants: dict[str, Any], output: tuple[str, Any], opset: int = 17):
    """Return a model; `inputs` maps names to (dtype, shape), `output` is a name and dtype."""
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
        for name, (dtype, shape) in inputs.items()
    ]
    name, dtype = output
    rank = max(len(shape) for _, shape in inputs.values())
    result = helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [None] * rank)
    tensors = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
    graph = helper.make_graph(list(nodes), "graph", values, [result], tensors)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10 if opset > 20 else 8)


def run(model, feeds: dict[str, np.ndarray], *, optimized: bool = True, threads: int = 1) -> np.ndarray:
    """Run a model, converted or not."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.qdqisint8allowed", "1")  # else int8 activations are not fused on x86
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    lba_onnx.register_custom_ops(options)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


@dataclass(frozen=True)
class Case:
    """A model of one node, what it is fed, and what its sums are made of.

    Attributes:
        sums: The arguments of the product: codes and zero points, and of a convolution its window.
        after: What follows the sums: scales, biases, the type of the result.
    """

    model: onnx.ModelProto
    feeds: dict[str, np.ndarray]
    sums: dict[str, Any]
    after: dict[str, Any]


def product_operands(draw: Draw, x: str, w: str, per_channel: bool, conv: bool, has_points: bool = True):
    """Return operands, zero points, scales and bias of a matrix product or a convolution."""
    rows, depth, outputs = 7, 37, 10
    shapes = ((2, 3, 6, 7), (outputs, 3, 3, 2)) if conv else ((rows, depth), (depth, outputs))
    many = (outputs,) if per_channel else ()
    w_zero = draw.codes(w) if conv or not per_channel else draw.codes(w, outputs)
    if conv and per_channel:  # onnxruntime's QLinearConv wants them equal
        w_zero = np.full(outputs, w_zero)
    return {
        "x": draw.codes(x, *shapes[0], beside=w),
        "x_scale": draw.scale(),
        "x_zero_point": draw.codes(x, beside=w) if has_points else np.zeros((), DTYPES[x]),
        "w": draw.codes(w, *shapes[1], beside=x),
        "w_scale": draw.scale(*many),
        "w_zero_point": w_zero if has_points else np.zeros_like(w_zero),
        "y_scale": draw.scale() * np.float32(32),
        "y_zero_point": draw.codes(x),
        "bias": draw.bias(outputs),
        "float_bias": draw.rng.standard_normal(outputs).astype(np.float32),
    }


def operator_case(op_type: str, x: str, w: str, *, per_channel: bool = False, seed: int = 0) -> Case:
    """Return a model of one operator of integers: a standard one, or one of com.microsoft."""
    draw = Draw(seed)
    conv = "Conv" in op_type
    channels = per_channel and op_type != "ConvInteger"
    v = product_operands(draw, x, w, channels, conv)
    quantized = ["x", "x_scale", "x_zero_point", "w", "w_scale", "w_zero_point"]
    inputs = {
        "QLinearConv": [*quantized, "y_scale", "y_zero_point", "bias"],
        "QLinearMatMul": [*quantized, "y_scale", "y_zero_point"],
        "QGemm": [*quantized, "bias", "y_scale", "y_zero_point"],
        "QGemm-float": [*quantized, "bias"],
        "ConvInteger": ["x", "w", "x_zero_point", "w_zero_point"],
        "MatMulInteger": ["x", "w", "x_zero_point", "w_zero_point"],
        "MatMulIntegerToFloat": ["x", "w", "x_scale", "w_scale", "x_zero_point", "w_zero_point", "float_bias"],
    }[op_type]
    name = op_type.split("-")[0]
    domain = "" if name in ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger") else "com.microsoft"
    attributes = dict(WINDOW) if conv else {"alpha": 0.7} if name == "QGemm" else {}
    node = helper.make_node(name, inputs, ["y"], name="node", domain=domain, **attributes)
    result = np.int32 if name.endswith("Integer") else DTYPES[x] if "y_scale" in inputs else np.float32
    constants = {key: v[key] for key in inputs if key != "x"}
    model = make_model([node], {"x": (DTYPES[x], v["x"].shape)}, constants, ("y", result))
    kept = {key: v[key] for key in inputs if key not in ("x", "w", "x_zero_point", "w_zero_point")}
    sums = {key: v[key] for key in ("x", "w", "x_zero_point", "w_zero_point")}
    return Case(model, {"x": v["x"]}, sums, {**kept, "alpha": attributes.get("alpha", 1.0)})


def quantize_dequantize_case(
    op_type: str,
    x: str,
    w: str,
    *,
    per_channel: bool = False,
    quantized: bool = True,
    bias: str = "int32",
    zero_points: str = "drawn",
    attributes: dict[str, Any] | None = None,
    seed: int = 0,
    opset: int = 17,
) -> Case:
    """Return a model of Conv, MatMul or Gemm behind DequantizeLinear, and before QuantizeLinear or not.

    Args:
        zero_points: "drawn", "zero", or "missing", which is zero as well.
    """
    draw = Draw(seed)
    conv = op_type == "Conv"
    v = product_operands(draw, x, w, per_channel, conv, zero_points == "drawn")
    axis = 0 if conv else 1
    v["bias_scale"] = (v["x_scale"] * v["w_scale"]).astype(np.float32)
    points = [["x_zero_point"], ["w_zero_point"]] if zero_points != "missing" else [[], []]
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "x_scale", *points[0]], ["xf"], name="x_dq"),
        helper.make_node("DequantizeLinear", ["w", "w_scale", *points[1]], ["wf"], name="w_dq", axis=axis),
    ]
    inputs, constants = ["xf", "wf"], ["x_scale", "w", "w_scale", *points[0], *points[1]]
    if bias == "int32" and op_type != "MatMul":
        nodes.append(helper.make_node("DequantizeLinear", ["bias", "bias_scale"], ["bf"], name="b_dq", axis=0))
        inputs.append("bf")
        constants += ["bias", "bias_scale"]
    elif bias == "float32" and op_type != "MatMul":
        inputs.append("float_bias")
        constants.append("float_bias")
    own = {**(WINDOW if conv else {}), **(attributes or {})}
    nodes.append(helper.make_node(op_type, inputs, ["yf" if quantized else "y"], name="node", **own))
    if quantized:
        nodes.append(helper.make_node("QuantizeLinear", ["yf", "y_scale", "y_zero_point"], ["y"], name="y_q"))
        constants += ["y_scale", "y_zero_point"]
    model = make_model(
        nodes,
        {"x": (DTYPES[x], v["x"].shape)},
        {key: v[key] for key in constants},
        ("y", DTYPES[x] if quantized else np.float32),
        opset,
    )
    sums = {key: v[key] for key in ("x", "w", "x_zero_point", "w_zero_point")}
    return Case(model, {"x": v["x"]}, sums, {key: v[key] for key in v if key not in sums})

"""Models of one node of domain lba_onnx, and the outputs that docs/operators.md asks of it, by the slow reference."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from lba_onnx import operators, reference
from lba_onnx.arithmetic import AccumulatorSpec

SPEC = AccumulatorSpec.parse("M7E4b10")


def old_attributes(spec: AccumulatorSpec) -> dict[str, str | int]:
    """The four attributes by which models of before say what `accumulator` says."""
    told = spec.described()
    return {
        "product_format": told["product_format"],
        "accumulator_format": told["accumulator_format"],
        "chunk_size": told["chunk_size"] or 0,
        "underflow": int(told["underflow"]),
    }


Dimensions = Sequence[int | str | None] | None


def node_model(
    op_type: str,
    inputs: Mapping[str, tuple[Any, Dimensions]],
    constants: Mapping[str, np.ndarray],
    attributes: Mapping[str, Any],
    *,
    name: str = "node",
    output_type: Any = None,
) -> bytes:
    """One node; its inputs are the keys of `inputs`, then those of `constants`, in the order A, B, C."""
    order = sorted([*inputs, *constants])
    declared = [tensor_info(key, dtype, shape) for key, (dtype, shape) in inputs.items()]
    first_dtype = next((dtype for dtype, _ in inputs.values()), np.float32)
    node = helper.make_node(op_type, order, ["Y"], name, domain=operators.DOMAIN, **attributes)
    graph = helper.make_graph(
        [node],
        "one_node",
        declared,
        [tensor_info("Y", output_type or first_dtype, None)],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(operators.DOMAIN, operators.VERSION)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def tensor_info(name: str, dtype: Any, shape: Dimensions) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def operand_model(
    op_type: str, operands: Mapping[str, np.ndarray], constant: Sequence[str], attributes: Mapping[str, Any]
) -> bytes:
    """The model for these operands, some of them constant, the others of fixed shapes."""
    inputs = {key: (value.dtype, value.shape) for key, value in operands.items() if key not in constant}
    return node_model(op_type, inputs, {key: operands[key] for key in constant}, attributes)


def expected_matmul(operands: Mapping[str, np.ndarray], spec: AccumulatorSpec) -> np.ndarray:
    a, b = (operands[key].astype(np.float32) for key in "AB")
    return _rounded(reference.matmul(a, b, spec), operands["A"].dtype)


def expected_gemm(
    operands: Mapping[str, np.ndarray], spec: AccumulatorSpec, attributes: Mapping[str, Any]
) -> np.ndarray:
    a, b = (operands[key].astype(np.float32) for key in "AB")
    a, b = a.T if attributes.get("transA") else a, b.T if attributes.get("transB") else b
    y = np.float32(attributes.get("alpha", 1.0)) * reference.matmul(a, b, spec)
    if "C" in operands:
        y = y + np.float32(attributes.get("beta", 1.0)) * operands["C"].astype(np.float32)
    return _rounded(y, operands["A"].dtype)


def expected_conv(
    operands: Mapping[str, np.ndarray], spec: AccumulatorSpec, attributes: Mapping[str, Any], pads: Sequence[int] | None
) -> np.ndarray:
    """The convolution of A and B with bias C, padded as given: auto_pad is for the caller to resolve."""
    x, w = (operands[key].astype(np.float32) for key in "AB")
    window = {key: attributes.get(key) for key in ("strides", "dilations")}
    y = reference.conv(x, w, spec, pads=pads, group=attributes.get("group", 1), **window)
    if "C" in operands:
        y = y + operands["C"].astype(np.float32).reshape(-1, *(1,) * (y.ndim - 2))
    return _rounded(y, operands["A"].dtype)


def _rounded(values: np.ndarray, dtype: Any) -> np.ndarray:
    with np.errstate(over="ignore"):
        return values.astype(dtype)

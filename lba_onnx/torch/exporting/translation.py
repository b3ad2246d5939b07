"""What the operators of `operators.custom_ops` become in ONNX: the table that torch.onnx.export translates by.

    linear, input of rank 2           ->  LbaGemm(input, weight, bias, transB=1)
    linear, input of another rank     ->  Add(LbaMatMul(input, Transpose(weight)), bias)
      whose sums start from the bias  ->  Reshape(LbaGemm(Reshape(input), weight, bias, transB=1, bias_start=1))
    matmul                            ->  LbaMatMul(a, b)
    conv                              ->  LbaConv(input, weight, bias)

The attribute `statistics` of the new nodes holds the name that the node is to get.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import onnx
import torch

from lba_onnx import operators
from lba_onnx.errors import LbaError
from lba_onnx.torch.exporting.calls import NodeNames
from lba_onnx.torch.operators.operands import read_spec

SymbolicTensor: TypeAlias = Any
"""A value of the graph under construction: an onnx_ir.Value with a type and a shape."""

_Nodes: TypeAlias = Mapping[str, Callable[..., SymbolicTensor]]
_Arithmetic: TypeAlias = Callable[[str, str], dict[str, Any]]
_Translation: TypeAlias = Callable[..., SymbolicTensor]

_OpSchema = onnx.defs.OpSchema
_ATTRIBUTE_TYPES = {
    "float": _OpSchema.AttrType.FLOAT,
    "int": _OpSchema.AttrType.INT,
    "ints": _OpSchema.AttrType.INTS,
    "string": _OpSchema.AttrType.STRING,
}


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return the table for one export, as the `custom_translation_table` of torch.onnx.export.

    Raises:
        LbaError: onnxscript is not installed.
    """
    nodes, names = _nodes(), NodeNames()

    def arithmetic(spec: str, statistics: str) -> dict[str, str]:
        return {**read_spec(spec).to_attributes(), "statistics": names.next(statistics)}

    return {
        torch.ops.lba_onnx.linear.default: _linear(nodes, arithmetic),
        torch.ops.lba_onnx.matmul.default: _matmul(nodes, arithmetic),
        torch.ops.lba_onnx.conv.default: _conv(nodes, arithmetic),
    }


def _nodes() -> dict[str, Callable[..., SymbolicTensor]]:
    """Return functions that add a node each to the graph under construction, by operator type."""
    try:
        import onnxscript
        from onnxscript.values import Op, Opset
    except ImportError as error:
        raise LbaError(f"an export takes the package onnxscript: pip install 'lba-onnx[torch]' ({error})") from None
    domain = Opset(operators.DOMAIN, operators.VERSION)
    standard: dict[str, Callable[..., SymbolicTensor]] = {
        name: getattr(onnxscript.opset18, name)
        for name in ("Add", "Concat", "Constant", "Reshape", "Shape", "Transpose")
    }
    own = {name: operator for name, operator in operators.OPERATORS.items() if not operator.types}
    return {**standard, **{name: Op(domain, name, _schema(operator)) for name, operator in own.items()}}


def _schema(operator: operators.OperatorSchema) -> onnx.defs.OpSchema:
    option = _OpSchema.FormalParameterOption
    kinds = [option.Single] * operator.required_inputs + [option.Optional] * len(operator.inputs)
    inputs = [
        _OpSchema.FormalParameter(name, "T", param_option=kind)
        for name, kind in zip(operator.inputs, kinds, strict=False)
    ]
    return _OpSchema(
        operator.op_type,
        operators.DOMAIN,
        operators.VERSION,
        inputs=inputs,
        outputs=[_OpSchema.FormalParameter(name, "T") for name in operator.outputs],
        type_constraints=[("T", ["tensor(float)"], "float32")],
        attributes=[
            _OpSchema.Attribute(attribute.name, _ATTRIBUTE_TYPES[attribute.type], required=attribute.is_required)
            for attribute in operator.attributes
        ],
    )


# The exporter marks the functions that it is given, which it cannot do with methods: hence functions in functions.


def _linear(nodes: _Nodes, arithmetic: _Arithmetic) -> _Translation:
    def linear(
        input: SymbolicTensor,
        weight: SymbolicTensor,
        bias: SymbolicTensor | None,
        bias_start: bool,
        spec: str,
        estimator: str,
        statistics: str,
    ) -> SymbolicTensor:
        starts = _start_attributes(bias, bias_start)
        if len(input.shape) == 2:
            return nodes["LbaGemm"](input, weight, bias, transB=1, **starts, **arithmetic(spec, statistics))
        if starts:
            rows = nodes["Reshape"](input, nodes["Constant"](value_ints=[-1, weight.shape[1]]))
            y = nodes["LbaGemm"](rows, weight, bias, transB=1, **starts, **arithmetic(spec, statistics))
            columns = nodes["Constant"](value_ints=[weight.shape[0]])
            return nodes["Reshape"](y, nodes["Concat"](nodes["Shape"](input, start=0, end=-1), columns, axis=0))
        transposed = nodes["Transpose"](weight, perm=[1, 0])
        y = nodes["LbaMatMul"](input, transposed, **arithmetic(spec, statistics))
        if bias is None:
            return y
        y.dtype, y.shape = input.dtype, type(input.shape)([*input.shape[:-1], weight.shape[0]])
        return nodes["Add"](y, bias)

    return linear


def _start_attributes(bias: SymbolicTensor | None, bias_start: bool) -> dict[str, int]:
    """Return the attribute that lets the sums of a node start from its bias, where it has one."""
    return {operators.BIAS_START.name: 1} if bias_start and bias is not None else {}


def _matmul(nodes: _Nodes, arithmetic: _Arithmetic) -> _Translation:
    def matmul(
        a: SymbolicTensor,
        b: SymbolicTensor,
        initial: SymbolicTensor | None,
        spec: str,
        estimator: str,
        statistics: str,
    ) -> SymbolicTensor:
        if initial is not None:
            raise LbaError("expected products whose sums start from zero: LbaMatMul has no bias to start from")
        return nodes["LbaMatMul"](a, b, **arithmetic(spec, statistics))

    return matmul


def _conv(nodes: _Nodes, arithmetic: _Arithmetic) -> _Translation:
    def conv(
        input: SymbolicTensor,
        weight: SymbolicTensor,
        bias: SymbolicTensor | None,
        stride: list[int],
        pads_begin: list[int],
        pads_end: list[int],
        dilation: list[int],
        groups: int,
        bias_start: bool,
        spec: str,
        estimator: str,
        statistics: str,
    ) -> SymbolicTensor:
        return nodes["LbaConv"](
            input,
            weight,
            bias,
            kernel_shape=list(weight.shape[2:]),
            strides=stride,
            pads=[*pads_begin, *pads_end],
            dilations=dilation,
            group=groups,
            **_start_attributes(bias, bias_start),
            **arithmetic(spec, statistics),
        )

    return conv

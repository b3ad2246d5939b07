"""Operators of integers and the twin that each becomes.

QLinearConv, QLinearMatMul, ConvInteger, MatMulInteger, com.microsoft's QGemm and MatMulIntegerToFloat
->  the twin, of the same inputs; what is left out in the middle becomes a zero

y = DynamicQuantizeMatMul(A, B, b_scale, b_zero_point, bias)
->  codes, scale, zero_point = DynamicQuantizeLinear(A)
y = lba_onnx.LbaMatMulIntegerToFloat(codes, B, scale, b_scale, zero_point, b_zero_point, bias)
"""

from lba_onnx.operators import CODE_TYPES, DYNAMIC_MATMUL, OperatorSchema
from lba_onnx.rewrite.analysis import Site
from lba_onnx.rewrite.code_types import codes_of, input_type, operand_types, require_float32
from lba_onnx.rewrite.integer_forms import Input, IntegerForm, Left, Made, Zero
from lba_onnx.rewrite.twins import schema_of
from lba_onnx.rewrite.values import Values

_FIRST_OPSET_WITH_DYNAMIC_QUANTIZE = 11
_OF_THE_TENSOR = ("x_scale", "x_zero_point", "a_scale", "a_zero_point", "y_scale", "y_zero_point")


def form_of_operator(site: Site, values: Values) -> IntegerForm:
    """Return what an operator of integers becomes.

    Raises:
        Left: It stays as it is.
    """
    schema = schema_of(site.node)
    if site.node.op_type == DYNAMIC_MATMUL:
        return _form_of_dynamic(site, schema)
    _check_inputs(site, schema, values)
    x, w = operand_types(site)
    types = {"T1": x, "T2": w}
    inputs = list(site.node.input)
    while inputs and not inputs[-1]:
        inputs.pop()
    filled: list[Input] = [
        name or Zero(types.get(kind, kind)) for name, kind in zip(inputs, schema.input_types, strict=False)
    ]
    return IntegerForm(schema.op_type, tuple(filled), codes_of(x, w), _output_type(site, schema, len(inputs)))


def _check_inputs(site: Site, schema: OperatorSchema, values: Values) -> None:
    for index, name in enumerate(site.node.input):
        if not name:
            continue
        if schema.input_types[index] == "float32":
            require_float32(site, index)
        size = values.size(site, index)
        if schema.inputs[index] in _OF_THE_TENSOR and size not in (None, 1):
            raise Left(f"{schema.inputs[index]} {name!r} has {size} values; expected one")
        if schema.inputs[index] == "C":
            check_addend(site, index)


def check_addend(site: Site, index: int) -> None:
    """Refuse a bias that differs between the rows of the result.

    Raises:
        Left: It does, or nothing tells.
    """
    dimensions = site.dimensions(index)
    if dimensions is None:
        raise Left(f"the shape of the bias {site.node.input[index]!r} is not known")
    if len(dimensions) > 1 and dimensions[-2] != 1:
        raise Left(f"the bias {site.node.input[index]!r} has several rows; expected one value a column")


def _output_type(site: Site, schema: OperatorSchema, inputs: int) -> str:
    (result,) = schema.output_types
    if result not in ("T3", "T4"):
        return result
    scale, zero_point = schema.inputs.index("y_scale"), schema.inputs.index("y_zero_point")
    if inputs <= scale:
        return "float32"
    if inputs <= zero_point or not site.node.input[scale]:
        raise Left("has one of y_scale and y_zero_point; expected both or neither")
    found = input_type(site, zero_point)
    if found not in CODE_TYPES:
        raise Left(f"its result is of {found}; expected {' or '.join(CODE_TYPES)}")
    return found


def _form_of_dynamic(site: Site, schema: OperatorSchema) -> IntegerForm:
    if site.opset < _FIRST_OPSET_WITH_DYNAMIC_QUANTIZE:
        raise Left(f"takes opset {_FIRST_OPSET_WITH_DYNAMIC_QUANTIZE} for DynamicQuantizeLinear, got {site.opset}")
    w = input_type(site, 1)
    for index in (0, 2):
        require_float32(site, index)
    b, b_scale, zero_point, bias = (*site.node.input[1:], "", "")[:4]
    zero = zero_point or Zero(w)
    inputs = (Made.CODES, b, Made.SCALE, b_scale, Made.ZERO_POINT, zero, *([bias] if bias else []))
    return IntegerForm(schema.op_type, inputs, codes_of("uint8", w), "float32")

"""The operators told to onnx, so that its checker, shape inference and the tools built on it know converted models.

    import lba_onnx                                    registers them, once onnx is imported
    onnx.shape_inference.infer_shapes(converted)       goes through LbaConv as through Conv
    onnx.checker.check_model(converted)                knows its attributes
    onnx.defs.get_schema("LbaConv", domain="lba_onnx").doc

Made from `operators.OPERATORS`. onnx before 1.19 takes no inference functions, and is told nothing: a schema without
one would hide the functions of portable models from its inference.
"""

import atexit
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace

from onnx import defs, helper

from lba_onnx.operators.inference import inference_of
from lba_onnx.operators.schema import DOMAIN, TYPE_VARIABLES, VERSION, AttributeSchema, OperatorSchema
from lba_onnx.operators.table import OPERATORS

HAS_INFERENCE = hasattr(defs.OpSchema, "set_type_and_shape_inference_function")
_TENSORS = {name: f"tensor({'float' if name == 'float32' else name})" for name in ("float32", "uint8", "int8", "int32")}
_TENSORS["float16"] = "tensor(float16)"

MEANINGS: Mapping[str, str] = {
    "accumulator": "Sums the products: its text, such as M7E4b12/M7E4b10,chunk=32,round=nearest, or int16-wrap.",
    "product_format": "Without accumulator: the format that each product is rounded to, such as M7E4b12.",
    "accumulator_format": "Without accumulator: the format that each sum is rounded to.",
    "chunk_size": "Without accumulator: products summed before they join the total (16 by default); 0: all.",
    "underflow": "Without accumulator: 1 (the default): magnitudes below a format's smallest value become 0; 0: kept.",
    "accumulator_qk": "Sums the products of queries and keys: its text, such as M7E4b12/M7E4b10,chunk=32.",
    "accumulator_pv": "Sums the products of probabilities and values: its text.",
    "bias_start": "1: sums start from the bias, rounded to the accumulator; 0: it is added in float32 behind them.",
    "statistics": "The key run/node under which the node counts what its accumulator loses; empty: it counts nothing.",
    "alpha": "Factor of the sums.",
    "beta": "Factor of C.",
    "transA": "Not 0: A is given transposed.",
    "transB": "Not 0: B is given transposed.",
    "auto_pad": "NOTSET (then pads counts), SAME_UPPER, SAME_LOWER or VALID.",
    "dilations": "Distance between the kernel's elements, per axis; 1 by default.",
    "group": "Groups of channels that are convolved apart.",
    "kernel_shape": "Spatial shape of the kernel; that of the weights by default.",
    "pads": "Padding, all begins and then all ends; 0 by default.",
    "strides": "Distance between outputs, per axis; 1 by default.",
    "K": "The depth: rows of the weights.",
    "N": "Columns of the weights.",
    "bits": "Bits of a weight's code: 2, 4 or 8.",
    "block_size": "Codes that share a scale.",
    "accuracy_level": "4: A is quantized to 8 bits, too; 0 to 3: it is not.",
    "num_heads": "Heads of queries.",
    "q_num_heads": "Heads of queries, needed where they are joined.",
    "kv_num_heads": "Heads of keys and values.",
    "scale": "Factor of the scores; 1 / sqrt(size of a head) by default.",
    "unidirectional": "1: a row sees the past, the rows before it and itself.",
    "softcap": "Scores become softcap * tanh(score / softcap); 0: they stay.",
    "local_window_size": "Above 0: how many keys a row sees at most.",
    "causal": "1: a row sees keys up to its own position; 0: all.",
    "is_causal": "1: a row sees keys up to its own position; 0: all.",
    "qk_output": "Which scores are given out, with 0 for hidden keys: 1: capped and biased; 2: probabilities.",
    "qk_matmul_output_mode": "Which scores are given out: 0: scaled; 1: capped; 2: masked; 3: probabilities.",
}
"""What each attribute means; one name means the same in all operators."""


def register_quietly() -> None:
    """Register the schemas; whatever prevents that is logged, since it must not break the import of onnx."""
    try:
        register()
    except Exception as error:
        logging.getLogger("lba_onnx").warning("onnx gets no schemas of domain %s: %s", DOMAIN, error)


def register() -> list[str]:
    """Tell onnx, in this process, of all operators that it does not know yet, and return their names.

    What another copy of this package registered stays.
    """
    known = OPERATORS.values() if HAS_INFERENCE else ()
    fresh = [schema for schema in known if not defs.has(schema.op_type, domain=DOMAIN)]
    for schema in fresh:
        defs.register_schema(op_schema(schema))
    names = [schema.op_type for schema in fresh]
    atexit.register(_deregister, names)
    return names


def _deregister(names: Iterable[str]) -> None:
    """Give back the functions of Python: onnx would free them after the interpreter is gone, and crash."""
    for name in names:
        if defs.has(name, domain=DOMAIN):
            defs.deregister_schema(name, VERSION, DOMAIN)


def op_schema(schema: OperatorSchema) -> defs.OpSchema:
    """Return onnx's form of an operator."""
    made = defs.OpSchema(
        schema.op_type,
        DOMAIN,
        VERSION,
        _doc(schema),
        inputs=_parameters(schema.inputs, schema.input_types, schema.required_inputs),
        outputs=_parameters(schema.outputs, schema.output_types, schema.required_outputs),
        type_constraints=[
            (name, [_TENSORS[t] for t in TYPE_VARIABLES[name]], "")
            for name in dict.fromkeys((*schema.input_types, *schema.output_types))
            if name in TYPE_VARIABLES
        ],
        attributes=[*map(_attribute, schema.own_attributes), *map(_without_default, schema.arithmetic_attributes)],
    )
    made.set_type_and_shape_inference_function(inference_of(schema))
    return made


def _doc(schema: OperatorSchema) -> str:
    replaced = f"{schema.replaces} of {schema.replaced_domain or 'ONNX'}" if schema.replaces else "Conv of codes"
    return (
        f"{replaced}, its products summed in the accumulator that the node names, bit for bit as docs/numerics.md says."
    )


def _parameters(names: Iterable[str], types: Iterable[str], required: int) -> list[defs.OpSchema.FormalParameter]:
    option = defs.OpSchema.FormalParameterOption
    return [
        defs.OpSchema.FormalParameter(
            name, _TENSORS.get(of_type, of_type), param_option=option.Single if index < required else option.Optional
        )
        for index, (name, of_type) in enumerate(zip(names, types, strict=True))
    ]


def _without_default(attribute: AttributeSchema) -> defs.OpSchema.Attribute:
    """Return an attribute of the arithmetic: a tool that writes defaults into nodes would give one both forms."""
    return _attribute(replace(attribute, default=None))


def _attribute(attribute: AttributeSchema) -> defs.OpSchema.Attribute:
    meaning = MEANINGS[attribute.name]
    if attribute.default is not None:
        return defs.OpSchema.Attribute(
            attribute.name, helper.make_attribute(attribute.name, attribute.default), meaning
        )
    of_type = getattr(defs.OpSchema.AttrType, attribute.type.upper())
    return defs.OpSchema.Attribute(attribute.name, of_type, meaning, required=attribute.is_required)

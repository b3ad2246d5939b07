"""What a model must have for the rewriter to take it; onnx.checker asks for more, and refuses models that run."""

from collections.abc import Mapping

import onnx

from lba_onnx.errors import ModelError
from lba_onnx.rewrite.analysis import default_opset
from lba_onnx.rewrite.attribute_types import check_attribute_types
from lba_onnx.rewrite.external_data import expected_bytes, is_external, iterate_tensors
from lba_onnx.rewrite.typed import FunctionKey, called_functions, function_key

MIN_IR_VERSION = 3
_MAX_DEPTH = 100  # nested subgraphs or function calls; protobuf itself parses no deeper
_TYPED_FIELDS = {
    onnx.TensorProto.FLOAT: "float_data",
    onnx.TensorProto.DOUBLE: "double_data",
    onnx.TensorProto.INT64: "int64_data",
}


def check_model(model: onnx.ModelProto, name: str) -> None:
    """Check versions, operator sets, functions and the sizes of inline tensors.

    Args:
        model: The model.
        name: What messages call it, such as its path.

    Raises:
        ModelError: The model, or the file it came from, lacks something or contradicts itself.
    """
    _check_header(model, name)
    for body in (model.graph, *model.functions):
        _check_text(body, name)
    _check_functions(model, name)
    for owner in (model, *model.functions):
        body = owner.graph if isinstance(owner, onnx.ModelProto) else owner
        _check_attributes(body, default_opset(owner) or default_opset(model), name)
    for tensor, _ in iterate_tensors(model):
        _check_tensor(tensor, name)


def _check_header(model: onnx.ModelProto, name: str) -> None:
    if not model.ir_version or not model.HasField("graph") or not model.opset_import:
        raise ModelError(
            f"{name}: expected an ONNX model with an IR version, operator sets and a graph; "
            "it is something else, or was cut short"
        )
    if not MIN_IR_VERSION <= model.ir_version <= onnx.IR_VERSION:
        raise ModelError(
            f"{name}: expected an IR version from {MIN_IR_VERSION} to {onnx.IR_VERSION}, which is the newest that "
            f"onnx {onnx.__version__} knows, got {model.ir_version}"
        )


def _check_text(body: "onnx.FunctionProto | onnx.GraphProto", name: str) -> None:
    """Refuse names that are not UTF-8, which protobuf hands out as bytes."""
    for node in body.node:
        texts = (node.name, node.op_type, node.domain, *node.input, *node.output)
        for text in (*texts, *(attribute.name for attribute in node.attribute)):
            if not isinstance(text, str):
                raise ModelError(f"{name}: expected names in UTF-8, got {text!r}; the file is damaged")
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _check_text(attribute.g, name)


def _check_attributes(body: "onnx.FunctionProto | onnx.GraphProto", opset: int, name: str) -> None:
    for node in body.node:
        try:
            check_attribute_types(node, opset)
        except ModelError as error:
            raise ModelError(f"{name}: {error}") from None
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _check_attributes(attribute.g, opset, name)


def _check_functions(model: onnx.ModelProto, name: str) -> None:
    functions = {function_key(function): function for function in model.functions}
    if len(functions) != len(model.functions):
        raise ModelError(f"{name}: expected functions of different names, got one twice")
    finished: set[FunctionKey] = set()
    for key in functions:
        _check_calls(key, functions, (), finished, name)


def _check_calls(
    key: FunctionKey,
    functions: Mapping[FunctionKey, onnx.FunctionProto],
    callers: tuple[FunctionKey, ...],
    finished: set[FunctionKey],
    name: str,
) -> None:
    """Refuse functions that call themselves, on which shape inference would not end."""
    if key in callers or len(callers) > _MAX_DEPTH:
        raise ModelError(f"{name}: function {key[0]}:{key[1]} calls itself, or calls are nested too deeply")
    if key in finished:
        return
    for callee in set(called_functions(functions[key])):
        if callee in functions:
            _check_calls(callee, functions, (*callers, key), finished, name)
    finished.add(key)


def _check_tensor(tensor: onnx.TensorProto, name: str) -> None:
    for entry in tensor.external_data:
        if not (isinstance(entry.key, str) and isinstance(entry.value, str)):
            raise ModelError(f"{name}: tensor {tensor.name!r}: expected external data in UTF-8, got {entry.value!r}")
    try:
        expected = expected_bytes(tensor)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from None
    if is_external(tensor) or tensor.HasField("segment") or expected is None:
        return
    field = _TYPED_FIELDS.get(tensor.data_type)
    if tensor.HasField("raw_data"):
        got, unit = len(tensor.raw_data), "bytes"
    elif field is not None:
        got, unit = len(getattr(tensor, field)), "values"
        expected = expected * 8 // {"float_data": 32}.get(field, 64)
    else:
        return
    if got != expected:
        raise ModelError(
            f"{name}: tensor {tensor.name!r} of dimensions {list(tensor.dims)}: expected {expected} {unit}, got {got}"
        )

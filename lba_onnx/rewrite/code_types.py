"""The element types that operators of integers take, and the reasons where a node's are others."""

import numpy as np
import onnx

from lba_onnx.operators import CODE_TYPES
from lba_onnx.rewrite.analysis import Site
from lba_onnx.rewrite.integer_forms import Left
from lba_onnx.rewrite.twins import schema_of

TYPE_NAMES = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.DOUBLE: "float64"}


def type_name(element_type: int) -> str:
    """Return how the ledger writes a value of onnx.TensorProto.DataType, such as "float32"."""
    return TYPE_NAMES.get(element_type) or str(onnx.TensorProto.DataType.Name(element_type)).lower()


def tensor_type(name: str) -> int:
    """Return a type by its name in the ledger as a value of onnx.TensorProto.DataType."""
    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(name)))


def input_type(site: Site, index: int, *others: int) -> str:
    """Return the name of an input's element type.

    Args:
        site: The node.
        index: The input.
        others: Inputs of the same type, such as its zero point, which may be known where the first is not.

    Raises:
        Left: It is not known, or differs between the calls of a function.
    """
    types = {found for place in (index, *others) for found in site.input_types(place)}
    name = site.node.input[index]
    if not types:
        raise Left(f"the element type of {name!r} is not known")
    if len(types) > 1:
        found = " and ".join(sorted(map(type_name, types)))
        raise Left(f"expected {name!r} and its zero point to be of one type, in all calls of a function, got {found}")
    return type_name(types.pop())


def operand_types(site: Site) -> tuple[str, str]:
    """Return the types of the two operands of an operator of integers, or of one that such a one stands for.

    Raises:
        Left: One is not known, or differs between the calls of a function.
    """
    first, second = schema_of(site.node).products[0].inputs
    return input_type(site, *_of_one_type(site, first)), input_type(site, *_of_one_type(site, second))


def _of_one_type(site: Site, index: int) -> list[int]:
    kinds = schema_of(site.node).input_types
    return [index, *(place for place, kind in enumerate(kinds) if kind == kinds[index] and place != index)]


def codes_of(x: str, w: str) -> str:
    """Return the types of two operands as the ledger writes them, such as "uint8*int8".

    Raises:
        Left: They are none that operators of integers take.
    """
    codes = f"{x}*{w}"
    if x not in CODE_TYPES or w not in CODE_TYPES:
        raise Left(f"multiplies {codes}; expected operands of {' or '.join(CODE_TYPES)}")
    return codes


def require_float32(site: Site, index: int) -> None:
    """Refuse scales, or biases, of another type.

    Raises:
        Left: The type is another one.
    """
    types = site.input_types(index) - {onnx.TensorProto.FLOAT}
    if types:
        found = " and ".join(sorted(map(type_name, types)))
        raise Left(f"{site.node.input[index]!r} is of {found}; expected float32")

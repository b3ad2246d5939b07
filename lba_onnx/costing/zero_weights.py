"""Which share of a node's constant weights is zero: hardware that skips them would save these products.

weights                                  elements that are 0
DequantizeLinear(codes, scale, zero)     codes that are the zero point
Transpose, Reshape and so on of these    the same
codes of MatMulNBits                     codes that are the zero point of their block
"""

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.costing.operand_formats import PACKED, SAME_ELEMENTS
from lba_onnx.operators import OPERATORS
from lba_onnx.reference.block_quantization import dequantized_weights
from lba_onnx.rewrite.analysis import Site
from lba_onnx.rewrite.candidates import Candidate
from lba_onnx.rewrite.twins import has_twin, is_twin, schema_of
from lba_onnx.rewrite.values import Values

_ZERO_STAYS = (*SAME_ELEMENTS, "Cast")
_DEQUANTIZE = "DequantizeLinear"
_PACKED_INPUTS = OPERATORS["LbaMatMulNBits"].inputs
_ZERO_AT = "zero_points", "g_idx"


def zero_share(candidate: Candidate, values: Values) -> Fraction | None:
    """Return which share of the weights is zero; None where they are not constant, or not known.

    Args:
        candidate: The product.
        values: What is known of the model's values.
    """
    site, index = candidate.site, candidate.constant_operand
    if index is None:
        return None
    if site.node.op_type.endswith(PACKED):
        found = _packed_zeros(site, values)
    else:
        found = _zeros(site, site.node.input[index], _zero_point_name(site, index), values)
    return None if found is None or not found.size else Fraction(int(np.count_nonzero(found)), found.size)


def _zero_point_name(site: Site, index: int) -> str:
    """Return the zero point of an operand of codes; "" where it is 0."""
    if not (has_twin(site.node) or is_twin(site.node)) or not schema_of(site.node).takes_codes:
        return ""
    names = schema_of(site.node).inputs
    name = f"{names[index]}_zero_point".lower()
    place = next((place for place, other in enumerate(names) if other.lower() == name), len(site.node.input))
    return str(site.node.input[place]) if place < len(site.node.input) else ""


def _zeros(site: Site, name: str, zero_point: str, values: Values) -> NDArray[np.bool_] | None:
    """Return where a value is zero."""
    constant = values.constant(site, name)
    if constant is not None:
        return _equal(constant, _constant(site, zero_point, values), _output_axis(site))
    producer = values.producer(site, name)
    if producer is None or zero_point:
        return None
    inputs = producer.node.input
    if producer.node.op_type == _DEQUANTIZE:
        codes, point = values.constant(producer, inputs[0]), inputs[2] if len(inputs) > 2 else ""
        return None if codes is None else _equal(codes, _constant(producer, point, values), _axis(producer))
    return _zeros(producer, inputs[0], "", values) if producer.node.op_type in _ZERO_STAYS else None


def _packed_zeros(site: Site, values: Values) -> NDArray[np.bool_] | None:
    """Return where weights of few bits are zero, whatever their scales."""
    given = dict(zip(_PACKED_INPUTS, [*site.node.input, "", ""], strict=False))
    names = {name: given[name] for name in ("B", *_ZERO_AT)}
    held = {name: values.constant(site, found) if found else None for name, found in names.items()}
    attributes = site.attributes()
    depth, block_size, bits = attributes.get("K"), attributes.get("block_size"), attributes.get("bits", 4)
    codes = held["B"]
    is_known = all(held[name] is not None for name, found in names.items() if found)
    if codes is None or not is_known or not (depth and block_size and bits):
        return None
    ones = np.ones((len(codes), -(-depth // block_size)), np.float32)
    points, blocks = (held[name] for name in _ZERO_AT)
    weights = dequantized_weights(codes, ones, points, blocks, depth=depth, bits=bits, block_size=block_size)
    return np.asarray(weights == 0)


def _constant(site: Site, name: str, values: Values) -> NDArray[Any] | None:
    return values.constant(site, name) if name else np.zeros((), np.int8)


def _output_axis(site: Site) -> int:
    """Return the axis of weights along which an operator of integers may have zero points."""
    is_first = "Conv" in site.node.op_type or site.attributes().get("transB")
    return 0 if is_first else -1


def _axis(site: Site) -> int:
    return int(site.attributes().get("axis") or 0) if "axis" in site.attributes() else 1


def _equal(codes: NDArray[Any], zero: NDArray[Any] | None, axis: int) -> NDArray[np.bool_] | None:
    """Return where codes are their zero point, of which there may be one for each index of an axis."""
    if zero is None:
        return None
    if zero.size == 1:
        return np.asarray(codes == zero.reshape(()))
    if zero.ndim == 1 and codes.shape[axis] == zero.size:
        shape = [1] * codes.ndim
        shape[axis] = zero.size
        return np.asarray(codes == zero.reshape(shape))
    return np.asarray(codes == zero) if codes.shape == zero.shape else None

"""A scale and an offset per output channel, folded into the weights and biases of a converted model.

    dot products q[.., c]   ->   scale[c] * q[.., c] + offset[c]

    weights: the tensor's values are multiplied where they lie in the model and nothing else reads them;
             else w_scaled = Mul(w, scale) takes their place, which onnxruntime computes once, at session creation
             of LbaMatMulNBits, the scales of the column's blocks are multiplied in the same way; its codes stay
    offset:  y = LbaConv(x, w, b)   ->  b + offset, in place where possible, else Add(b, offset)
             y = LbaConv(x, w)      ->  LbaConv(x, w, offset)          likewise LbaGemm, with alpha and beta allowed for
             y = LbaMatMul(a, b)    ->  y = Add(LbaMatMul(a, b), offset)                likewise LbaMatMulNBits
    a bias that sums start from is one of what they add: it is scaled, too
    a product of two computed operands gets a factor behind (`product_scaling`)

Below opset 7 onnxruntime has no Mul and no Add: a constant with the result takes their place, and what is not constant
stays as it is.

Ensures that no other node computes anything else than before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx.operators import BIAS_INPUT
from lba_onnx.rewrite.analysis import Site
from lba_onnx.rewrite.attributes import set_attributes
from lba_onnx.rewrite.bias_start import starts_from_bias
from lba_onnx.rewrite.candidates import Candidate, converted_products
from lba_onnx.rewrite.external_data import is_external
from lba_onnx.rewrite.fresh_names import FreshNames
from lba_onnx.rewrite.insertion import Insertions
from lba_onnx.rewrite.product_place import Edit, ProductPlace, insert_constant, put_behind
from lba_onnx.rewrite.product_scaling import FIRST_OPSET_WITH_MUL, ScalableProduct, scalable_product
from lba_onnx.rewrite.scopes import Scope, walk_scopes
from lba_onnx.rewrite.weights import FUNCTION_INPUT

NO_CONSTANT = "no constant operand to scale"
FUNCTION_WEIGHTS = "its weights are an input of its function"
STACKED_MATRICES = "its constant is a stack of matrices on the left"
SEVERAL_PRODUCTS = "its operator computes several products"
UNKNOWN_RANK = "the rank of its weights is not known"
UNDECIDED_LAYOUT = "its weights are transposed in some calls of its function only"
UNDECIDED_BLOCKS = "its blocks of weights differ between the calls of its function"

_MATMUL = "LbaMatMul"
_OF_FEW_BITS = "LbaMatMulNBits"
_SCALES_INPUT = 2  # of weights of few bits
_WITHOUT_BIAS = (_MATMUL, _OF_FEW_BITS)
_TRANSPOSED = ("transA", "transB")
_OPERATIONS = {"Mul": np.multiply, "Add": np.add}
_DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype(np.float32), "float16": np.dtype(np.float16)}


@dataclass(frozen=True, eq=False)
class ChannelAffine:
    """What a node's dot products are to be scaled by and raised by.

    Attributes:
        scale: float32 [channels]; [1] for a product of two computed operands, as its offset, which is zero.
        offset: float32 [channels].
        weights: What takes the place of the constant operand, scale included: float32 [rows, depth], [depth, columns]
            or [filters, channels, *kernel], with three kernel axes; None where scaling is all. A bias that sums start
            from is scaled in both cases.
    """

    scale: NDArray[np.float32]
    offset: NDArray[np.float32]
    weights: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class ScalableNode(ProductPlace):
    """A converted node with a constant operand.

    Attributes:
        operand: Which operand is constant: 0 or 1.
        rank: Number of axes of that operand.
        other_rank: Number of axes of the other one; None where it is not known.
        opset: The version of the default domain where it lives.
        attributes: Its attributes; None for one that differs between the calls of its function.
        scales_rank: Number of axes of the scales of codes of few bits; 0 where weights are no codes.
    """

    operand: int
    rank: int
    other_rank: int | None
    opset: int
    attributes: Mapping[str, Any]
    scales_rank: int = 0

    @property
    def channel_axis(self) -> int:
        """The axis of its output, as kernels see it, that runs over channels: 1 or -1 (native.ObservedCall.y)."""
        return 1 if self.node.op_type == "LbaConv" or self.operand == 0 else -1

    @property
    def takes_weights(self) -> bool:
        """Whether weights can be folded that are more than scaled; where they are codes of few bits, none can."""
        return not self.scales_rank

    @property
    def weights_dtype(self) -> np.dtype[Any]:
        """What weights are as they are multiplied."""
        return self.dtype if self.takes_weights else np.dtype(np.float32)

    @property
    def scaled_input(self) -> int:
        """The input that scales are folded into."""
        return self.operand if self.takes_weights else _SCALES_INPUT

    @property
    def takes_offset(self) -> bool:
        """Whether an offset can be folded.

        It cannot behind a MatMul in a function's body, in a shape not known, or below opset 7; for a Gemm whose alpha
        or beta differs between calls; and, below opset 7, beside a bias that is not constant.
        """
        has_add = self.opset >= FIRST_OPSET_WITH_MUL
        if self.node.op_type in _WITHOUT_BIAS:
            is_shape_known = self.operand == 1 or self.rank == 1 or self.other_rank is not None
            return has_add and is_shape_known and not isinstance(self.scope.body, onnx.FunctionProto)
        if None in (self.attributes.get("alpha", 1.0), self.attributes.get("beta", 1.0)):
            return False
        return has_add or len(self.node.input) < 3 or _float_tensor(self.scope, self.node.input[2]) is not None


@dataclass(frozen=True, eq=False)
class Scalable:
    """A converted model's products, as far as `fold` takes them.

    Attributes:
        nodes: Those with a constant operand, by name.
        products: Those of two computed operands, by name.
        reasons: Why others are not taken, by name.
    """

    nodes: dict[str, ScalableNode]
    products: dict[str, ScalableProduct]
    reasons: dict[str, str]

    def get(self, name: str) -> ScalableNode | ScalableProduct | None:
        """Return a product of either sort; None for one that is not taken."""
        return self.nodes.get(name) or self.products.get(name)


def find_scalable(model: onnx.ModelProto) -> Scalable:
    """Return what `fold` takes of a converted model."""
    scopes = {id(scope.body): scope for scope in walk_scopes(model)}
    scalable = Scalable({}, {}, {})
    for candidate in converted_products(model):
        found = _describe(candidate, scopes)
        if isinstance(found, ScalableNode):
            scalable.nodes[candidate.name] = found
        elif isinstance(found, ScalableProduct):
            scalable.products[candidate.name] = found
        else:
            scalable.reasons[candidate.name] = found
    return scalable


def fold(model: onnx.ModelProto, corrections: Mapping[str, ChannelAffine]) -> None:
    """Fold scales and offsets into a converted model, in place.

    Args:
        model: The model.
        corrections: By name, of nodes and products that `find_scalable` returns.
    """
    scalable = find_scalable(model)
    edit = Edit(FreshNames(model), Insertions())
    for name, affine in corrections.items():
        if name in scalable.nodes:
            _fold_node(scalable.nodes[name], affine, edit)
        elif affine.scale != 1:
            put_behind(scalable.products[name], "Mul", affine.scale.reshape(()), "factor", "scaled", edit)
    edit.insertions.apply()


def _fold_node(place: ScalableNode, affine: ChannelAffine, edit: Edit) -> None:
    if affine.weights is not None:
        _replace_weights(place, affine.weights, edit)
    elif np.any(affine.scale != 1):
        _scale_weights(place, affine.scale, edit)
    if np.any(affine.scale != 1) and starts_from_bias(place.node):
        _scale_bias(place, affine.scale, edit)
    if np.any(affine.offset != 0):
        _add_offset(place, affine.offset, edit)


def _describe(candidate: Candidate, scopes: Mapping[int, Scope]) -> ScalableNode | ScalableProduct | str:
    site, operand = candidate.site, candidate.constant_operand
    if candidate.product:
        return SEVERAL_PRODUCTS
    if operand is None and candidate.weights != FUNCTION_INPUT and site.node.op_type == _MATMUL:
        return scalable_product(candidate, scopes[id(site.body)])
    if operand is None or (operand == 0 and site.node.op_type in ("LbaConv", _OF_FEW_BITS)):
        return FUNCTION_WEIGHTS if candidate.weights == FUNCTION_INPUT else NO_CONSTANT
    if candidate.element_type not in _DTYPES:
        return f"element type {candidate.element_type}"
    scope = scopes[id(site.body)]
    rank = _rank(site, scope, operand)
    scales_rank = _rank(site, scope, _SCALES_INPUT) if site.node.op_type == _OF_FEW_BITS else 0
    if rank is None or scales_rank is None:
        return UNKNOWN_RANK
    if operand == 0 and rank > 2:
        return STACKED_MATRICES
    attributes = site.attributes()
    if attributes.get(_TRANSPOSED[operand], 0) is None:
        return UNDECIDED_LAYOUT
    if None in (attributes.get(name, 0) for name in ("K", "block_size")):
        return UNDECIDED_BLOCKS
    scaled = [operand, BIAS_INPUT] if starts_from_bias(site.node) else [operand]
    if site.opset < FIRST_OPSET_WITH_MUL and any(
        _float_tensor(scope, site.node.input[index]) is None for index in scaled
    ):
        return f"its weights are computed or in external data, and onnxruntime has no Mul of opset {site.opset}"
    dtype, other_rank = _DTYPES[candidate.element_type], site.rank(1 - operand)
    return ScalableNode(
        candidate.name, site.node, scope, dtype, operand, rank, other_rank, site.opset, attributes, scales_rank
    )


def _rank(site: Site, scope: Scope, index: int) -> int | None:
    """Return the number of axes of an input; of codes of few bits, of the matrix that they stand for."""
    if site.node.op_type == "LbaGemm" or (site.node.op_type == _OF_FEW_BITS and index != _SCALES_INPUT):
        return 2
    tensor = _tensor(scope, site.node.input[index])
    if tensor is not None:
        return len(tensor.dims)
    return site.rank(index) or (site.rank(0) if site.node.op_type == "LbaConv" else None)


def _tensor(scope: Scope, name: str) -> onnx.TensorProto | None:
    owner = scope.owner(name)
    return None if owner is None else owner.constant(name)


def _float_tensor(scope: Scope, name: str) -> onnx.TensorProto | None:
    """Return a constant whose values are floats in the model itself, or None."""
    tensor = _tensor(scope, name)
    is_here = tensor is not None and not is_external(tensor) and _dtype(tensor) in _DTYPES.values()
    return tensor if is_here else None


def _scale_weights(place: ScalableNode, scale: NDArray[np.float32], edit: Edit) -> None:
    name = place.node.input[place.scaled_input]
    factors = _of_blocks(place, scale) if place.scaled_input != place.operand else _of_channels(place, scale)
    place.node.input[place.scaled_input] = _combine(place, "Mul", name, factors, f"{name}_scaled", edit)


def _replace_weights(place: ScalableNode, weights: NDArray[np.float32], edit: Edit) -> None:
    name, values = place.node.input[place.operand], _as_stored(place, weights).astype(place.dtype)
    owner, tensor = place.scope.owner(name), _tensor(place.scope, name)
    if owner is not None and owner.uses(name) == 1 and tensor is not None and _dtype(tensor) == place.dtype:
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    else:
        place.node.input[place.operand] = insert_constant(place, values, f"{name}_refitted", edit)


def _as_stored(place: ScalableNode, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an operand as the node reads it: with its number of axes, and transposed where it transposes back."""
    if place.node.op_type == "LbaConv":
        return weights.reshape(*weights.shape[:2], *weights.shape[2:][5 - place.rank :])
    if place.rank == 1:
        return weights.reshape(-1)
    is_transposed = bool(place.attributes.get(_TRANSPOSED[place.operand]))
    stored = weights.T if is_transposed else weights
    return np.ascontiguousarray(stored).reshape(*[1] * (place.rank - 2), *stored.shape)


def as_operand(place: ScalableNode, stored: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a constant operand in the form that `ChannelAffine.weights` has, from how the node reads it."""
    if place.node.op_type == "LbaConv":
        return stored.reshape(*stored.shape[:2], *[1] * (5 - place.rank), *stored.shape[2:])
    if place.rank == 1:
        return stored.reshape(-1, 1) if place.operand == 1 else stored.reshape(1, -1)
    matrix = stored.reshape(-1, stored.shape[-1])
    return np.ascontiguousarray(matrix.T if place.attributes.get(_TRANSPOSED[place.operand]) else matrix)


def _scale_bias(place: ScalableNode, scale: NDArray[np.float32], edit: Edit) -> None:
    name = place.node.input[BIAS_INPUT]
    factors = _offset_shape(place, scale)
    place.node.input[BIAS_INPUT] = _combine(place, "Mul", name, factors, f"{name}_scaled", edit)


def _of_channels(place: ScalableNode, scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return scales in the shape in which they multiply the weights' output channels."""
    if place.rank == 1:
        return scale.reshape(1)
    if place.node.op_type == "LbaConv":
        return scale.reshape(-1, *[1] * (place.rank - 1))
    is_first_axis = place.operand == 0
    if place.attributes.get(_TRANSPOSED[place.operand]):
        is_first_axis = not is_first_axis
    return scale.reshape(-1, 1) if is_first_axis else scale


def _of_blocks(place: ScalableNode, scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return scales in the shape in which they multiply those of blocks, which are [columns, blocks], or flat."""
    if place.scales_rank == 2:
        return scale.reshape(-1, 1)
    return np.repeat(scale, -(-place.attributes["K"] // place.attributes["block_size"]))


def _add_offset(place: ScalableNode, offset: NDArray[np.float32], edit: Edit) -> None:
    node = place.node
    if node.op_type in _WITHOUT_BIAS:
        put_behind(place, "Add", _offset_shape(place, offset), "offset", "raised", edit)
        return
    if node.op_type == "LbaGemm":
        alpha, beta = (place.attributes.get(name, 1.0) for name in ("alpha", "beta"))
        has_addend = len(node.input) > 2 and beta != 0
        if not has_addend:
            del node.input[2:]
            set_attributes(node, {"beta": 1.0})
        offset = (offset * np.float32(alpha / (beta if has_addend else 1.0))).astype(np.float32)
    addend = _offset_shape(place, offset)
    if len(node.input) < 3:
        node.input.append(insert_constant(place, addend, f"{place.name}_offset", edit))
    else:
        name = node.input[2]
        node.input[2] = _combine(place, "Add", name, addend, f"{name}_raised", edit)


def _offset_shape(place: ScalableNode, offset: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return offsets in a shape that broadcasts to the node's output and leaves its number of axes alone."""
    if place.rank == 1:  # the output has no axis for the one channel
        return offset.reshape(())
    has_columns = place.node.op_type == "LbaGemm" or place.other_rank != 1
    return offset.reshape(-1, 1) if place.operand == 0 and has_columns else offset


def _combine(place: ScalableNode, op_type: str, name: str, by: NDArray[np.float32], output: str, edit: Edit) -> str:
    """Multiply or add to a value that a node reads; return the name under which the node finds the result."""
    is_own, has_operators = _is_own(place.scope, name), place.opset >= FIRST_OPSET_WITH_MUL
    tensor = _float_tensor(place.scope, name) if is_own or not has_operators else None
    if tensor is None:
        return _insert(place, op_type, name, by, output, edit)
    result = _OPERATIONS[op_type](onnx.numpy_helper.to_array(tensor).astype(np.float64), by)
    if is_own and result.shape == tuple(tensor.dims):
        tensor.CopyFrom(onnx.numpy_helper.from_array(result.astype(_dtype(tensor)), tensor.name))
        return name
    if has_operators:
        return _insert(place, op_type, name, by, output, edit)
    return insert_constant(place, result, output, edit)


def _is_own(scope: Scope, name: str) -> bool:
    """Return whether changing the values of a constant changes nothing but the one node that reads it."""
    owner = scope.owner(name)
    return owner is not None and owner.uses(name) == 1


def _dtype(tensor: onnx.TensorProto) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    return dtype


def _insert(
    place: ScalableNode, op_type: str, operand: str, values: NDArray[np.float32], output: str, edit: Edit
) -> str:
    """Put `op_type(operand, values)` in front of a node; return its output's name."""
    output = edit.names.make(output)
    constant = insert_constant(place, values, f"{output}_by", edit)
    node = onnx.helper.make_node(op_type, [operand, constant], [output], name=edit.names.make(f"{output}_node"))
    edit.insertions.before(place.node, place.scope.body, node)
    return output

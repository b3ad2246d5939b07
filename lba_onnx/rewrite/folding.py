"""A scale and an offset per output channel, folded into the weights and biases of a converted model.

    dot products q[.., c]   ->   scale[c] * q[.., c] + offset[c]

    weights: the tensor's values are multiplied where they lie in the model and nothing else reads them;
             else w_scaled = Mul(w, scale) takes their place, which onnxruntime computes once, at session creation
    offset:  y = LbaConv(x, w, b)   ->  b + offset, in place where possible, else Add(b, offset)
             y = LbaConv(x, w)      ->  LbaConv(x, w, offset)          likewise LbaGemm, with alpha and beta allowed for
             y = LbaMatMul(a, b)    ->  y = Add(LbaMatMul(a, b), offset)

Requires a node with a constant operand. Ensures that no other node computes anything else than before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx.rewrite.analysis import Site
from lba_onnx.rewrite.candidates import Candidate, find_candidates
from lba_onnx.rewrite.external_data import is_external
from lba_onnx.rewrite.patch import FreshNames
from lba_onnx.rewrite.scopes import Scope, walk_scopes
from lba_onnx.rewrite.specs import set_attributes
from lba_onnx.rewrite.weights import FUNCTION_INPUT, constant_operand

NO_CONSTANT = "no constant operand to scale"
FUNCTION_WEIGHTS = "its weights are an input of its function"
STACKED_MATRICES = "its constant is a stack of matrices on the left"
UNKNOWN_RANK = "the rank of its weights is not known"

_DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype(np.float32), "float16": np.dtype(np.float16)}


@dataclass(frozen=True, eq=False)
class ChannelAffine:
    """What a node's dot products are to be scaled by and raised by.

    Attributes:
        scale: float32 [channels].
        offset: float32 [channels].
    """

    scale: NDArray[np.float32]
    offset: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ScalableNode:
    """A converted node with a constant operand.

    Attributes:
        name: What the ledger calls it.
        node: The node, in the model.
        scope: Where it lives.
        operand: Which operand is constant: 0 or 1.
        rank: Number of axes of that operand.
        other_rank: Number of axes of the other one; None where it is not known.
        dtype: Of its operands and its output.
    """

    name: str
    node: onnx.NodeProto
    scope: Scope = field(repr=False)
    operand: int
    rank: int
    other_rank: int | None
    dtype: np.dtype[Any]

    @property
    def channel_axis(self) -> int:
        """The axis of its output, as kernels see it, that runs over channels: 1 or -1 (native.ObservedCall.y)."""
        return 1 if self.node.op_type == "LbaConv" or self.operand == 0 else -1

    @property
    def takes_offset(self) -> bool:
        """Whether an offset can be folded; behind a MatMul not in a function's body, nor in a shape not known."""
        if self.node.op_type != "LbaMatMul":
            return True
        is_shape_known = self.operand == 1 or self.rank == 1 or self.other_rank is not None
        return is_shape_known and not isinstance(self.scope.body, onnx.FunctionProto)


def scalable_nodes(model: onnx.ModelProto) -> tuple[dict[str, ScalableNode], dict[str, str]]:
    """Return a converted model's nodes that `fold` takes, by name, and for the others the reasons."""
    scopes = {id(scope.body): scope for scope in walk_scopes(model)}
    nodes, reasons = {}, {}
    for candidate in find_candidates(model):
        if not candidate.is_converted:
            continue
        found = _describe(candidate, scopes)
        if isinstance(found, str):
            reasons[candidate.name] = found
        else:
            nodes[candidate.name] = found
    return nodes, reasons


def fold(model: onnx.ModelProto, corrections: Mapping[str, ChannelAffine]) -> None:
    """Fold scales and offsets into a converted model, in place.

    Args:
        model: The model.
        corrections: By name, of nodes that `scalable_nodes` returns.
    """
    nodes, _ = scalable_nodes(model)
    names = FreshNames(model)
    for name, affine in corrections.items():
        place = nodes[name]
        if np.any(affine.scale != 1):
            _scale_weights(place, affine.scale, names)
        if np.any(affine.offset != 0):
            _add_offset(place, affine.offset, names)


def _describe(candidate: Candidate, scopes: Mapping[int, Scope]) -> ScalableNode | str:
    site = candidate.site
    operand = constant_operand(site)
    if operand is None or (operand == 0 and site.node.op_type == "LbaConv"):
        return FUNCTION_WEIGHTS if candidate.weights == FUNCTION_INPUT else NO_CONSTANT
    if candidate.element_type not in _DTYPES:
        return f"element type {candidate.element_type}"
    scope = scopes[id(site.body)]
    tensor = _tensor(scope, site.node.input[operand])
    rank = len(tensor.dims) if tensor is not None else _known_rank(site, operand)
    if rank is None:
        return UNKNOWN_RANK
    if operand == 0 and rank > 2:
        return STACKED_MATRICES
    dtype = _DTYPES[candidate.element_type]
    return ScalableNode(candidate.name, site.node, scope, operand, rank, site.rank(1 - operand), dtype)


def _known_rank(site: Site, operand: int) -> int | None:
    if site.node.op_type == "LbaGemm":
        return 2
    return site.rank(operand) or (site.rank(0) if site.node.op_type == "LbaConv" else None)


def _tensor(scope: Scope, name: str) -> onnx.TensorProto | None:
    owner = scope.owner(name)
    return None if owner is None else owner.constant(name)


def _scale_weights(place: ScalableNode, scale: NDArray[np.float32], names: FreshNames) -> None:
    name = place.node.input[place.operand]
    factors = scale.reshape(_scale_shape(place, len(scale)))
    if not _multiply_in_place(place.scope, name, factors):
        place.node.input[place.operand] = _insert(place, "Mul", name, factors, f"{name}_scaled", names)


def _scale_shape(place: ScalableNode, channels: int) -> tuple[int, ...]:
    """Return the shape in which scales multiply the weights' output channels."""
    if place.rank == 1:
        return (1,)
    if place.node.op_type == "LbaConv":
        return (channels, *[1] * (place.rank - 1))
    is_first_axis = place.operand == 0
    if place.node.op_type == "LbaGemm" and _number(place.node, ("transA", "transB")[place.operand], 0):
        is_first_axis = not is_first_axis
    return (channels, 1) if is_first_axis else (channels,)


def _add_offset(place: ScalableNode, offset: NDArray[np.float32], names: FreshNames) -> None:
    node = place.node
    if node.op_type == "LbaMatMul":
        _add_behind(place, _offset_shape(place, offset), names)
        return
    if node.op_type == "LbaGemm":
        alpha, beta = _number(node, "alpha", 1), _number(node, "beta", 1)
        has_addend = len(node.input) > 2 and beta != 0
        if not has_addend:
            del node.input[2:]
            set_attributes(node, {"beta": 1.0})
        offset = (offset * np.float32(alpha / (beta if has_addend else 1.0))).astype(np.float32)
    addend = _offset_shape(place, offset)
    if len(node.input) < 3:
        node.input.append(_insert_constant(place, addend, f"{place.name}_offset", names))
    elif not _raise_in_place(place.scope, node.input[2], addend):
        node.input[2] = _insert(place, "Add", node.input[2], addend, f"{node.input[2]}_raised", names)


def _offset_shape(place: ScalableNode, offset: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return offsets in a shape that broadcasts to the node's output and leaves its number of axes alone."""
    if place.rank == 1:  # the output has no axis for the one channel
        return offset.reshape(())
    has_columns = place.node.op_type == "LbaGemm" or place.other_rank != 1
    return offset.reshape(-1, 1) if place.operand == 0 and has_columns else offset


def _number(node: onnx.NodeProto, name: str, default: float) -> float:
    return float(next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), default))


def _own_tensor(scope: Scope, name: str) -> onnx.TensorProto | None:
    """Return the tensor behind a name, where changing its values changes nothing else."""
    owner = scope.owner(name)
    tensor = None if owner is None else owner.constant(name)
    if owner is None or tensor is None or is_external(tensor) or _dtype(tensor) not in _DTYPES.values():
        return None
    return tensor if owner.uses(name) == 1 else None


def _multiply_in_place(scope: Scope, name: str, factors: NDArray[np.float32]) -> bool:
    tensor = _own_tensor(scope, name)
    if tensor is None:
        return False
    _replace_values(tensor, onnx.numpy_helper.to_array(tensor).astype(np.float64) * factors)
    return True


def _raise_in_place(scope: Scope, name: str, offset: NDArray[np.float32]) -> bool:
    tensor = _own_tensor(scope, name)
    if tensor is None or tuple(tensor.dims) != offset.shape:
        return False
    _replace_values(tensor, onnx.numpy_helper.to_array(tensor).astype(np.float64) + offset)
    return True


def _replace_values(tensor: onnx.TensorProto, values: NDArray[np.float64]) -> None:
    tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(_dtype(tensor)), tensor.name))


def _dtype(tensor: onnx.TensorProto) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    return dtype


def _insert(
    place: ScalableNode, op_type: str, operand: str, values: NDArray[np.float32], output: str, names: FreshNames
) -> str:
    """Put `op_type(operand, values)` in front of a node; return its output's name."""
    output = names.make(output)
    constant = _insert_constant(place, values, f"{output}_by", names)
    node = onnx.helper.make_node(op_type, [operand, constant], [output], name=names.make(f"{output}_node"))
    place.scope.body.node.insert(_index(place), node)
    return output


def _insert_constant(place: ScalableNode, values: NDArray[np.float32], name: str, names: FreshNames) -> str:
    name = names.make(name)
    tensor = onnx.numpy_helper.from_array(values.astype(place.dtype), name)
    node = onnx.helper.make_node("Constant", [], [name], name=names.make(f"{name}_node"), value=tensor)
    place.scope.body.node.insert(_index(place), node)
    return name


def _add_behind(place: ScalableNode, offset: NDArray[np.float32], names: FreshNames) -> None:
    constant = _insert_constant(place, offset, f"{place.name}_offset", names)
    result, place.node.output[0] = place.node.output[0], names.make(f"{place.node.output[0]}_unraised")
    name = names.make(f"{place.name}_raised")
    node = onnx.helper.make_node("Add", [place.node.output[0], constant], [result], name=name)
    place.scope.body.node.insert(_index(place) + 1, node)


def _index(place: ScalableNode) -> int:
    return next(index for index, other in enumerate(place.scope.body.node) if other is place.node)

"""One layer of an ONNX model as a model of its own, to be run on the operands of a PyTorch call.

    y = LbaMatMul(x, fc.B); z = Add(y, fc.bias)   ->   the same two nodes and initializers, from the input x to z

What is no initializer in the file becomes an input, and is fed what PyTorch has for it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx.data.execution import run_session
from lba_onnx.errors import ModelError
from lba_onnx.rewrite import external_data
from lba_onnx.rewrite.candidates import Candidate, converted_products
from lba_onnx.rewrite.external_data import is_external
from lba_onnx.rewrite.model_files import OpenModel, locate
from lba_onnx.session import make_session
from lba_onnx.torch.exporting.calls import LbaCall

_NODE_TYPES = {"linear": ("LbaGemm", "LbaMatMul"), "matmul": ("LbaMatMul",), "conv": ("LbaConv",)}


@dataclass(frozen=True, eq=False)
class Layer:
    """A low-bit-accumulator node of a model.

    Attributes:
        opened: The model.
        candidate: The node, and where it lives.
        add: The Add that alone takes the node's output, which holds the bias if the layer has one; None without.
    """

    opened: OpenModel
    candidate: Candidate
    add: onnx.NodeProto | None

    @property
    def op_type(self) -> str:
        """The node's operator type."""
        return str(self.candidate.site.node.op_type)

    def nodes_of(self, call: LbaCall) -> list[onnx.NodeProto]:
        """Return the node, and the Add where it adds the bias of a PyTorch call."""
        node = self.candidate.site.node
        is_biased = call.operator == "linear" and call.arguments["bias"] is not None and self.op_type == "LbaMatMul"
        return [node, self.add] if is_biased and self.add is not None else [node]

    def output_of(self, call: LbaCall) -> str:
        """Return the name of the value that stands for the result of a PyTorch call."""
        return str(self.nodes_of(call)[-1].output[0])

    def laid_out(self, call: LbaCall, values: NDArray[Any]) -> NDArray[Any]:
        """Return the input or the result of a PyTorch call as the node has it: a Gemm's rows in one axis."""
        has_rows = call.operator == "linear" and self.op_type == "LbaGemm"
        return values.reshape(-1, values.shape[-1]) if has_rows else values

    def compute(self, call: LbaCall) -> NDArray[Any]:
        """Return what onnxruntime makes of the operands of a PyTorch call.

        Raises:
            ModelError: The layer does not take them.
        """
        if self.op_type not in _NODE_TYPES[call.operator]:
            raise ModelError(f"expected {' or '.join(_NODE_TYPES[call.operator])}, got {self.op_type}")
        operands = self._operands(call)
        model = self._model(call, {name: array.shape for name, array in operands.items()})
        feeds = {value.name: operands[value.name] for value in model.graph.input}
        try:
            return np.asarray(run_session(make_session(model), None, feeds)[0])
        except Exception as error:  # onnxruntime's errors have no base of their own
            raise ModelError(f"the node does not run on PyTorch's operands: {error}") from error

    def _operands(self, call: LbaCall) -> dict[str, NDArray[Any]]:
        """Return the values that PyTorch has for the nodes' inputs, by name."""
        tensors = list(call.operands)
        if call.operator == "linear" and not self._is_transposed():
            assert tensors[1] is not None
            tensors[1] = tensors[1].t()
        arrays = [None if tensor is None else np.ascontiguousarray(tensor.detach().numpy()) for tensor in tensors]
        assert arrays[0] is not None
        arrays[0] = self.laid_out(call, arrays[0])
        node, *adds = self.nodes_of(call)
        names = [*node.input, *(name for add in adds for name in add.input if name != node.output[0])]
        return {name: array for name, array in zip(names, arrays, strict=False) if array is not None}

    def _is_transposed(self) -> bool:
        return any(attribute.name == "transB" and attribute.i for attribute in self.candidate.site.node.attribute)

    def _model(self, call: LbaCall, shapes: dict[str, tuple[int, ...]]) -> onnx.ModelProto:
        initializers = [self._load(tensor) for tensor in self._initializers() if tensor.name in shapes]
        fixed = {tensor.name for tensor in initializers}
        float32 = onnx.TensorProto.FLOAT
        graph = onnx.helper.make_graph(
            self.nodes_of(call),
            "layer",
            [onnx.helper.make_tensor_value_info(n, float32, shape) for n, shape in shapes.items() if n not in fixed],
            [onnx.helper.make_tensor_value_info(self.output_of(call), float32, None)],
            initializers,
        )
        proto = self.opened.proto
        return onnx.helper.make_model(graph, opset_imports=proto.opset_import, ir_version=proto.ir_version)

    def _initializers(self) -> list[onnx.TensorProto]:
        """Return the initializers that the node sees, without those of the main graph that its own graph hides."""
        body, main = self.candidate.site.body, self.opened.proto.graph
        own = list(body.initializer) if isinstance(body, onnx.GraphProto) and body is not main else []
        hidden = {tensor.name for tensor in own}
        return own + [tensor for tensor in main.initializer if tensor.name not in hidden]

    def _load(self, tensor: onnx.TensorProto) -> onnx.TensorProto:
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        if is_external(tensor):
            external_data.load_tensor(copy, locate(tensor, self.opened.path))
        return copy


def find_layers(opened: OpenModel) -> dict[str, Layer]:
    """Return the low-bit-accumulator nodes of a model by name, in the model's order."""
    products = converted_products(opened.proto)
    return {product.name: Layer(opened, product, _add_behind(product)) for product in products}


def _add_behind(candidate: Candidate) -> onnx.NodeProto | None:
    output = candidate.site.node.output[0]
    consumers = [node for node in candidate.site.body.node if output in node.input]
    is_add = len(consumers) == 1 and consumers[0].op_type == "Add" and list(consumers[0].input).count(output) == 1
    return consumers[0] if is_add else None

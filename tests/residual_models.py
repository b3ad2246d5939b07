"""Small transformers as graphs: normalizations fused and decomposed, residual streams whole, attention left out."""

from dataclasses import dataclass, field

import numpy as np
import onnx

from lba_onnx.rewrite import load_model

HIDDEN = 24
INNER = 40
TOKENS = 50


@dataclass
class Graph:
    """Nodes and initializers of a graph that is being written."""

    seed: int = 0
    nodes: list = field(default_factory=list)
    initializers: list = field(default_factory=list)

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)

    def add(self, op_type, inputs, name=None, outputs=1, **attributes):
        name = name or f"{op_type.lower()}_{len(self.nodes)}"
        results = [name] if outputs == 1 else [f"{name}_{i}" for i in range(outputs)]
        self.nodes.append(onnx.helper.make_node(op_type, inputs, results, name=name, **attributes))
        return results[0] if outputs == 1 else results

    def constant(self, values, name=None):
        name = name or f"constant_{len(self.initializers)}"
        self.initializers.append(onnx.numpy_helper.from_array(np.asarray(values), name))
        return name

    def weights(self, *shape, name=None):
        return self.constant(self.rng.standard_normal(shape, np.float32) / np.sqrt(shape[0]).astype(np.float32), name)

    def vector(self, size=HIDDEN, name=None):
        return self.constant((1 + self.rng.standard_normal(size) / 2).astype(np.float32), name)

    def model(self, output, opset=17, inputs=None, shape=None):
        inputs = inputs or [onnx.helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["batch", "tokens"])]
        result = onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, shape)
        graph = onnx.helper.make_graph(self.nodes, "graph", inputs, [result], self.initializers)
        opsets = [onnx.helper.make_opsetid("", opset), onnx.helper.make_opsetid("com.microsoft", 1)]
        return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


def rms_norm(graph, x, *, is_reciprocal=False):
    squares = graph.add("Pow", [x, graph.constant(np.float32(2))])
    mean = graph.add("ReduceMean", [squares], axes=[-1], keepdims=1)
    root = graph.add("Sqrt", [graph.add("Add", [mean, graph.constant(np.float32(1e-5))])])
    if is_reciprocal:
        scaled = graph.add("Mul", [x, graph.add("Reciprocal", [root])])
    else:
        scaled = graph.add("Mul", [x, graph.add("Div", [graph.constant(np.float32(1)), root])])
    return graph.add("Mul", [graph.vector(), graph.add("Cast", [scaled], to=onnx.TensorProto.FLOAT)])


def layer_norm(graph, x):
    centred = graph.add("Sub", [x, graph.add("ReduceMean", [x], axes=[-1])])
    mean = graph.add("ReduceMean", [graph.add("Pow", [centred, graph.constant(np.float32(2))])], axes=[-1])
    root = graph.add("Sqrt", [graph.add("Add", [mean, graph.constant(np.float32(1e-5))])])
    scaled = graph.add("Mul", [graph.add("Div", [centred, root]), graph.vector()])
    return graph.add("Add", [scaled, graph.vector()])


def fused_layer_norm(graph, x):
    return graph.add("LayerNormalization", [x, graph.vector(), graph.vector()], axis=-1)


def fused_rms_norm(graph, x):
    return graph.add("SimplifiedLayerNormalization", [x, graph.vector()], axis=-1, epsilon=1e-5)


def standard_rms_norm(graph, x):
    return graph.add("RMSNormalization", [x, graph.vector()], axis=-1)


NORMS = {
    "rms": rms_norm,
    "reciprocal": lambda graph, x: rms_norm(graph, x, is_reciprocal=True),
    "layer": layer_norm,
    "fused layer": fused_layer_norm,
    "fused rms": fused_rms_norm,
    "standard rms": standard_rms_norm,
}


def embedding(graph, scale_of_outlier=50):
    table = graph.rng.standard_normal((TOKENS, HIDDEN)).astype(np.float32)
    table[:, 3] *= scale_of_outlier
    return graph.constant(table, "table")


def feed_forward(graph, x, *, has_bias=True):
    """MatMul, Add, Relu and Gemm on positions flattened: both kinds of products, with biases."""
    up = graph.add("MatMul", [x, graph.weights(HIDDEN, INNER)], f"up_{len(graph.nodes)}")
    up = graph.add("Add", [graph.vector(INNER), up]) if has_bias else up
    return graph.add("MatMul", [graph.add("Relu", [up]), graph.weights(INNER, HIDDEN)], f"down_{len(graph.nodes)}")


def pre_norm(norm="rms", *, blocks=2, is_tied=False, has_bias=True, has_positions=True, opset=17):
    """A pre-norm transformer without attention: embedding, blocks, final norm, head."""
    graph = Graph()
    x = graph.add("Gather", [embedding(graph), "ids"], "embedding")
    if has_positions:
        x = graph.add("Add", [x, graph.vector(HIDDEN, "positions")])
    for _ in range(blocks):
        added = feed_forward(graph, NORMS[norm](graph, x), has_bias=has_bias)
        x = graph.add("Add", [x, graph.add("Add", [added, graph.vector()]) if has_bias else added])
    last = NORMS[norm](graph, x)
    head = graph.add("Transpose", ["table"], perm=[1, 0]) if is_tied else graph.weights(HIDDEN, TOKENS)
    return graph.model(graph.add("MatMul", [last, head], "logits"), opset=opset)


def gemm_pre_norm():
    """A stream [tokens, channels] that Gemm nodes read and write, transposed and with alpha and beta."""
    graph = Graph()
    x = graph.add("Gather", [embedding(graph), "ids"], "embedding")
    for _ in range(2):
        y = layer_norm(graph, x)
        y = graph.add("Gemm", [y, graph.weights(INNER, HIDDEN), graph.vector(INNER)], transB=1, alpha=0.5, beta=2.0)
        y = graph.add("Gemm", [graph.add("Tanh", [y]), graph.weights(INNER, HIDDEN), graph.vector()], beta=0.5)
        x = graph.add("Add", [y, x])
    y = graph.add("Gemm", [layer_norm(graph, x), graph.weights(HIDDEN, 7)], "logits", alpha=3.0)
    ids = onnx.helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["tokens"])
    return graph.model(y, inputs=[ids])


def skip_pre_norm(is_centred=False):
    """Residual additions and norms in one operator of com.microsoft."""
    op_type = "SkipLayerNormalization" if is_centred else "SkipSimplifiedLayerNormalization"
    graph = Graph()
    x = graph.add("Gather", [embedding(graph), "ids"], "embedding")
    y = feed_forward(graph, (fused_layer_norm if is_centred else fused_rms_norm)(graph, x), has_bias=False)
    for _ in range(2):
        inputs = [y, x, *[graph.vector() for _ in range(3 if is_centred else 2)]]
        skip = graph.add(op_type, inputs, outputs=4, domain="com.microsoft", epsilon=1e-5)
        graph.nodes[-1].output[1], graph.nodes[-1].output[2] = "", ""
        y, x = feed_forward(graph, skip[0], has_bias=False), skip[3]
    skip = graph.add(op_type, [y, x, graph.vector()], "last", domain="com.microsoft")
    return graph.model(graph.add("MatMul", [skip, graph.weights(HIDDEN, TOKENS)], "logits"))


def post_norm():
    graph = Graph()
    x = fused_layer_norm(graph, graph.add("Gather", [embedding(graph), "ids"], "embedding"))
    for _ in range(2):
        x = fused_layer_norm(graph, graph.add("Add", [x, feed_forward(graph, x)]))
    return graph.model(graph.add("MatMul", [x, graph.weights(HIDDEN, TOKENS)], "logits"))


def ids(samples=4, tokens=6):
    return {"ids": np.random.default_rng(1).integers(0, TOKENS, (samples, tokens))}


def weights_of(model):
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in load_model(model).graph.initializer}

"""A seeded generator of models with MatMul, Gemm and Conv in every place where a model may hold them.

Around them stand only operators that every runtime computes to the same bits. `RandomGraph(seed).build()` returns the
same model and inputs for the same seed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lba_onnx.arithmetic import AccumulatorSpec, FloatFormat

OPSET = 17
IR_VERSION = 8
FUNCTION_DOMAIN = "random"

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """A tensor of the model and its concrete shape."""

    name: str
    shape: Shape


@dataclass
class Scope:
    """A graph, a subgraph or a function body under construction; inner scopes see the values of `outer`."""

    outer: "Scope | None" = None
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    is_function: bool = False

    def root(self) -> "Scope":
        return self.outer.root() if self.outer else self


@dataclass(frozen=True)
class RandomModel:
    """A model, inputs for it, and the number of nodes that can be converted."""

    model: onnx.ModelProto
    inputs: dict[str, NDArray[Any]]
    convertible: int


def random_spec(generator: np.random.Generator) -> AccumulatorSpec:
    """Return a spec whose formats cover values around 1, narrow or wide, overflowing at times."""

    def random_format() -> FloatFormat:
        exponent_bits = int(generator.integers(2, 7))
        bias = 2 ** (exponent_bits - 1) + int(generator.integers(-2, 5))
        return FloatFormat(int(generator.integers(0, 23)), exponent_bits, bias)

    chunk_size = generator.choice([1, 2, 5, 16, 64, 0])
    return AccumulatorSpec(
        random_format(), random_format(), chunk_size=int(chunk_size) or None, underflow=bool(generator.random() < 0.7)
    )


class RandomGraph:
    """Builds one model from one seed."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.dtype = np.dtype(self.choice([np.float32, np.float32, np.float16]))
        self.element_type = helper.np_dtype_to_tensor_dtype(self.dtype)
        self.functions: list[onnx.FunctionProto] = []
        self.convertible = 0
        self._count = 0

    def build(self) -> RandomModel:
        """Return a model of one input, one output, and two to six steps between them."""
        scope = Scope()
        start = Value("x", self.random_shape())
        last = self.add_steps(scope, start, int(self.generator.integers(2, 7)), depth=0)
        scope.nodes.append(helper.make_node("Identity", [last.name], ["y"]))
        symbols = [f"size_{i}" if self.flip(0.3) else size for i, size in enumerate(start.shape)]
        graph = helper.make_graph(
            scope.nodes,
            "random",
            [
                helper.make_tensor_value_info("x", self.element_type, symbols),
                helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            ],
            [helper.make_tensor_value_info("y", self.element_type, [None] * len(last.shape))],
            scope.initializers,
        )
        imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(FUNCTION_DOMAIN, 1)]
        model = helper.make_model(graph, opset_imports=imports, functions=self.functions, ir_version=IR_VERSION)
        inputs = {"x": self.random_values(start.shape), "c": np.array(self.flip(0.5))}
        return RandomModel(model, inputs, self.convertible)

    # Draws

    def choice(self, options: Sequence[Any]) -> Any:
        return options[int(self.generator.integers(len(options)))]

    def flip(self, probability: float) -> bool:
        return bool(self.generator.random() < probability)

    def size(self, largest: int = 6) -> int:
        return int(self.generator.integers(1, largest + 1))

    def random_shape(self) -> Shape:
        rank = self.choice([2, 2, 3, 4, 5])
        shape = tuple(self.size(5) for _ in range(rank))
        return (0, *shape[1:]) if self.flip(0.04) else shape

    def random_values(self, shape: Shape) -> NDArray[Any]:
        """Return normal values, some of them zero, and in the other cases of few bits or over many binades."""
        values = self.generator.standard_normal(shape)
        style = self.choice(["plain", "coarse", "wide"])
        if style == "coarse":
            values = np.round(values * 4) / 4
        elif style == "wide":
            values = np.ldexp(values, self.generator.integers(-6, 7, shape))
        return np.where(self.generator.random(shape) < 0.1, 0.0, values).astype(self.dtype)

    def name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"

    # Nodes

    def node(self, scope: Scope, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node, named or not, and return the name of its output."""
        output = self.name("t")
        kept = {name: value for name, value in attributes.items() if value is not None}
        name = None if self.flip(0.3) else self.name(op_type.lower())
        scope.nodes.append(helper.make_node(op_type, inputs, [output], name=name, **kept))
        return output

    def constant(self, scope: Scope, array: NDArray[Any]) -> str:
        """Return a constant: an initializer here or in the main graph, a Constant node, or derived from one."""
        place = self.choice(["node", "derived"] if scope.root().is_function else ["own", "outer", "node", "derived"])
        if place in ("own", "outer"):
            name = self.name("w")
            owner = scope if place == "own" else scope.root()
            owner.initializers.append(numpy_helper.from_array(array, name))
            return name
        if place == "node":
            return self.node(scope, "Constant", [], value=numpy_helper.from_array(array, "value"))
        flipped = numpy_helper.from_array(np.ascontiguousarray(array.T), "value")
        return self.node(scope, "Transpose", [self.node(scope, "Constant", [], value=flipped)])

    def add_steps(self, scope: Scope, value: Value, count: int, depth: int) -> Value:
        for _ in range(count):
            value = self.add_step(scope, value, depth)
        return value

    def add_step(self, scope: Scope, value: Value, depth: int) -> Value:
        steps = [self.add_matmul, self.add_matmul, self.add_exact]
        if len(value.shape) == 2:
            steps += [self.add_gemm, self.add_gemm, self.add_self_product]
        if len(value.shape) in (3, 4, 5):
            steps += [self.add_conv, self.add_conv, self.add_conv]
        if depth < 2 and not scope.root().is_function:
            steps += [self.add_if, self.add_loop]
        if depth < 2:
            steps.append(self.add_call)
        step = self.choice(steps)
        nests = step in (self.add_if, self.add_loop, self.add_call)
        return step(scope, value, depth) if nests else step(scope, value)

    def add_matmul(self, scope: Scope, value: Value) -> Value:
        depth, columns = value.shape[-1], self.size()
        self.convertible += 1
        if self.flip(0.1) and len(value.shape) > 1:
            weight = self.constant(scope, self.random_values((depth,)))
            return Value(self.node(scope, "MatMul", [value.name, weight]), value.shape[:-1])
        batch = value.shape[:-2] if self.flip(0.3) else ()
        weight = self.constant(scope, self.random_values((*batch, depth, columns)))
        return Value(self.node(scope, "MatMul", [value.name, weight]), (*value.shape[:-1], columns))

    def add_self_product(self, scope: Scope, value: Value) -> Value:
        """Multiply a matrix by its own transpose, as attention does: no constant operand."""
        self.convertible += 1
        transposed = self.node(scope, "Transpose", [value.name])
        return Value(self.node(scope, "MatMul", [value.name, transposed]), (value.shape[0], value.shape[0]))

    def add_gemm(self, scope: Scope, value: Value) -> Value:
        self.convertible += 1
        transposes_a, transposes_b = self.flip(0.5), self.flip(0.5)
        depth, rows = value.shape if transposes_a else value.shape[::-1]
        columns = self.size()
        inputs = [
            value.name,
            self.constant(scope, self.random_values((columns, depth) if transposes_b else (depth, columns))),
        ]
        bias = self.choice([None, "", (columns,), (1, columns), (rows, 1), (rows, columns), ()])
        if bias is not None:
            inputs.append("" if bias == "" else self.constant(scope, self.random_values(bias)))
        output = self.node(
            scope,
            "Gemm",
            inputs,
            alpha=self.choice([None, 0.5, 1.3]),
            beta=self.choice([None, 2.0, 0.7]),
            transA=int(transposes_a) or None,
            transB=self.choice([1]) if transposes_b else None,
        )
        return Value(output, (rows, columns))

    def add_conv(self, scope: Scope, value: Value) -> Value:
        channels, sizes = value.shape[1], value.shape[2:]
        group = self.choice([d for d in range(1, channels + 1) if channels % d == 0] or [1])
        filters = group * self.size(3)
        kernel = tuple(self.size(min(3, size)) if size else 1 for size in sizes)
        strides, dilations = self.choice([None, self.sizes(sizes, 3)]), None
        auto_pad = self.choice([None, None, "SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
        pads = None
        if auto_pad in (None, "NOTSET"):
            pads = self.choice([None, [int(p) for p in self.generator.integers(0, 3, 2 * len(sizes))]])
            dilations = self.choice([None, self.sizes(sizes, 2)])
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations or [1] * len(sizes), strict=True)]
        if min(sizes) == 0 or any(r > size for r, size in zip(reach, sizes, strict=True)):
            return self.add_exact(scope, value)
        self.convertible += 1
        inputs = [value.name, self.constant(scope, self.random_values((filters, channels // group, *kernel)))]
        if self.flip(0.6):
            inputs.append(self.constant(scope, self.random_values((filters,))) if self.flip(0.8) else "")
        output = self.node(
            scope, "Conv", inputs, auto_pad=auto_pad, group=group, strides=strides, pads=pads, dilations=dilations,
            kernel_shape=self.choice([None, list(kernel)]),
        )  # fmt: skip
        return Value(output, (value.shape[0], filters, *_conv_sizes(sizes, reach, strides, pads, auto_pad)))

    def sizes(self, like: Sequence[int], largest: int) -> list[int]:
        return [self.size(largest) for _ in like]

    def add_exact(self, scope: Scope, value: Value) -> Value:
        """Add an operator that rounds nothing."""
        op_type = self.choice(["Relu", "Identity", "Neg", "Abs", "Transpose", "Flatten", "Concat"])
        if op_type == "Transpose" and value.shape:
            order = [int(axis) for axis in self.generator.permutation(len(value.shape))]
            output = self.node(scope, "Transpose", [value.name], perm=order)
            return Value(output, tuple(value.shape[axis] for axis in order))
        if op_type == "Flatten" and math.prod(value.shape) and value.shape:
            shape = (value.shape[0], math.prod(value.shape[1:]))
            return Value(self.node(scope, "Flatten", [value.name], axis=1), shape)
        if op_type == "Concat" and value.shape:
            output = self.node(scope, "Concat", [value.name, value.name], axis=0)
            return Value(output, (2 * value.shape[0], *value.shape[1:]))
        op_type = op_type if op_type in ("Relu", "Identity", "Neg", "Abs") else "Identity"
        return Value(self.node(scope, op_type, [value.name]), value.shape)

    def add_if(self, scope: Scope, value: Value, depth: int) -> Value:
        """Add a choice between a branch of steps and one of as many zeros."""
        inner = Scope(scope)
        result = self.add_steps(inner, value, self.size(2), depth + 1)
        inner.nodes.append(helper.make_node("Identity", [result.name], [chosen := self.name("chosen")]))
        other = Scope(scope)
        zeros = numpy_helper.from_array(np.zeros(result.shape, self.dtype), "value")
        other.nodes.append(helper.make_node("Constant", [], [unchosen := self.name("unchosen")], value=zeros))
        branches = [self.branch(inner, chosen, result.shape), self.branch(other, unchosen, result.shape)]
        if self.flip(0.5):
            branches.reverse()
        return Value(self.node(scope, "If", ["c"], then_branch=branches[0], else_branch=branches[1]), result.shape)

    def branch(self, scope: Scope, output: str, shape: Shape) -> onnx.GraphProto:
        outputs = [helper.make_tensor_value_info(output, self.element_type, [None] * len(shape))]
        return helper.make_graph(scope.nodes, self.name("branch"), [], outputs, scope.initializers)

    def add_loop(self, scope: Scope, value: Value, depth: int) -> Value:
        """Add two rounds of multiplying by a square matrix."""
        if not value.shape:
            return self.add_exact(scope, value)
        inner = Scope(scope)
        state, go_on = Value(self.name("state"), value.shape), self.name("go_on")
        size = value.shape[-1]
        self.convertible += 1
        weight = self.constant(inner, self.random_values((size, size)))
        result = self.node(inner, "MatMul", [state.name, weight])
        inner.nodes.append(helper.make_node("Identity", [go_on], [still := self.name("still")]))
        body = helper.make_graph(
            inner.nodes,
            self.name("body"),
            [
                helper.make_tensor_value_info(self.name("round"), TensorProto.INT64, []),
                helper.make_tensor_value_info(go_on, TensorProto.BOOL, []),
                helper.make_tensor_value_info(state.name, self.element_type, [None] * len(value.shape)),
            ],
            [
                helper.make_tensor_value_info(still, TensorProto.BOOL, []),
                helper.make_tensor_value_info(result, self.element_type, [None] * len(value.shape)),
            ],
            inner.initializers,
        )
        rounds, start = self.name("rounds"), self.name("start")
        scope.root().initializers.append(numpy_helper.from_array(np.array(2), rounds))
        scope.root().initializers.append(numpy_helper.from_array(np.array(True), start))
        return Value(self.node(scope, "Loop", [rounds, start, value.name], body=body), value.shape)

    def add_call(self, scope: Scope, value: Value, depth: int) -> Value:
        """Add a model-local function of a few steps, which may call others, and a call of it."""
        body = Scope(is_function=True)
        result = self.add_steps(body, Value("a", value.shape), self.size(3), depth + 1)
        body.nodes.append(helper.make_node("Identity", [result.name], ["b"]))
        name = self.name("Block")
        imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(FUNCTION_DOMAIN, 1)]
        self.functions.append(helper.make_function(FUNCTION_DOMAIN, name, ["a"], ["b"], body.nodes, imports))
        output = self.name("t")
        scope.nodes.append(helper.make_node(name, [value.name], [output], domain=FUNCTION_DOMAIN))
        return Value(output, result.shape)


def _conv_sizes(
    sizes: Shape, reach: Sequence[int], strides: Sequence[int] | None, pads: Sequence[int] | None, auto_pad: str | None
) -> Shape:
    axes = len(sizes)
    steps = strides or [1] * axes
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        return tuple(-(-size // step) for size, step in zip(sizes, steps, strict=True))
    margins = pads or [0] * (2 * axes)
    return tuple((sizes[i] + margins[i] + margins[i + axes] - reach[i]) // steps[i] + 1 for i in range(axes))

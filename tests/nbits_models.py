"""Models of one MatMulNBits of com.microsoft, or of its twin, with weights drawn at random."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from operator_models import tensor_info

from lba_onnx.reference.block_quantization import dequantized_weights, has_plain_blocks, quantized_rows
from lba_onnx.session import make_session

Array = NDArray[Any]


def packed(codes: Array, bits: int) -> Array:
    """Pack codes along the last axis, the first of a byte in its lowest bits."""
    each = 8 // bits
    padding = [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % each)]
    groups = np.pad(codes, padding).reshape(*codes.shape[:-1], -1, each).astype(np.uint32)
    return (groups << (bits * np.arange(each, dtype=np.uint32))).sum(-1).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class NBits:
    """An operand A, and weights: `inputs` are those behind A, in order, None for an absent one."""

    a: Array
    inputs: tuple[Array | None, ...]
    attributes: dict[str, int] = field(default_factory=dict)
    bias: Array | None = None

    @property
    def weights(self) -> Array:
        """What the codes stand for, float32 [depth, columns]."""
        sizes = {"depth": self.attributes["K"], "bits": self.attributes["bits"]}
        return dequantized_weights(*self.inputs, **sizes, block_size=self.attributes["block_size"])

    @property
    def multiplied(self) -> Array:
        """A as float32, as it is multiplied."""
        a = self.a.astype(np.float32)
        quantizes = self.attributes["accuracy_level"] == 4 and has_plain_blocks(*(*self.inputs, None, None)[2:4])
        return quantized_rows(a, self.attributes["block_size"]) if quantizes else a

    def named(self, *, has_bias: bool = True) -> dict[str, Array | None]:
        """All inputs by name."""
        bias = self.bias if has_bias else None
        names = ("A", "B", "scales", "zero_points", "g_idx", "bias")
        return dict(zip(names, (self.a, *(*self.inputs, None, None)[:4], bias), strict=True))

    def model(
        self,
        domain: str = "com.microsoft",
        *,
        is_dynamic: bool = False,
        dimensions: Sequence[int | str] | None = None,
        **attributes: Any,
    ) -> onnx.ModelProto:
        """A model of the one node, called "proj"; of the twin in domain lba_onnx, which has no bias.

        Weights may be fed, and A declared with its dimensions.
        """
        is_twin = domain == "lba_onnx"
        inputs = self.named(has_bias=not is_twin)
        names = ["" if value is None else name for name, value in inputs.items()]
        while not names[-1]:
            names.pop()
        op_type = "LbaMatMulNBits" if is_twin else "MatMulNBits"
        node = helper.make_node(op_type, names, ["Y"], "proj", domain=domain, **self.attributes, **attributes)
        given = {name: value for name, value in inputs.items() if value is not None}
        fed = list(given) if is_dynamic else ["A"]
        element = helper.np_dtype_to_tensor_dtype(self.a.dtype)
        graph = helper.make_graph(
            [node],
            "graph",
            [tensor_info(name, given[name].dtype, dimensions if name == "A" else None) for name in fed],
            [helper.make_tensor_value_info("Y", element, None)],
            [numpy_helper.from_array(value, name) for name, value in given.items() if name not in fed],
        )
        opsets = [helper.make_opsetid(name, version) for name, version in (("", 17), ("com.microsoft", 1))]
        opsets.append(helper.make_opsetid("lba_onnx", 1))
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def feeds(self, model: onnx.ModelProto) -> dict[str, Array]:
        """What a model of this takes."""
        given = self.named()
        return {value.name: given[value.name] for value in model.graph.input}

    def run(self, model: onnx.ModelProto, threads: int = 1) -> Array:
        """Run a model of this."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        return make_session(model, options).run(None, self.feeds(model))[0]


def draw(
    seed: int,
    *,
    rows: int = 3,
    depth: int = 39,
    columns: int = 35,
    bits: int = 4,
    block_size: int = 16,
    zero_points: str = "",
    has_g_idx: bool = False,
    has_bias: bool = False,
    accuracy_level: int = 0,
    dtype: Any = np.float32,
) -> NBits:
    """Draw a node's inputs; zero_points: "", "codes" or "floats"."""
    rng = np.random.default_rng(seed)
    blocks = -(-depth // block_size)
    codes = rng.integers(0, 1 << bits, (columns, blocks, block_size))
    codes.reshape(columns, -1)[:, depth:] = 0
    points = rng.integers(0, 1 << bits, (columns, blocks))
    kinds = {
        "": None,
        "codes": packed(points, bits),
        "floats": (points + rng.standard_normal((columns, blocks))).astype(dtype),
    }
    inputs = [packed(codes, bits), rng.standard_normal((columns, blocks)).astype(dtype)]
    if zero_points or has_g_idx:
        inputs.append(kinds[zero_points])
    if has_g_idx:
        inputs.append(rng.integers(0, blocks, depth).astype(np.int32))
    attributes = {"K": depth, "N": columns, "bits": bits, "block_size": block_size, "accuracy_level": accuracy_level}
    bias = rng.standard_normal(columns).astype(dtype) if has_bias else None
    return NBits(rng.standard_normal((rows, depth)).astype(dtype), tuple(inputs), attributes, bias)


def with_scales(case: NBits, scales: Array) -> NBits:
    """Return a case with other scales."""
    return replace(case, inputs=(case.inputs[0], scales, *case.inputs[2:]))

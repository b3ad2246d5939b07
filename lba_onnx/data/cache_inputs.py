"""Inputs that hold the KV cache of a language model, and the head size that some exports leave open in them.

onnxruntime-genai's builder gives the last axis of past_key_values.N.key a name in place of a size. The graph tells it
all the same: attention has `num_heads`, and its output the width of all of them.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx
    import onnxruntime

_TOKENS_AXIS, _RANK = 2, 4
_HEADS = ("num_heads", "q_num_heads")


def is_cache(name: str, shape: tuple[int | None, ...] | None) -> bool:
    """Return whether an input is keys or values [samples, heads, past tokens, head size]."""
    is_open = shape is not None and len(shape) == _RANK and shape[_TOKENS_AXIS] in (None, 0)
    return is_open and name.startswith("past")


def head_size(session: "onnxruntime.InferenceSession") -> int | None:
    """Return the head size of all attention in a session's graph; None where there is none, or several, or no graph."""
    graph = _graph_of(session)
    if graph is None:
        return None
    widths = {value.name: _width(value) for value in (*graph.value_info, *graph.output)}
    sizes = set()
    for node in graph.node:
        heads = next((a.i for a in node.attribute if a.name in _HEADS and a.i > 0), 0)
        if heads and node.output and widths.get(node.output[0]):
            sizes.add(widths[node.output[0]] // heads)
    return sizes.pop() if len(sizes) == 1 else None


def _graph_of(session: "onnxruntime.InferenceSession") -> "onnx.GraphProto | None":
    """Return the graph that a session was made from; None where it has gone."""
    import onnx

    path, content = (getattr(session, name, None) for name in ("_model_path", "_model_bytes"))
    if content:
        return onnx.load_from_string(content).graph
    return onnx.load(path, load_external_data=False).graph if path and Path(path).is_file() else None


def _width(value: Any) -> int:
    sizes: Iterable[Any] = value.type.tensor_type.shape.dim
    return next((int(size.dim_value) for size in reversed(list(sizes))), 0)

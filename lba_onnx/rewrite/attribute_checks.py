"""Values of attributes that no runtime takes: a node that has one is not converted, and the error says its name.

MatMulNBits "proj", block_size=0    ->    ModelError: expected block_size to be a power of two from 16 on, got 0
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lba_onnx.errors import ModelError
from lba_onnx.rewrite.attributes import own_attributes
from lba_onnx.rewrite.candidates import Candidate


@dataclass(frozen=True)
class _Allowed:
    """What an attribute may be; of a list, each of its values.

    Attributes:
        words: For the message.
        holds: Tells whether a value is one.
    """

    words: str
    holds: Callable[[Any], bool]


def _at_least(least: int) -> _Allowed:
    return _Allowed(f"at least {least}", lambda value: value >= least)


def _one_of(*values: Any) -> _Allowed:
    return _Allowed(f"one of {', '.join(map(str, values))}", lambda value: value in values)


_ALLOWED: Mapping[str, _Allowed] = {
    **dict.fromkeys(("K", "N", "hidden_size", "group", "kernel_shape", "strides", "dilations"), _at_least(1)),
    **dict.fromkeys(("num_heads", "q_num_heads", "kv_num_heads"), _at_least(1)),
    **dict.fromkeys(("output_shape", "qkv_hidden_sizes"), _at_least(1)),
    **dict.fromkeys(("pads", "output_padding"), _at_least(0)),
    "direction": _one_of("forward", "reverse", "bidirectional"),
    "layout": _one_of(0, 1),
    "block_size": _Allowed("a power of two from 16 on", lambda size: size >= 16 and size & (size - 1) == 0),
    "auto_pad": _one_of("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
    "qk_matmul_output_mode": _one_of(0, 1, 2, 3),
    "qk_output": _one_of(0, 1, 2),
}
_OF_OPERATOR: Mapping[str, Mapping[str, _Allowed]] = {
    "MatMulNBits": {"bits": _one_of(2, 4, 8)},
    "MatMulBnb4": {"block_size": _at_least(1), "quant_type": _one_of(0, 1)},
}
_DIVIDED = "num_heads", "q_num_heads"
_DIVISOR = "kv_num_heads"


def check_attributes(candidate: Candidate) -> None:
    """Check what a node to convert is told; what differs between the calls of its function is not.

    Args:
        candidate: Any of the node's products.

    Raises:
        ModelError: An attribute has a value that it cannot have.
    """
    node = candidate.given_node
    given = own_attributes(node) if candidate.origin else candidate.site.attributes()
    known = {name: _as_text(value) for name, value in given.items() if value is not None}
    rules = {**_ALLOWED, **_OF_OPERATOR.get(node.op_type, {})}
    for name, value in known.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        if name in rules and not all(map(rules[name].holds, values)):
            raise _error(candidate, f"expected {name} to be {rules[name].words}, got {value}")
    for name in _DIVIDED:
        if name in known and _DIVISOR in known and known[name] % known[_DIVISOR]:
            raise _error(candidate, f"expected {_DIVISOR} to divide {name}, got {known[_DIVISOR]} and {known[name]}")


def _error(candidate: Candidate, problem: str) -> ModelError:
    node = candidate.given_node
    return ModelError(f"{node.op_type} {node.name!r} in {candidate.site.location}: {problem}")


def _as_text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value

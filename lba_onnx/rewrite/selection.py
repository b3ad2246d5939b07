"""Which candidates to convert, and with which spec: names, regular expressions, operator types."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lba_onnx import ops
from lba_onnx.accumulator import AccumulatorSpec
from lba_onnx.errors import SelectionError
from lba_onnx.rewrite.candidates import UNKNOWN_TYPE, Candidate

Specs: TypeAlias = AccumulatorSpec | Mapping[str, AccumulatorSpec]


@dataclass(frozen=True)
class Selection:
    """What the caller asked for.

    Attributes:
        nodes_to_exclude: Names and regular expressions of nodes that stay as they are.
        nodes_to_convert: Names and regular expressions of the nodes to convert; empty for all.
        op_types_to_convert: Some of MatMul, Gemm and Conv.
    """

    nodes_to_exclude: tuple[str, ...] = ()
    nodes_to_convert: tuple[str, ...] = ()
    op_types_to_convert: tuple[str, ...] = tuple(ops.OP_TYPES)

    @classmethod
    def of(
        cls,
        nodes_to_exclude: Iterable[str] | None,
        nodes_to_convert: Iterable[str] | None,
        op_types_to_convert: Iterable[str],
    ) -> "Selection":
        """Check the arguments of `convert` and return them as a selection.

        Raises:
            TypeError: One of them is a string, or holds something else than strings.
            SelectionError: An operator type is none that can be converted.
        """
        op_types = _strings("op_types_to_convert", op_types_to_convert)
        for op_type in op_types:
            if op_type not in ops.OP_TYPES:
                raise SelectionError(
                    f"op_types_to_convert: expected some of {', '.join(ops.OP_TYPES)}, got {op_type!r}"
                )
        return cls(
            _strings("nodes_to_exclude", nodes_to_exclude or ()),
            _strings("nodes_to_convert", nodes_to_convert or ()),
            op_types,
        )


@dataclass(frozen=True)
class Decision:
    """What becomes of a candidate.

    Attributes:
        candidate: The node.
        spec: Its spec, or None where it stays as it is.
        reason: Why it stays; for a converted node, what is worth knowing about it, or "".
    """

    candidate: Candidate
    spec: AccumulatorSpec | None
    reason: str


def decide(candidates: Sequence[Candidate], specs: Specs, selection: Selection) -> list[Decision]:
    """Return what becomes of each candidate, in their order.

    Raises:
        TypeError: `specs` is neither a spec nor a mapping of names to specs.
        SelectionError: A name or pattern selects nothing, or nodes_to_convert names a node that cannot be converted.
    """
    chosen = _specs_by_name(candidates, specs)
    excluded = _matches(candidates, selection.nodes_to_exclude, "nodes_to_exclude")
    included = _matches(candidates, selection.nodes_to_convert, "nodes_to_convert")
    _refuse_impossible(candidates, selection.nodes_to_convert)
    decisions = []
    for candidate in candidates:
        reason = candidate.obstacle
        if reason is None and candidate.site.node.op_type not in selection.op_types_to_convert:
            reason = f"operator type not in op_types_to_convert ({', '.join(selection.op_types_to_convert)})"
        if reason is None and candidate.name in excluded:
            reason = f"excluded by {excluded[candidate.name]!r}"
        if reason is None and selection.nodes_to_convert and candidate.name not in included:
            reason = "not in nodes_to_convert"
        if reason is None and candidate.name not in chosen:
            reason = "no spec given"
        spec = chosen[candidate.name] if reason is None else None
        decisions.append(Decision(candidate, spec, _remark(candidate) if reason is None else reason))
    return decisions


def _remark(candidate: Candidate) -> str:
    if candidate.element_type == UNKNOWN_TYPE:
        return "element type unknown, taken for float32 or float16"
    if candidate.element_type in ("bfloat16", "float64"):
        return f"{candidate.element_type} operands, cast to float32 and back"
    return ""


def _specs_by_name(candidates: Sequence[Candidate], specs: Specs) -> dict[str, AccumulatorSpec]:
    if isinstance(specs, AccumulatorSpec):
        return dict.fromkeys((candidate.name for candidate in candidates), specs)
    if not isinstance(specs, Mapping):
        raise TypeError(f"expected an AccumulatorSpec or a mapping of node names to them, got {type(specs).__name__}")
    chosen: dict[str, AccumulatorSpec] = {}
    for name, spec in specs.items():
        if not isinstance(spec, AccumulatorSpec):
            raise TypeError(f"spec of node {name!r}: expected an AccumulatorSpec, got {type(spec).__name__}")
        named = _named(candidates, name)
        if not named:
            raise SelectionError(f"spec: {_nothing_found('no node is called', name, candidates)}")
        for candidate in named:
            if candidate.obstacle and not candidate.is_converted:
                raise SelectionError(f"spec: node {candidate.name!r} cannot take a spec: {candidate.obstacle}")
            if candidate.name == name or candidate.name not in specs:
                chosen[candidate.name] = spec
    return chosen


def _matches(candidates: Sequence[Candidate], patterns: Iterable[str], argument: str) -> dict[str, str]:
    """Return the names that the patterns select, each with the first pattern that does."""
    selected: dict[str, str] = {}
    for pattern in patterns:
        matched = _select(candidates, pattern, argument)
        if not matched:
            raise SelectionError(f"{argument}: {_nothing_found('nothing matches', pattern, candidates)}")
        for candidate in matched:
            selected.setdefault(candidate.name, pattern)
    return selected


def _select(candidates: Sequence[Candidate], pattern: str, argument: str) -> list[Candidate]:
    """Return the nodes of that exact name, or else those that the regular expression matches in full."""
    named = _named(candidates, pattern)
    if named:
        return named
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise SelectionError(f"{argument}: {pattern!r} is no node's name and no regular expression: {error}") from None
    return [c for c in candidates if expression.fullmatch(c.name) or expression.fullmatch(c.site.node.name)]


def _named(candidates: Sequence[Candidate], name: str) -> list[Candidate]:
    """Return the node of that unique name, or else all that share the name."""
    exact = [candidate for candidate in candidates if candidate.name == name]
    return exact or [candidate for candidate in candidates if candidate.site.node.name == name]


def _refuse_impossible(candidates: Sequence[Candidate], patterns: Iterable[str]) -> None:
    for pattern in patterns:
        named = _named(candidates, pattern)
        if named and all(candidate.obstacle for candidate in named):
            raise SelectionError(f"nodes_to_convert: {pattern!r} cannot be converted: {named[0].obstacle}")


def _nothing_found(problem: str, name: str, candidates: Sequence[Candidate]) -> str:
    names = [candidate.name for candidate in candidates]
    if not names:
        return f"{problem} {name!r}; the model has no node that multiplies and accumulates"
    nearest = difflib.get_close_matches(name, names, n=3, cutoff=0.0)
    return f"{problem} {name!r}; the nearest names are {', '.join(map(repr, nearest))}"


def _strings(argument: str, values: Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{argument}: expected a list of strings, got the single {type(values).__name__} {values!r}")
    strings = tuple(values)
    for value in strings:
        if not isinstance(value, str):
            raise TypeError(f"{argument}: expected strings, got {type(value).__name__} {value!r}")
    return strings

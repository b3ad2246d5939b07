"""Which candidates to convert, and with which spec: names, regular expressions, operator types."""

import difflib
import heapq
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import onnx

from lba_onnx.arithmetic import Accumulator
from lba_onnx.errors import SelectionError
from lba_onnx.operators import LOWERED_ON_REQUEST, op_types
from lba_onnx.rewrite.candidates import UNKNOWN_TYPE, Candidate
from lba_onnx.rewrite.provenance import OPTIONS_KEY, read_json_entry
from lba_onnx.rewrite.specs import complete_specs

_MAX_COMPARED = 500  # names, of which the nearest to one that was not found are looked for; each takes a while


@dataclass(frozen=True)
class Selection:
    """Which nodes to convert, or to calibrate.

    Attributes:
        nodes_to_exclude: Names of nodes that stay as they are, or regular expressions that match whole names.
        nodes_to_convert: Names or regular expressions of the nodes to take; empty for all. Exclusion wins.
        op_types_to_convert: Some of those that can be converted, such as MatMul, Conv and FusedMatMul; None for all.
        accumulate: Groups of operators that only accumulate, and are taken apart where they are named: "reductions".

    Raises:
        TypeError: A field is no list of strings.
        SelectionError: An operator type is none that can be converted, or there is no such group.
    """

    nodes_to_exclude: Sequence[str] = ()
    nodes_to_convert: Sequence[str] = ()
    op_types_to_convert: Sequence[str] | None = None
    accumulate: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check the fields."""
        for name, values in vars(self).items():
            if values is not None or name != "op_types_to_convert":
                object.__setattr__(self, name, _strings(name, values))
        _known("accumulate", self.accumulate, tuple(LOWERED_ON_REQUEST))
        _known("op_types_to_convert", self.op_types_to_convert or (), op_types(self.accumulate))

    @property
    def op_types(self) -> tuple[str, ...]:
        """The operator types to convert."""
        return op_types(self.accumulate) if self.op_types_to_convert is None else tuple(self.op_types_to_convert)

    def described(self) -> dict[str, list[str]]:
        """Return the fields as JSON values, with the operator types by name; groups only where some are named."""
        return {
            "nodes_to_exclude": list(self.nodes_to_exclude),
            "nodes_to_convert": list(self.nodes_to_convert),
            "op_types_to_convert": list(self.op_types),
            **({"accumulate": list(self.accumulate)} if self.accumulate else {}),
        }


def requested_groups(model: onnx.ModelProto) -> Selection:
    """Return the groups that a converted model was converted with, as a selection of all nodes."""
    groups = read_json_entry(model, OPTIONS_KEY).get("accumulate")
    known = groups if isinstance(groups, list) else ()
    return Selection(accumulate=[group for group in LOWERED_ON_REQUEST if group in known])


@dataclass(frozen=True)
class Decision:
    """What becomes of a candidate.

    Attributes:
        candidate: The product.
        spec: Its spec, or None where its node stays as it is.
        reason: Why it is not selected; for one that is, what is worth knowing about it, or "".
        is_selected: Whether it is converted for its own sake. What is not and has a spec all the same is a product of
            a node that is converted for another one: its spec stands for float32.
        is_wanted: Whether the caller asked for it, whether it can be converted or not.
    """

    candidate: Candidate
    spec: Accumulator | None
    reason: str
    is_selected: bool = False
    is_wanted: bool = False


def decide(
    candidates: Sequence[Candidate], specs: Accumulator | Mapping[str, Accumulator], selection: Selection
) -> list[Decision]:
    """Return what becomes of each candidate, in their order.

    Args:
        candidates: The products of the model.
        specs: One spec for all of them, or names to specs.
        selection: What the caller asked for.

    Raises:
        SelectionError: A name or pattern selects nothing, or nodes_to_convert names a node that cannot be converted.
    """
    names = _Names(candidates)
    chosen = _specs_by_name(names, specs)
    excluded = _matches(names, selection.nodes_to_exclude, "nodes_to_exclude")
    included = _matches(names, selection.nodes_to_convert, "nodes_to_convert")
    _refuse_impossible(names, selection.nodes_to_convert, chosen)
    decisions = []
    for candidate in candidates:
        unwanted = None
        if candidate.given_node.op_type not in selection.op_types:
            unwanted = f"operator type not in op_types_to_convert ({', '.join(selection.op_types)})"
        elif candidate.name in excluded:
            unwanted = f"excluded by {excluded[candidate.name]!r}"
        elif selection.nodes_to_convert and candidate.name not in included:
            unwanted = "not in nodes_to_convert"
        elif candidate.name not in chosen:
            unwanted = "no spec given"
        obstacle = candidate.obstacle_to(chosen.get(candidate.name))
        reason = unwanted if obstacle is None else obstacle
        spec = chosen[candidate.name] if reason is None else None
        told = _remark(candidate, spec) if reason is None else reason
        decisions.append(Decision(candidate, spec, told, is_selected=reason is None, is_wanted=unwanted is None))
    return [decision for own in by_node(decisions) for decision in _with_wide(own)]


def by_node(decisions: Iterable[Decision]) -> list[list[Decision]]:
    """Return the decisions on the products of each node, in the order of the nodes."""
    return [list(own) for _, own in groupby(decisions, key=lambda decision: decision.candidate.node_name)]


def _with_wide(own: Sequence[Decision]) -> Iterator[Decision]:
    """Give the products of one node that are not selected beside one that is a spec that stands for float32."""
    specs = complete_specs([decision.spec for decision in own])
    for decision, spec in zip(own, specs, strict=True):
        is_wide = spec is not None and decision.spec is None
        yield replace(decision, spec=spec, reason=f"{decision.reason}; stands for float32") if is_wide else decision


def _remark(candidate: Candidate, spec: Accumulator | None) -> str:
    if spec is not None and spec.sums_codes:
        return ""
    if candidate.element_type == UNKNOWN_TYPE:
        return "element type unknown, taken for float32 or float16"
    if candidate.element_type in ("bfloat16", "float64"):
        return f"{candidate.element_type} operands, cast to float32 and back"
    return ""


class _Names:
    """The candidates by what selections may call them."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.candidates = candidates
        self._keys = [candidate.name for candidate in candidates]
        self._unique: dict[str, list[Candidate]] = {}
        self._shared: dict[str, list[Candidate]] = {}
        for candidate in candidates:
            for text in set(candidate.unique_texts):
                self._unique.setdefault(text, []).append(candidate)
            for text in set(candidate.texts):
                self._shared.setdefault(text, []).append(candidate)

    def named(self, text: str) -> list[Candidate]:
        """Return the product of that key, or all of the node of that unique name, or else all that share the text."""
        return self._unique.get(text) or self._shared.get(text, [])

    def not_found(self, problem: str, name: str) -> str:
        """Return an error message that lists the nearest names."""
        if not self._keys:
            return f"{problem} {name!r}; the model has no node that multiplies and accumulates"
        return f"{problem} {name!r}; the nearest names are {', '.join(map(repr, _nearest(name, self._keys)))}"


def _nearest(name: str, names: Iterable[str]) -> list[str]:
    """Return three names, of those that share most characters with this one the most similar."""
    matcher = difflib.SequenceMatcher(b=name)

    def shared(other: str) -> float:
        matcher.set_seq1(other)
        return matcher.quick_ratio()

    likely = heapq.nlargest(_MAX_COMPARED, names, key=shared)
    return difflib.get_close_matches(name, likely, n=3, cutoff=0.0)


def _specs_by_name(names: _Names, specs: Accumulator | Mapping[str, Accumulator]) -> dict[str, Accumulator]:
    if isinstance(specs, Accumulator):
        return {candidate.name: specs.in_product(candidate.name) for candidate in names.candidates}
    found: dict[str, dict[str, Accumulator]] = {}
    for text, spec in specs.items():
        named = names.named(text)
        if not named:
            raise SelectionError(f"spec: {names.not_found('no node is called', text)}")
        for candidate in named:
            if not candidate.is_converted and (obstacle := candidate.obstacle_to(spec)):
                raise SelectionError(f"spec: node {candidate.name!r} cannot take {spec}: {obstacle}")
            found.setdefault(candidate.name, {})[text] = spec
    given = ((candidate, found.get(candidate.name, {})) for candidate in names.candidates)
    return {candidate.name: _most_exact(candidate, texts) for candidate, texts in given if texts}


def _most_exact(candidate: Candidate, specs: Mapping[str, Accumulator]) -> Accumulator:
    return next(specs[text] for text in candidate.texts if text in specs)


def _matches(names: _Names, patterns: Iterable[str], argument: str) -> dict[str, str]:
    """Return the names that the patterns select, each with the first pattern that does."""
    selected: dict[str, str] = {}
    for pattern in patterns:
        matched = _select(names, pattern, argument)
        if not matched:
            raise SelectionError(f"{argument}: {names.not_found('nothing matches', pattern)}")
        for candidate in matched:
            selected.setdefault(candidate.name, pattern)
    return selected


def _select(names: _Names, pattern: str, argument: str) -> list[Candidate]:
    """Return the products of that exact name, or else those that the regular expression matches in full."""
    named = names.named(pattern)
    if named:
        return named
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise SelectionError(f"{argument}: {pattern!r} is no node's name and no regular expression: {error}") from None
    return [c for c in names.candidates if any(expression.fullmatch(text) for text in c.texts)]


def _refuse_impossible(names: _Names, patterns: Iterable[str], specs: Mapping[str, Accumulator]) -> None:
    for pattern in patterns:
        obstacles = [candidate.obstacle_to(specs.get(candidate.name)) for candidate in names.named(pattern)]
        if obstacles and all(obstacles):
            raise SelectionError(f"nodes_to_convert: {pattern!r} cannot be converted: {obstacles[0]}")


def _known(name: str, values: Iterable[str], known: Sequence[str]) -> None:
    for value in values:
        if value not in known:
            raise SelectionError(f"{name}: expected some of {', '.join(known)}, got {value!r}")


def _strings(name: str, values: Any) -> tuple[str, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{name}: expected a list of strings, got the single {type(values).__name__} {values!r}")
    strings = tuple(values)
    for value in strings:
        if not isinstance(value, str):
            raise TypeError(f"{name}: expected strings, got {type(value).__name__} {value!r}")
    return strings

"""Which products choose together, and from what.

share "layer.*"     all that match have one choice between them, as where one array of hardware computes them
fix "stem=M10E5"    this product has that choice, which need not be offered to others
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lba_onnx.errors import SelectionError
from lba_onnx.searching.choices import Choice


@dataclass(frozen=True)
class Group:
    """Products that share a choice.

    Attributes:
        products: Their keys.
        options: The choices that all of them take, by number.
        is_fixed: Whether the user has chosen.
    """

    products: tuple[str, ...]
    options: tuple[int, ...]
    is_fixed: bool


def make_groups(
    names: Sequence[str],
    choices: Sequence[Choice],
    offered: int,
    share: Iterable[str] = (),
    fix: Mapping[str, str] | None = None,
) -> tuple[Group, ...]:
    """Return the groups, in the order of their first products; every product is in one.

    Args:
        names: The products.
        choices: What there is, with what was asked for by `fix` alone at the end.
        offered: How many of the choices all products may have.
        share: Names, or regular expressions of whole names: what matches one of them is one group.
        fix: Names or expressions, to texts of choices.

    Raises:
        SelectionError: A pattern matches nothing, a group takes no choice, or two are fixed for it.
    """
    leaders = {name: name for name in names}
    for pattern in share:
        matched = _matching(names, pattern, "share")
        joined = {leaders[name] for name in matched}
        leader = min(joined, key=names.index)
        leaders = {name: leader if other in joined else other for name, other in leaders.items()}
    fixed = _fixed(names, [choice.text for choice in choices], fix or {})
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(leaders[name], []).append(name)
    return tuple(_group(tuple(products), choices, offered, fixed) for products in members.values())


def _fixed(names: Sequence[str], texts: Sequence[str], fix: Mapping[str, str]) -> dict[str, int]:
    return {name: texts.index(text) for pattern, text in fix.items() for name in _matching(names, pattern, "fix")}


def _group(products: tuple[str, ...], choices: Sequence[Choice], offered: int, fixed: Mapping[str, int]) -> Group:
    wanted = sorted({fixed[name] for name in products if name in fixed})
    if len(wanted) > 1:
        texts = " and ".join(choices[number].text for number in wanted)
        raise SelectionError(f"fix: {', '.join(products)} share a choice, but {texts} are fixed for them")
    allowed = wanted or range(offered)
    options = tuple(o for o in allowed if all(name in choices[o].specs for name in products))
    if not options:
        texts = ", ".join(choices[number].text for number in allowed)
        raise SelectionError(f"expected a choice that {', '.join(products)} can take, got {texts}")
    return Group(products, options, bool(wanted))


def _matching(names: Sequence[str], pattern: str, argument: str) -> list[str]:
    try:
        matched = [pattern] if pattern in names else [name for name in names if re.fullmatch(pattern, name)]
    except re.error as error:
        raise SelectionError(f"{argument}: {pattern!r} is no product and no regular expression: {error}") from None
    if not matched:
        raise SelectionError(f"{argument}: no product matches {pattern!r}; there are {', '.join(names)}")
    return matched

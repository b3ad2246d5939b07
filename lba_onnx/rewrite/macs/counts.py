"""Counts of several products, added up."""

from typing import TypeAlias

Counts: TypeAlias = dict[tuple[int, str], int | None]
"""How many MACs, by the identity of a node and the name of its product; None where that is not known."""


def add(total: Counts, counts: Counts, times: int | None) -> Counts:
    """Add what is done so many times; return the total.

    Args:
        total: What is added to.
        counts: What is done once.
        times: How often; None where that is not known.
    """
    for key, once in counts.items():
        before, more = total.get(key, 0), None if once is None or (times is None and once) else once * (times or 0)
        total[key] = None if before is None or more is None else before + more
    return total

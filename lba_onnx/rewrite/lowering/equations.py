"""The equations of Einsum, read and checked.

"bsd,dhk->bshk"     operands b s d | d h k     result b s h k
"...ij,...jk"       labels for the dots, as many as there are dimensions, and the result that ONNX implies
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lba_onnx.rewrite.lowering.rule import Refused

_DOTS = "..."


@dataclass(frozen=True)
class Equation:
    """An equation.

    Attributes:
        operands: The labels of each operand's axes. Those of dots are ".0" for the last axis, ".1" for the one before.
        result: The labels of the result's axes.
    """

    operands: tuple[tuple[str, ...], ...]
    result: tuple[str, ...]

    def pairs(self) -> "list[Equation]":
        """Return the steps that multiply two operands each: the first two, then their result and the next, and on."""
        steps, left = [], self.operands[0]
        for index in range(1, len(self.operands)):
            right, later = self.operands[index], self.operands[index + 1 :]
            needed = {label for labels in (*later, self.result) for label in labels}
            kept = [label for label in dict.fromkeys((*left, *right)) if label in needed]
            result = tuple(kept) if later else self.result
            steps.append(Equation((left, right), result))
            left = result
        return steps

    @property
    def summed(self) -> tuple[str, ...]:
        """The labels of axes over which products of two operands are summed, in the order of the first one."""
        left, right = self.operands
        return tuple(label for label in left if label in right and label not in self.result)


def read_equation(text: str, ranks: Sequence[int | None]) -> Equation:
    """Read an equation.

    Args:
        text: The attribute.
        ranks: The number of dimensions of each operand, where known.

    Raises:
        Refused: It is none, or one that is not taken apart.
    """
    given, arrow, result = text.replace(" ", "").partition("->")
    terms = given.split(",")
    if len(terms) != len(ranks):
        raise Refused(f"expected an equation of {len(ranks)} operands, got {text!r}")
    operands = tuple(_labels(term, rank, text) for term, rank in zip(terms, ranks, strict=True))
    dots = max((_dots_of(labels) for labels in operands), key=len)
    equation = Equation(operands, _result(result, dots) if arrow else _implied(operands, dots))
    _check(equation, text)
    return equation


def _labels(term: str, rank: int | None, text: str) -> tuple[str, ...]:
    head, dots, tail = term.partition(_DOTS)
    if not all(letter.isascii() and letter.isalpha() for letter in head + tail):
        raise Refused(f"expected an equation of letters and dots, got {text!r}")
    if not dots:
        return tuple(head)
    if rank is None:
        raise Refused("has dots in its equation for an operand whose number of dimensions is not known")
    count = rank - len(head) - len(tail)
    if count < 0:
        raise Refused(f"expected an operand with the dimensions of {term!r}, got {rank}")
    return (*head, *(f".{place}" for place in reversed(range(count))), *tail)


def _dots_of(labels: Sequence[str]) -> tuple[str, ...]:
    return tuple(label for label in labels if label.startswith("."))


def _result(term: str, dots: Sequence[str]) -> tuple[str, ...]:
    head, found, tail = term.partition(_DOTS)
    return (*head, *(dots if found else ()), *tail)


def _implied(operands: Sequence[Sequence[str]], dots: Sequence[str]) -> tuple[str, ...]:
    """Return dots first, then the labels that occur once, in the order of the alphabet."""
    counts = Counter(label for labels in operands for label in labels)
    return (*dots, *sorted(label for label, count in counts.items() if count == 1 and not label.startswith(".")))


def _check(equation: Equation, text: str) -> None:
    for labels in equation.operands:
        if len(set(labels)) < len(labels):
            raise Refused(f"takes a diagonal: {text!r} has a letter twice in one operand")
    known = {label for labels in equation.operands for label in labels}
    if len(set(equation.result)) < len(equation.result) or not known.issuperset(equation.result):
        raise Refused(f"expected a result with letters of the operands, each once, got {text!r}")
    if any(label.startswith(".") for label in known.difference(equation.result)):
        raise Refused(f"sums over the dots of {text!r}")

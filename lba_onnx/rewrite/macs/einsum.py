"""The products of an Einsum of two operands: as many as its letters have values together."""

import math
import string
from collections.abc import Sequence

from lba_onnx.rewrite.macs.execution import Execution, UnknownShapeError


def einsum_macs(execution: Execution) -> dict[str, int]:
    """Return how many products an Einsum multiplies and adds; an operand alone is only summed.

    Raises:
        UnknownShapeError: There are more than two operands, whose order onnxruntime chooses.
    """
    terms = execution.attribute("equation").replace(" ", "").split("->")[0].split(",")
    if len(terms) != len(execution.inputs) or len(terms) > 2:
        raise UnknownShapeError("the order of several operands")
    if len(terms) == 1:
        return {"": 0}
    sizes: dict[str, int] = {}
    for index, term in enumerate(terms):
        shape = execution.input(index)
        for letter, size in zip(_letters(term, len(shape)), shape, strict=True):
            sizes[letter] = size if sizes.get(letter, 1) == 1 else sizes[letter]
    return {"": math.prod(sizes.values())}


def _letters(term: str, rank: int) -> Sequence[str]:
    """Return a name for each axis; those of an ellipsis are counted from its end, as they broadcast."""
    before, dots, behind = term.partition("...")
    if not dots:
        return term
    hidden = rank - len(before) - len(behind)
    return [*before, *(string.digits[hidden - 1 - place] for place in range(hidden)), *behind]

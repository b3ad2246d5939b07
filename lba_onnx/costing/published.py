"""Published figures beside those of the model, with the error: how far its gates can be trusted.

A ratio of energies or areas is held against the ratio of gates. The table of the package prices energy and area by
interpolation between such figures; what is compared here is the gates alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lba_onnx.arithmetic.operands import Operand
from lba_onnx.costing.cost_table import Anchor, CostTable, load_table
from lba_onnx.costing.operations import anchor_gates
from lba_onnx.costing.unit_cost import unit_cost

_PAPER = "arXiv 2401.14110, appendix E"
_PAPER_GATES = {
    "M23E8b127,chunk=none,range=infinity,subnormals=keep,product=exact": 2208,
    "M10E5b17/M10E5b15": 1082,
    "M7E4b12/M7E4b10": 808,
}
_OPERANDS_OF_PAPER = "M4E3"
_FLOAT8 = "arXiv 2303.17951: float8 units are 50 to 180 % less efficient than int8"
_FLOAT8_GATES = {"fp16-fma": 1.5, "fp32-fma": 2.8}
_ANY_DEPTH = 1024  # of chains and units that do not depend on it

NOT_COMPARED = {
    "dMAC, arXiv 2504.09072: up to 34.1 % less power than conventional units": (
        "sums products of one exponent in a narrow integer, in a wide one where that overflows, as nothing here does"
    ),
    "FP12-SR, arXiv 2404.14010": "its tables were not at hand; the model's figures for such units are above",
    "deepfloat, arXiv 1811.01721: 8 bits in a 38-bit sum take 0.96 of the power, 1.12 of the area of int8 and int32": (
        "multiplies logarithms, as no accumulator here does"
    ),
    "exact dot products of float8 in TSMC 16FFC, hal-04240816": (
        "its tables were not at hand; kulisch is such a sum, and the model's figures for it are above"
    ),
    "TPUv4i, Jouppi et al., ISCA 2021": (
        "adds four products without rounding and normalising in between, as no accumulator here does"
    ),
    "float8 and float4 in 28 nm, arXiv 2604.04507: 3960 um2 and 2.13 mW at 1.94 GHz": (
        "one processing element of two formats, by itself: no other unit of its process is told to set it against, and "
        "the format of its sums was not at hand"
    ),
}
"""What else is published, and why no figure of it stands beside the model's."""

_NOT_AT_HAND = (
    ("fp12-sr", "fp16-fma", "float8e5m2", "float8e5m2", "arXiv 2404.14010; its tables were not at hand"),
    ("fp12-sr", "fp32-fma", "float8e5m2", "float8e5m2", "arXiv 2404.14010; its tables were not at hand"),
    ("kulisch", "int32-wrap", "float8e5m2", "int8", "hal-04240816; its tables were not at hand"),
    ("kulisch", "int32-wrap", "float8e4m3", "int8", "hal-04240816; its tables were not at hand"),
)
"""Units, what they are published beside, the operands of both, and where."""


@dataclass(frozen=True)
class Point:
    """A published figure and the model's.

    Attributes:
        name: What it is of.
        published: The published figure; None where it was not at hand.
        model: That of the model.
        source: Where the first comes from, and what was assumed.
    """

    name: str
    published: float | None
    model: float
    source: str

    @property
    def error_percent(self) -> float | None:
        """By how much the model is above; None where that is not known."""
        return None if self.published is None else 100 * (self.model / self.published - 1)

    def to_json(self) -> dict[str, Any]:
        """Return the point as a JSON object."""
        return {**vars(self), "error_percent": self.error_percent}


def published_points(table: CostTable | None = None) -> tuple[Point, ...]:
    """Return all published figures beside those of the model.

    Args:
        table: The table of costs; None for that of the package.
    """
    prices = load_table() if table is None else table
    return (*_totals(prices), *_operations(prices), *_against_integers(prices), *_not_at_hand(prices))


def _totals(table: CostTable) -> Iterator[Point]:
    for text, gates in _PAPER_GATES.items():
        found = unit_cost(text, _OPERANDS_OF_PAPER, _ANY_DEPTH, table).unit_gates
        if found is not None:
            name = f"gates of a multiply-add, {text.partition('b')[0]}, operands {_OPERANDS_OF_PAPER}"
            yield Point(name, gates, found, _PAPER)


def _operations(table: CostTable) -> Iterator[Point]:
    """Yield the ratios of each published operation to the smallest of its sort."""
    for (sort, operation), anchors in table.anchors.items():
        least, *others = anchors
        for anchor in others:
            yield from _ratios(f"{operation} {sort}", operation, least, anchor, table)


def _ratios(name: str, operation: str, least: Anchor, anchor: Anchor, table: CostTable) -> Iterator[Point]:
    formats: tuple[Operand, Operand] = anchor.format, least.format
    gates = anchor_gates(formats[0], operation, table) / anchor_gates(formats[1], operation, table)
    ratio = f"{name}, {formats[0].text} over {formats[1].text}"
    yield Point(f"energy of {ratio}", anchor.pj / least.pj, gates, "the table's operations")
    yield Point(f"area of {ratio}", anchor.um2 / least.um2, gates, "the table's operations")


def _against_integers(table: CostTable) -> Iterator[Point]:
    integers = unit_cost("int32-wrap", "int8", _ANY_DEPTH, table).gates
    for text, ratio in _FLOAT8_GATES.items():
        gates = unit_cost(text, "M3E4", _ANY_DEPTH, table).gates
        name = f"unit of {text} with operands M3E4 over int32 with operands int8"
        yield Point(name, ratio, gates / integers, f"{_FLOAT8}; that this sum is meant by this end is assumed")


def _not_at_hand(table: CostTable) -> Iterator[Point]:
    for text, other, operands, other_operands, source in _NOT_AT_HAND:
        gates = unit_cost(text, operands, _ANY_DEPTH, table).gates
        ratio = gates / unit_cost(other, other_operands, _ANY_DEPTH, table).gates
        beside = other if operands == other_operands else f"{other} with operands {other_operands}"
        yield Point(f"unit of {text} with operands {operands} over {beside}", None, ratio, source)

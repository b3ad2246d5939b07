"""What is expected of each product of a model, from its accumulator and its depth; no data take part.

inspect --spec    conv1    depth 576    M7E4b12/M7E4b10    shrinks by 7.5 %, SQNR 21.8 dB
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lba_onnx.arithmetic import as_spec
from lba_onnx.costing import NodeCost
from lba_onnx.text import TextTable, figures, names
from lba_onnx.theory.dot_product import ExpectedError, expected_error

CAVEAT = (
    "expected from rounding alone, of products that are independent and not zero; overflow and underflow depend on data"
)


@dataclass(frozen=True)
class NodeExpectation:
    """What is expected of one product of a model.

    Attributes:
        node: Its key, as in the ledger.
        spec: The accumulator's text; None for one that stays as it is.
        depth: Products per dot product; None where that is not known.
        expected: What roundings are expected to do; None without accumulator or depth, and for kinds that do not tell.
    """

    node: str
    spec: str | None
    depth: int | None
    expected: ExpectedError | None

    @classmethod
    def of(cls, node: NodeCost) -> "NodeExpectation":
        """Return what is expected of a product whose depth costing has found."""
        is_known = node.spec is not None and node.depth is not None
        expected = expected_error(as_spec(node.spec), node.depth) if is_known else None  # type: ignore[arg-type]
        return cls(node.node, node.spec, node.depth, expected)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return {**vars(self), "expected": None if self.expected is None else self.expected.to_json()}


def expected_nodes(nodes: Iterable[NodeCost]) -> tuple[NodeExpectation, ...]:
    """Return what is expected of each product of a priced model."""
    return tuple(NodeExpectation.of(node) for node in nodes)


def expectation_table(nodes: Iterable[NodeExpectation]) -> TextTable:
    """Return a table of what is expected, for the terminal."""
    columns = (*names("node"), *figures("spec", "depth", "shrink", "SQNR dB"))
    return TextTable(columns, (_row(node) for node in nodes), f"What is {CAVEAT}")


def _row(node: NodeExpectation) -> tuple[str, ...]:
    depth = "unknown" if node.depth is None else str(node.depth)
    found = node.expected
    if found is None:
        return node.node, node.spec or "left", depth, "-", "-"
    sqnr = "exact" if found.sqnr_db is None else f"{found.sqnr_db:.1f}"
    return node.node, node.spec or "left", depth, f"{100 * found.shrink:.2g} %", sqnr

"""The ledger of a conversion: every product of the nodes that multiply and accumulate, converted or left, and why."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lba_onnx.arithmetic import Accumulator
from lba_onnx.rewrite.left_operators import ALREADY_CONVERTED
from lba_onnx.rewrite.mac_share import MacShare, mac_text, percent_text
from lba_onnx.text import TextTable, figures, names, remarks

_MOST_NAMED = 3
UNKNOWN_MACS = "unknown"


@dataclass(frozen=True)
class LedgerEntry:
    """One product of the ledger: a node, or one of the several products that it computes.

    Attributes:
        node: The product's key, unique in the model: the node's name (its own, or location and name where several nodes
            share it), with the product's behind it where there are several, such as "attention/qk".
        op_type: The operator before conversion; with its domain, such as "com.microsoft.FusedConv", if not standard.
        location: Where the node lives, such as "main", "main/If_3:then_branch" or "function mydomain:Block".
        weights: Where the weights come from, such as "initializer 'w'", "derived from constants" or "dynamic".
        element_type: Such as "float32", or "unknown" where the model does not tell; of the first input for operators
            that are never converted.
        converted: Whether this conversion selected it, and replaced the node.
        spec: The spec it has now; None for a node in onnxruntime's own arithmetic. A product that was not selected
            beside one that was has a spec that stands for float32.
        reason: Why the node is left; a remark, or "", for one that is converted.
        macs: How many products of operands it multiplies and adds in one run; None where shapes do not tell.
    """

    node: str
    op_type: str
    location: str
    weights: str
    element_type: str
    converted: bool
    spec: Accumulator | None
    reason: str
    macs: int | None = None

    @property
    def is_done(self) -> bool:
        """Whether it accumulates as this conversion, or one before, asked for."""
        return self.converted or self.reason == ALREADY_CONVERTED

    def to_json(self) -> dict[str, Any]:
        """Return the entry as a JSON object; the spec is an object as Accumulator.to_json returns, or null."""
        return {**vars(self), "spec": self.spec.to_json() if self.spec else None}


@dataclass(frozen=True)
class ConversionReport:
    """The ledger of a conversion, or of a model looked at without converting it.

    Attributes:
        entries: One a product, in the order of the main graph, its subgraphs where they stand, then the functions.
    """

    entries: tuple[LedgerEntry, ...]

    def __iter__(self) -> Iterator[LedgerEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def converted(self) -> tuple[LedgerEntry, ...]:
        """The nodes that were converted."""
        return tuple(entry for entry in self.entries if entry.converted)

    @property
    def left(self) -> tuple[LedgerEntry, ...]:
        """The nodes that were left as they are."""
        return tuple(entry for entry in self.entries if not entry.converted)

    @property
    def convertible(self) -> tuple[LedgerEntry, ...]:
        """The nodes that `convert` would take, in the ledger of `list_candidates`; none in that of `convert`."""
        return tuple(entry for entry in self.left if not entry.reason)

    @property
    def specs(self) -> dict[str, Accumulator]:
        """The specs of all products that have one, converted now or before, by key."""
        return {entry.node: entry.spec for entry in self.entries if entry.spec}

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many nodes of each operator type were converted and left: {"MatMul": {"converted": 2, ...}}."""
        converted = Counter(entry.op_type for entry in self.converted)
        left = Counter(entry.op_type for entry in self.left)
        op_types = dict.fromkeys(entry.op_type for entry in self.entries)
        return {op_type: {"converted": converted[op_type], "left": left[op_type]} for op_type in op_types}

    @property
    def macs(self) -> MacShare:
        """How many products the model multiplies and adds, and how many of them in nodes converted now or before."""
        return self._share(lambda entry: entry.is_done)

    @property
    def convertible_macs(self) -> MacShare:
        """The same, with those that can be converted for those that are."""
        return self._share(lambda entry: not (entry.converted or entry.reason))

    def _share(self, is_counted: Callable[[LedgerEntry], bool]) -> MacShare:
        known = [(entry.macs, is_counted(entry)) for entry in self.entries if entry.macs is not None]
        unknown = tuple(entry.node for entry in self.entries if entry.macs is None)
        return MacShare(sum(macs for macs, _ in known), sum(macs for macs, counted in known if counted), unknown)

    def with_macs(self, macs: Mapping[str, int | None]) -> "ConversionReport":
        """Return the ledger with other counts of products.

        Args:
            macs: By name of the node; those that are not named keep theirs.
        """
        return ConversionReport(tuple(replace(e, macs=macs.get(e.node, e.macs)) for e in self.entries))

    def warning(self) -> str | None:
        """Return a sentence on a share of MACs that is smaller than expected, with the largest nodes left, or None."""
        share = self.macs
        if not (self.converted and share.is_small):
            return None
        left = [entry for entry in self.entries if entry.macs and not entry.is_done]
        largest = sorted(left, key=lambda entry: -(entry.macs or 0))
        named = [f"{e.node} ({e.op_type}, {percent_text(e.macs or 0, share.total)})" for e in largest[:_MOST_NAMED]]
        more = len(left) - len(named)
        return f"only {share} are converted; left: {', '.join(named)}" + (f" and {more} more" if more else "")

    @property
    def sums_codes(self) -> bool:
        """Whether a node that was converted sums products of integers."""
        return any(entry.spec is not None and entry.spec.sums_codes for entry in self.converted)

    def summary(self) -> str:
        """Return one line: how many nodes were converted (or could be) and left, by type; their share of the MACs."""
        if self.convertible:
            share = _behind(self.convertible_macs)
            return f"{len(self.convertible)} of {len(self)} nodes convertible{_by_type(self.convertible)}{share}"
        line = f"{len(self.converted)} of {len(self)} nodes converted{_by_type(self.converted)}{_behind(self.macs)}"
        return f"{line}, {len(self.left)} left{_by_type(self.left)}" if self.left else line

    def to_json(self) -> dict[str, Any]:
        """Return the ledger as a JSON object: "converted", "left", "counts", "macs" and "nodes"."""
        return {
            "converted": len(self.converted),
            "left": len(self.left),
            "counts": self.counts(),
            "macs": self.macs.to_json(),
            "nodes": [entry.to_json() for entry in self.entries],
        }

    def table(self, title: str | None = None) -> TextTable:
        """Return the ledger as a table for the terminal, one row a node.

        Args:
            title: What stands above; by default the summary.
        """
        total = self.macs.total
        shares = figures("MACs", "share") if total else ()
        columns = (*names("node", "operator", "location", "weights"), *figures("type", "spec"), *shares)
        rows = (
            (
                entry.node,
                entry.op_type,
                entry.location,
                entry.weights,
                entry.element_type,
                str(entry.spec) if entry.spec else ("left" if entry.reason else "convertible"),
                *(_mac_cells(entry.macs, total) if total else ()),
                entry.reason,
            )
            for entry in self.entries
        )
        return TextTable((*columns, *remarks("remark")), rows, self.summary() if title is None else title)


def _mac_cells(macs: int | None, total: int) -> tuple[str, str]:
    if macs is None:
        return UNKNOWN_MACS, ""
    return mac_text(macs).removesuffix("MAC").rstrip(), percent_text(macs, total)


def _behind(share: MacShare) -> str:
    return f", {share}" if str(share) else ""


def _by_type(entries: tuple[LedgerEntry, ...]) -> str:
    counts = Counter(entry.op_type for entry in entries)
    return f" ({', '.join(f'{op_type} {count}' for op_type, count in counts.items())})" if counts else ""

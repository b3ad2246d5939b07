"""What a `GatingMonitor` found: one row a site, as a table and as JSON.

{"kind": "lba_onnx.gating", "schema": 1, "steps": 500, "sampled_steps": 5,
 "sites": [{"name": "fc1", "spec": "M4E3b8/M4E3b6", "estimator": "immediate_difference",
            "gated": 0.31, "product_overflow": 0.0, ...}]}
"""

from dataclasses import dataclass
from typing import Any

from lba_onnx.arithmetic import Accumulator
from lba_onnx.native import Statistics
from lba_onnx.observation.event_rates import EventRates
from lba_onnx.torch.operators.gating import GatedProducts

KIND = "lba_onnx.gating"
SCHEMA = 1


@dataclass(frozen=True)
class SiteGating:
    """Shares of one site's values to which something happens, 0 to 1; None where there were no values.

    Attributes:
        name: The site.
        spec: Its spec, as text.
        estimator: Its estimator.
        gated: Of all products, padding included, those that the backward pass gates; None where it gates
            none, or without a backward pass.
        rates: Of its values, those to which something happens, as `EventRates.counted` takes shares.
    """

    name: str
    spec: str
    estimator: str
    gated: float | None
    rates: EventRates

    @classmethod
    def of(cls, name: str, spec: Accumulator, estimator: str, gating: GatedProducts, seen: Statistics) -> "SiteGating":
        """Return the row of one site from its counts."""
        gated = gating.gated / gating.products if gating.products else None
        return cls(name, str(spec), estimator, gated, EventRates.counted(spec, seen))

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object, rates among them."""
        told = {"name": self.name, "spec": self.spec, "estimator": self.estimator, "gated": self.gated}
        return {**told, **self.rates.to_json()}


@dataclass(frozen=True)
class GatingReport:
    """What was counted while a model trained.

    Attributes:
        steps: Training steps.
        sampled_steps: Those that were looked into.
        rows: One for each site, in the model's order.
    """

    steps: int
    sampled_steps: int
    rows: tuple[SiteGating, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object described above."""
        rows = [row.to_json() for row in self.rows]
        return {"kind": KIND, "schema": SCHEMA, "steps": self.steps, "sampled_steps": self.sampled_steps, "sites": rows}

    def __str__(self) -> str:
        """Return a table of percentages, one line a site."""
        table = [("site", "spec", *_TITLES), *(_cells(row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [_line(cells, widths) for cells in table]
        title = f"{self.sampled_steps} of {self.steps} training steps looked into; shares in percent"
        return "\n".join([title, *lines])


_TITLES = {
    "gated": "gated",
    "product overflow": "product_overflow",
    "product underflow": "product_underflow",
    "sum overflow": "partial_sum_overflow",
    "sum swamped": "partial_sum_swamped",
    "total overflow": "total_overflow",
    "total swamped": "total_swamped",
}


def _cells(row: SiteGating) -> tuple[str, ...]:
    return (row.name or "(model)", row.spec, *(_percent(row.to_json().get(name)) for name in _TITLES.values()))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    padded[:2] = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    return "  ".join(padded).rstrip()

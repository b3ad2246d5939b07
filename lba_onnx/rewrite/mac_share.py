"""The share of a model's multiplications that is converted, as figures and in words."""

import math
from dataclasses import dataclass
from typing import Any

EXPECTED_SHARE = 0.95
"""The least share that is converted without a warning."""

_PREFIXES = ("", "k", "M", "G", "T", "P")


@dataclass(frozen=True)
class MacShare:
    """How many products of operands a model multiplies and adds (MACs) in one run, and how many in converted nodes.

    Attributes:
        total: In all nodes whose shapes tell.
        converted: In those of them that are converted.
        unknown: The names of the others.
    """

    total: int
    converted: int
    unknown: tuple[str, ...]

    @property
    def share(self) -> float | None:
        """The converted part of the known ones; None where there is none."""
        return self.converted / self.total if self.total else None

    @property
    def is_small(self) -> bool:
        """Whether the share is known, and smaller than expected."""
        return self.share is not None and self.share < EXPECTED_SHARE

    def __str__(self) -> str:
        """Return the share in words, such as "99.3 % of 1.62 GMAC"; "" where nothing is known."""
        if self.share is None:
            return ""
        if not self.unknown:
            return f"{percent_text(self.converted, self.total)} of {mac_text(self.total)}"
        known = f"{percent_text(self.converted, self.total)} of the {mac_text(self.total)} that are known"
        return f"{known} ({len(self.unknown)} unknown)"

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object; the share is 0 to 1, or null."""
        return {"total": self.total, "converted": self.converted, "share": self.share, "unknown": list(self.unknown)}


def mac_text(count: int) -> str:
    """Return a number of MACs with three digits, such as "1.62 GMAC"."""
    rounded = count if count < 1000 else int(float(f"{count:.2e}"))
    thousands = min((len(str(rounded)) - 1) // 3, len(_PREFIXES) - 1)
    value = rounded / 1000**thousands
    digits = 0 if thousands == 0 or value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f} {_PREFIXES[thousands]}MAC"


def percent_text(part: int, total: int) -> str:
    """Return a share with one decimal; 100 % is all of it, and 0 % nothing."""
    if part in (0, total):
        return "0 %" if part == 0 else "100 %"
    tenths = math.floor(1000 * part / total + 0.5)
    return f"{min(max(tenths, 1), 999) / 10:.1f} %"

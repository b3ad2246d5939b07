"""How many products backward passes have gated, by key "run/module".

`native.statistics` keeps what forward passes do under the same keys; a run is opened here and there on its own.
"""

import threading
from dataclasses import dataclass

_lock = threading.Lock()
_runs: dict[str, dict[str, "GatedProducts"]] = {}


@dataclass(frozen=True)
class GatedProducts:
    """What backward passes through one module have gated.

    Attributes:
        gated: Products whose gradient was taken for zero (alpha = 0).
        products: Products there were, padding included.
    """

    gated: int = 0
    products: int = 0

    @property
    def share(self) -> float:
        """Gated products as a share of all, 0 to 1; 0 when there were none."""
        return self.gated / self.products if self.products else 0.0


def open_gating(run: str) -> None:
    """Start counting under keys "run/...".

    Raises:
        ValueError: The run is open, or its name is empty or has a slash.
    """
    if not run or "/" in run:
        raise ValueError(f"expected the name of a run, without a slash, got {run!r}")
    with _lock:
        if run in _runs:
            raise ValueError(f"expected a run that is not open, but {run!r} is")
        _runs[run] = {}


def close_gating(run: str) -> None:
    """Forget a run and its counts.

    Raises:
        ValueError: The run is not open.
    """
    with _lock:
        if _runs.pop(run, None) is None:
            raise ValueError(f"expected an open run, but {run!r} is not")


def add_gated(key: str, gated: int, products: int) -> None:
    """Add the counts of one backward pass; nothing happens when the key's run is not open."""
    with _lock:
        counts = _runs.get(_run_of(key))
        if counts is not None:
            so_far = counts.get(key, GatedProducts())
            counts[key] = GatedProducts(so_far.gated + gated, so_far.products + products)


def read_gating(key: str) -> GatedProducts:
    """Return what has been counted under a key; zeros when no gating backward pass has come by.

    Args:
        key: "run/module" of an open run.

    Raises:
        ValueError: The run is not open.
    """
    with _lock:
        counts = _runs.get(_run_of(key))
        if counts is None:
            raise ValueError(f"expected a key of an open run, but the run of {key!r} is not open")
        return counts.get(key, GatedProducts())


def _run_of(key: str) -> str:
    return key.partition("/")[0]

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
        passes: Backward passes through which a gradient came.
        blocked_passes: Those that gated products and passed nothing on of the gradient that they were given.
    """

    gated: int = 0
    products: int = 0
    passes: int = 0
    blocked_passes: int = 0

    def __add__(self, other: "GatedProducts") -> "GatedProducts":
        """Return the counts of both together."""
        return GatedProducts(
            self.gated + other.gated,
            self.products + other.products,
            self.passes + other.passes,
            self.blocked_passes + other.blocked_passes,
        )


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


def is_gating_open(key: str) -> bool:
    """Whether the run of a key "run/module" is open."""
    return _run_of(key) in _runs


def add_gated(key: str, counts: GatedProducts) -> None:
    """Add the counts of one backward pass; nothing happens when the key's run is not open."""
    with _lock:
        run = _runs.get(_run_of(key))
        if run is not None:
            run[key] = run.get(key, GatedProducts()) + counts


def read_gating(run: str) -> dict[str, GatedProducts]:
    """Return what has been counted in a run, by key; keys for which no gating backward pass has come by are not there.

    Raises:
        ValueError: The run is not open.
    """
    with _lock:
        if run not in _runs:
            raise ValueError(f"expected an open run, but {run!r} is not")
        return dict(_runs[run])


def _run_of(key: str) -> str:
    return key.partition("/")[0]

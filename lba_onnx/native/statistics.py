"""What nodes collect while they compute."""

import ctypes
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lba_onnx.native.library import EventsStruct, StatisticsStruct, check, load_library


@dataclass(frozen=True)
class Events:
    """What happened to one kind of value in the quantized chain of the sampled outputs.

    Attributes:
        values: How many values were formed.
        overflows: Exact magnitudes of max_value or more.
        underflows: Nonzero values that became zero.
        swamped: Nonzero addends that left the accumulator unchanged without overflow.
    """

    values: int
    overflows: int
    underflows: int
    swamped: int


@dataclass(frozen=True, eq=False)
class Statistics:
    """Intermediate values of one node.

    Attributes:
        outputs: Output values computed.
        sampled_outputs: Output values that were looked into.
        max_abs_product: Largest exact product of all outputs; infinite values are not counted.
        max_abs_partial_sum: Largest unquantized prefix sum inside a chunk, of all outputs.
        max_abs_total: Largest unquantized running total, of all outputs.
        products: Events of Q_prod(x * w), like all that follows over the sampled outputs.
        partial_sums: Events of Q_acc(product + partial sum).
        totals: Events of Q_acc(total + partial sum of a chunk).
        products_log2: int64 [704]; bin i counts exact products v with floor(log2|v|) = i - 352.
        partial_sums_log2: The same of the prefix sums.
        totals_log2: The same of the running totals.
    """

    outputs: int
    sampled_outputs: int
    max_abs_product: float
    max_abs_partial_sum: float
    max_abs_total: float
    products: Events
    partial_sums: Events
    totals: Events
    products_log2: npt.NDArray[np.int64]
    partial_sums_log2: npt.NDArray[np.int64]
    totals_log2: npt.NDArray[np.int64]


def statistics_open(run: str, sampled_fraction: float) -> None:
    """Open a statistics run.

    Nodes with keys "run/..." sample this fraction of their rows or output positions for histograms and events.
    """
    check(load_library().lba_statistics_open(run.encode(), sampled_fraction))


def statistics_close(run: str) -> None:
    """Forget a statistics run."""
    check(load_library().lba_statistics_close(run.encode()))


def statistics_forget_largest(key: str) -> None:
    """Let the largest magnitudes of the node with this key begin anew; counts, histograms and sampling go on."""
    check(load_library().lba_statistics_forget_largest(key.encode()))


def statistics_read(key: str) -> Statistics:
    """What the node with this key has collected so far; all zero if it has not run."""
    raw = StatisticsStruct()
    check(load_library().lba_statistics_read(key.encode(), raw))
    return from_struct(raw)


def from_struct(raw: StatisticsStruct) -> Statistics:
    """Return what the C form says."""
    values: dict[str, object] = {}
    for name, _ in raw._fields_:
        value = getattr(raw, name)
        if isinstance(value, EventsStruct):
            value = Events(value.values, value.overflows, value.underflows, value.swamped)
        elif isinstance(value, ctypes.Array):
            value = np.array(value, np.int64)
        values[name] = value
    return Statistics(**values)  # type: ignore[arg-type]

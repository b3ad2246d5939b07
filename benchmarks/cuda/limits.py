"""Multiply-accumulates that a multiprocessor can do per clock, from the instructions of each kernel's inner loop."""

from dataclasses import dataclass

ISSUED_PER_CLOCK = 128  # instructions of single threads: four schedulers, each for 32 threads
LOGIC_LANES = 64  # what masks, minima and maxima run on
FLOAT_LANES = {(8, 0): 64}  # multiplies and additions, by compute capability
_DEFAULT_FLOAT_LANES = 128


@dataclass(frozen=True)
class Instructions:
    """Instructions of one multiply-accumulate; loads are not counted.

    Attributes:
        float32: Multiplies and multiply-adds.
        logic: Masks, and minima for saturation.
    """

    float32: int
    logic: int


# In the order in which operands prove them (docs/cuda.md). The kernel "exact" computes in double and has no limit here.
INNER_LOOPS = {
    "fused": Instructions(1, 1),
    "fused_saturate": Instructions(1, 2),
    "exact_products": Instructions(2, 1),
    "truncate": Instructions(2, 2),
    "truncate_saturate": Instructions(2, 3),
    "saturate": Instructions(2, 4),
}


def multiplies_per_clock(kernel: str, capability: tuple[int, int]) -> float:
    """Most multiply-accumulates per clock and multiprocessor of a kernel.

    Args:
        kernel: One of INNER_LOOPS.
        capability: Compute capability of the device.
    """
    loop = INNER_LOOPS[kernel]
    return min(
        ISSUED_PER_CLOCK / (loop.float32 + loop.logic),
        FLOAT_LANES.get(capability, _DEFAULT_FLOAT_LANES) / loop.float32,
        LOGIC_LANES / loop.logic,
    )

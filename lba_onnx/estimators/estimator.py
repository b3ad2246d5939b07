"""What a gradient estimator is (docs/numerics.md): which products of a dot product pass their gradient."""

from collections.abc import Callable
from dataclasses import dataclass

from lba_onnx.arithmetic.accumulator import Masks, Step

Gate = Callable[[Masks, Step], None]
"""Clears, in masks [*outputs, depth + 1], the products that a step of the sum gates, and what the sum starts from."""


@dataclass(frozen=True)
class Gating:
    """How an estimator gates single products.

    Attributes:
        watches: What it looks at in the steps of a sum: "overflow" or "difference". A kind of accumulator says which of
            them mean something in it.
        code: Its number in the native library (`include/lba/gradients.h`).
        gate: Its definition, as `lba_onnx.reference.gradients` follows it.
        advice: What to do about a module all of whose gradients it gates, as the end of a sentence.
    """

    watches: str
    code: int
    gate: Gate
    advice: str


@dataclass(frozen=True)
class Estimator:
    """A gradient estimator.

    Attributes:
        name: What people call it.
        gating: How it gates products; None where every product passes its gradient.
    """

    name: str
    gating: Gating | None = None

"""Estimator "immediate_difference": no gradient passes where product k is not zero and changes nothing.

That is where its step leaves the partial sum as it was, or where the sum of its chunk is not zero and leaves the total
as it was.
"""

import numpy as np

from lba_onnx.arithmetic.accumulator import Step
from lba_onnx.estimators.estimator import Estimator, Gating, Masks


def _gate(masks: Masks, step: Step) -> None:
    # Judged by the exact product, not the quantized one: a product that underflows is gated, a zero is not.
    added = step.addend if step.product is None else step.product
    unchanged = (added != 0) & (step.after == step.before)
    masks[..., step.start : step.stop] &= ~unchanged[..., np.newaxis]


IMMEDIATE_DIFFERENCE = Estimator(
    "immediate_difference",
    Gating(
        watches="difference",
        code=2,
        gate=_gate,
        advice="train with underflow off first (set_underflow_), or give its formats a larger exponent bias",
    ),
)

"""Estimator "immediate_difference": no gradient passes where product k is not zero and changes nothing.

That is where its step leaves the partial sum as it was, or where a sum that holds it, such as its chunk's, is not zero
and leaves what it is added to as it was.
"""

import numpy as np

from lba_onnx.arithmetic.accumulator import Masks, Step
from lba_onnx.estimators.estimator import Estimator, Gating


def _gate(masks: Masks, step: Step) -> None:
    for side in step.entering:
        # Judged by the exact product, not the quantized one: a product that underflows is gated, a zero is not.
        added = side.value if side.product is None else side.product
        unchanged = (added != 0) & (step.after == side.onto)
        masks[..., side.terms] &= ~unchanged[..., np.newaxis]


IMMEDIATE_DIFFERENCE = Estimator(
    "immediate_difference",
    Gating(
        watches="difference",
        code=2,
        gate=_gate,
        advice="train with underflow off first (set_underflow_), or give its formats a larger exponent bias",
    ),
)

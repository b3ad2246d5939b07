"""What the estimators that watch for overflow share.

An overflow is a value that reached the largest magnitude of its format. NaN compares with nothing and gates nothing.
"""

import numpy as np

from lba_onnx.arithmetic.accumulator import Masks, Step

ADVICE = "its sums overflow throughout: give its formats a smaller exponent bias"


def gate_overflows(masks: Masks, step: Step, is_recursive: bool) -> None:
    """Gate the product of a step that overflows itself, and what has entered a sum that does.

    Args:
        masks: bool [*outputs, depth + 1].
        step: One addition.
        is_recursive: Whether all that has entered the sum is gated, or only what enters at the step.
    """
    open_sum = ~step.overflows[..., np.newaxis]
    for side in step.entering:
        masks[..., side.terms] &= open_sum
        if side.product_overflows is not None:
            masks[..., side.terms] &= ~side.product_overflows[..., np.newaxis]
    if is_recursive:
        masks[..., step.held] &= open_sum

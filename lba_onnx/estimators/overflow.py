"""What the estimators that watch for overflow share.

An overflow is a value that reached the largest magnitude of its format. NaN compares with nothing and gates nothing.
"""

import numpy as np

from lba_onnx.arithmetic.accumulator import Step
from lba_onnx.estimators.estimator import Masks

ADVICE = "its sums overflow throughout: give its formats a smaller exponent bias"


def gate_overflows(masks: Masks, step: Step, is_recursive: bool) -> None:
    """Gate the product of a step that overflows itself, and what has entered a sum that does.

    Args:
        masks: bool [*outputs, depth].
        step: One addition.
        is_recursive: Whether all that has entered the sum is gated, or only what the step adds.
    """
    masks[..., step.since if is_recursive else step.start : step.stop] &= ~step.overflows[..., np.newaxis]
    if step.product_overflows is not None:
        masks[..., step.start] &= ~step.product_overflows

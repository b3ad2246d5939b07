"""Estimator "recursive_overflow": no gradient passes where product k overflows, or a sum from its step on.

These are the sums of its chunk, and the totals when its chunk or a later one joins.
"""

from lba_onnx.arithmetic.accumulator import Masks, Step
from lba_onnx.estimators.estimator import Estimator, Gating
from lba_onnx.estimators.overflow import ADVICE, gate_overflows


def _gate(masks: Masks, step: Step) -> None:
    gate_overflows(masks, step, is_recursive=True)


RECURSIVE_OVERFLOW = Estimator("recursive_overflow", Gating(watches="overflow", code=1, gate=_gate, advice=ADVICE))

"""Estimator "immediate_overflow": no gradient passes where product k overflows, or the sum at its step.

Nor where the total does when its chunk joins.
"""

from lba_onnx.arithmetic.accumulator import Masks, Step
from lba_onnx.estimators.estimator import Estimator, Gating
from lba_onnx.estimators.overflow import ADVICE, gate_overflows


def _gate(masks: Masks, step: Step) -> None:
    gate_overflows(masks, step, is_recursive=False)


IMMEDIATE_OVERFLOW = Estimator("immediate_overflow", Gating(watches="overflow", code=0, gate=_gate, advice=ADVICE))

"""The gradient estimators by name. A new one is a module of its own and an entry here; PyTorch is not loaded."""

from lba_onnx.arithmetic import Accumulator
from lba_onnx.estimators.estimator import Estimator, Gating
from lba_onnx.estimators.identity import IDENTITY
from lba_onnx.estimators.immediate_difference import IMMEDIATE_DIFFERENCE
from lba_onnx.estimators.immediate_overflow import IMMEDIATE_OVERFLOW
from lba_onnx.estimators.recursive_overflow import RECURSIVE_OVERFLOW

__all__ = ["DEFAULT_ESTIMATOR", "ESTIMATORS", "Estimator", "Gating", "as_estimator", "check_defined", "gating_of"]

ESTIMATORS = {
    estimator.name: estimator for estimator in (IDENTITY, IMMEDIATE_OVERFLOW, RECURSIVE_OVERFLOW, IMMEDIATE_DIFFERENCE)
}
"""All estimators, by name."""
DEFAULT_ESTIMATOR = IDENTITY.name
"""The name of the estimator that is used unless another is given."""


def as_estimator(estimator: str, what: str = "estimator") -> str:
    """Return the name of an estimator.

    Args:
        estimator: The name.
        what: What messages call it.

    Raises:
        TypeError: It is no string.
        ValueError: There is no such estimator.
    """
    if not isinstance(estimator, str):
        raise TypeError(f"{what}: expected the name of an estimator, got {type(estimator).__name__}")
    if estimator not in ESTIMATORS:
        raise ValueError(f"{what}: expected one of the estimators {', '.join(ESTIMATORS)}, got {estimator!r}")
    return estimator


def gating_of(estimator: str) -> Gating | None:
    """Return how an estimator gates products; None where it gates none.

    Raises:
        ValueError: There is no such estimator.
    """
    return ESTIMATORS[as_estimator(estimator)].gating


def check_defined(estimator: str, spec: Accumulator) -> None:
    """Refuse an estimator that means nothing in an accumulator.

    Raises:
        ValueError: There is no such estimator, it watches for what the accumulator's steps do not tell, or the sums are
            those of integer codes, which have no gradients.
    """
    gating = gating_of(estimator)
    spec.check_operands("float32")
    if gating is not None and gating.watches not in spec.watched:
        raise ValueError(
            f"estimator {estimator!r} watches for {gating.watches}, which means nothing in {spec} ({spec.kind}); "
            f"{DEFAULT_ESTIMATOR!r} is defined for every kind"
        )

"""Estimators as users give them."""

from lba_onnx.reference_gradients import ESTIMATORS


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

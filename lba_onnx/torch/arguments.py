"""Specs and estimators as users give them."""

from lba_onnx.accumulator import AccumulatorSpec
from lba_onnx.families import FormatFamily
from lba_onnx.reference_gradients import ESTIMATORS


def as_spec(spec: AccumulatorSpec | str) -> AccumulatorSpec:
    """Return a spec, read from text if need be.

    Raises:
        TypeError: It is neither.
        ValueError: The text is no spec, or names formats without their exponent biases.
    """
    if isinstance(spec, AccumulatorSpec):
        return spec
    if not isinstance(spec, str):
        raise TypeError(f"expected an AccumulatorSpec or text such as 'M7E4b12/M7E4b10', got {type(spec).__name__}")
    for part in spec.split(",")[0].split("/"):
        if _is_family(part.strip()):
            raise ValueError(
                f"expected an exponent bias, as in '{part.strip()}b10', got the spec {spec!r} without; "
                "lba_onnx.torch.calibrate chooses one for each module"
            )
    return AccumulatorSpec.parse(spec)


def as_estimator(estimator: str) -> str:
    """Return the name of an estimator.

    Raises:
        TypeError: It is no string.
        ValueError: There is no such estimator.
    """
    if not isinstance(estimator, str):
        raise TypeError(f"expected the name of an estimator, got {type(estimator).__name__}")
    if estimator not in ESTIMATORS:
        raise ValueError(f"expected one of the estimators {', '.join(ESTIMATORS)}, got {estimator!r}")
    return estimator


def _is_family(text: str) -> bool:
    try:
        FormatFamily.parse(text)
    except ValueError:
        return False
    return True

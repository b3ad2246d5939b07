"""Exact transformations: float32 weights changed so that low-bit accumulators lose less, and outputs stay the same.

The names below are imported when first used, so that the transformations can be listed without loading what they run
on.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lba_onnx.transformation.registry import TRANSFORMATIONS as TRANSFORMATIONS
    from lba_onnx.transformation.report import TransformationEntry as TransformationEntry
    from lba_onnx.transformation.report import TransformationReport as TransformationReport
    from lba_onnx.transformation.transformation import Found as Found
    from lba_onnx.transformation.transformation import Refusal as Refusal
    from lba_onnx.transformation.transformation import Transformation as Transformation
    from lba_onnx.transformation.transforming import find as find
    from lba_onnx.transformation.transforming import transform as transform
    from lba_onnx.transformation.verification import Verification as Verification

_HOMES = {
    "TRANSFORMATIONS": "registry",
    "Found": "transformation",
    "Refusal": "transformation",
    "Transformation": "transformation",
    "TransformationEntry": "report",
    "TransformationReport": "report",
    "Verification": "verification",
    "find": "transforming",
    "transform": "transforming",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name from its module at first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lba_onnx.transformation' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"lba_onnx.transformation.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

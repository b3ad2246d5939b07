"""Figures that are not complete yet as JSON, and back, to the last bit: counts, and exact sums as whole numbers."""

from typing import Any

from lba_onnx.evaluation.class_agreement import ClassAgreement
from lba_onnx.evaluation.figures import ComparisonFigures, ModelFigures, PairCounts
from lba_onnx.evaluation.metrics import Share, Similarity
from lba_onnx.evaluation.sums import ExactSum, Moments

_PARTS = (ModelFigures, PairCounts, ClassAgreement, Share, Similarity, ExactSum, Moments)
_CLASSES = {c.__name__: c for c in (ComparisonFigures, *_PARTS)}


def figures_to_json(figures: ComparisonFigures) -> Any:
    """Return what figures have gathered as a JSON value.

    Raises:
        TypeError: They hold something that has no form here.
    """
    return _encode(figures)


def figures_from_json(value: Any) -> ComparisonFigures:
    """Return the figures that `figures_to_json` was given.

    Raises:
        ValueError: It is another value.
    """
    figures = _decode(value)
    if not isinstance(figures, ComparisonFigures):
        raise ValueError(f"expected figures of a comparison, got {type(figures).__name__}")
    return figures


def _encode(value: Any) -> Any:
    if type(value).__name__ in _CLASSES:
        return {"class": type(value).__name__, "state": {name: _encode(v) for name, v in vars(value).items()}}
    if isinstance(value, dict):
        return {"entries": [[key, _encode(v)] for key, v in value.items()]}
    if isinstance(value, list):
        return [_encode(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"expected counts, sums and names, got {type(value).__name__}")


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "entries" in value:
        return {key: _decode(v) for key, v in value["entries"]}
    if value.get("class") not in _CLASSES:
        raise ValueError(f"expected an object out of {', '.join(_CLASSES)}, got {value.get('class')!r}")
    made: Any = object.__new__(_CLASSES[value["class"]])
    vars(made).update({name: _decode(v) for name, v in value["state"].items()})
    return made

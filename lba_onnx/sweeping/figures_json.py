"""Figures that are not complete yet as JSON, and back, to the last bit: counts, and exact sums as whole numbers."""

from typing import Any

from lba_onnx.evaluation.class_agreement import ClassAgreement
from lba_onnx.evaluation.figures import ComparisonFigures, ModelFigures, PairCounts
from lba_onnx.evaluation.metrics import Share, Similarity
from lba_onnx.evaluation.output_values import ValueSums
from lba_onnx.evaluation.perplexity import TokenSums
from lba_onnx.evaluation.sums import ExactSum, Moments

_PARTS = (ModelFigures, PairCounts, ClassAgreement, Share, Similarity, ValueSums, TokenSums, ExactSum, Moments)
_CLASSES = {c.__name__: c for c in (ComparisonFigures, *_PARTS)}

_MOST_SAMPLES = 2**63


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
    try:
        figures = _decode(value)
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"expected figures of a comparison, got something else: {error!r}") from None
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
    made: Any = _CLASSES[value["class"]]()
    state = {name: _decode(v) for name, v in value["state"].items()}
    if not _is_like(state, vars(made)):
        raise ValueError(f"expected the fields of {value['class']}, got others")
    vars(made).update(state)
    if not _has_counts(made):
        raise ValueError(f"expected counts in {value['class']}, got {state!r:.100}")
    return made


def _has_counts(made: Any) -> bool:
    """Return whether what should have been counted could have been, and sums of squares are such."""
    if isinstance(made, Similarity) and min(made._signal.total, made._noise.total) < 0:
        return False
    if isinstance(made, PairCounts):
        return all(0 <= count < _MOST_SAMPLES for count in made._counts)
    hits, samples = getattr(made, "hits", 0), getattr(made, "samples", 0)
    return bool(0 <= hits <= samples < _MOST_SAMPLES)


def _is_like(value: Any, fresh: Any) -> bool:
    """Return whether a value could have grown out of that of a fresh object: counts stay counts, and so on."""
    if fresh is None:  # the name of a metric
        return value is None or isinstance(value, str)
    if type(value) is not type(fresh):
        return False
    if isinstance(fresh, dict):
        if not fresh:
            return all(map(_is_entry, *zip(*value.items(), strict=True))) if value else True
        if value.keys() != fresh.keys():
            return False
        return all(_is_like(value[name], fresh[name]) for name in fresh)
    return not isinstance(fresh, list) or (len(value) == len(fresh) and all(map(_is_like, value, fresh)))


def _is_entry(key: Any, value: Any) -> bool:
    """Return whether this may stand in a dictionary that was empty at first: of outputs met, or of classes counted."""
    if isinstance(key, str):
        return isinstance(value, (Similarity, ClassAgreement, ValueSums))
    return type(key) is type(value) is int and min(key, value) >= 0

"""From the options of a command to the objects that functions take; each takes its own out of the others."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from lba_onnx.arithmetic import parse_family
from lba_onnx.arithmetic.arguments import option_texts, with_defaults
from lba_onnx.calibration.methods import DEFAULT_METHOD, NUMBERS, LeastBits, Method, make_method
from lba_onnx.data.execution import Execution, Progress
from lba_onnx.data.samples import Samples
from lba_onnx.operators import op_types
from lba_onnx.rewrite.selection import Selection

_OF_METHOD = ("granularity", "is_tied", *NUMBERS)


def take_selection(options: dict[str, Any]) -> Selection:
    """Return which nodes are selected; the operator types of the default are all that there are to take."""
    taken = _take(options, Selection)
    if taken["op_types_to_convert"] == op_types():
        taken["op_types_to_convert"] = None
    return Selection(**taken)


def take_reading(options: dict[str, Any]) -> dict[str, Any]:
    """Return how samples are read, as fields of `Samples`."""
    return _take(options, Samples)


def take_samples(options: dict[str, Any], data_path: Path | None, labels_path: Path | None = None) -> Samples:
    """Return the samples of a path."""
    return Samples(data_path, labels_path, **take_reading(options))


def take_execution(options: dict[str, Any], progress: Progress) -> Execution:
    """Return how models run."""
    return Execution(options.pop("providers"), progress)


def take_method(options: dict[str, Any]) -> Method:
    """Return the method of calibration with its settings; a loss that is granted asks for the one that goes by it."""
    name = options.pop("method")
    name = LeastBits.name if options["loss"] and name == DEFAULT_METHOD else name
    return make_method(name, **{name: options.pop(name) for name in _OF_METHOD})


def take_family(options: dict[str, Any]) -> str:
    """Return the text of the family, with the options that it does not mention."""
    beside = option_texts(chunk_size=options.pop("chunk_size"), underflow=options.pop("underflow"))
    return str(parse_family(with_defaults(options.pop("family"), beside)))


def _take(options: dict[str, Any], described: type) -> dict[str, Any]:
    return {field.name: options.pop(field.name) for field in fields(described) if field.name in options}

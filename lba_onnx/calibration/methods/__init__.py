"""The methods that choose exponent biases, or bits of integers, by name. A new one is a module and an entry here."""

from dataclasses import fields
from typing import Any

from lba_onnx.calibration.methods.least_bits import LeastBits
from lba_onnx.calibration.methods.max import Max
from lba_onnx.calibration.methods.method import Chosen, Count, Method, Number, Percent, Wanted, takes
from lba_onnx.calibration.methods.mse import Mse
from lba_onnx.calibration.methods.percentile import Percentile
from lba_onnx.calibration.methods.zero_shot import ZeroShot

__all__ = [
    "DEFAULT_METHOD",
    "METHODS",
    "NUMBERS",
    "OF_FLOATS",
    "Chosen",
    "Count",
    "LeastBits",
    "Max",
    "Method",
    "Mse",
    "Number",
    "Percent",
    "Percentile",
    "Wanted",
    "ZeroShot",
    "as_method",
    "make_method",
    "takes",
]

METHODS: dict[str, type[Method]] = {method.name: method for method in (Max, Percentile, Mse, ZeroShot, LeastBits)}
OF_FLOATS = {name: method for name, method in METHODS.items() if method.is_for_floats}
DEFAULT_METHOD = Max.name
"""Holds all that was seen: what is meant where nobody names a method."""
NUMBERS: dict[str, Number] = {name: number for method in METHODS.values() for name, number in method.numbers().items()}
"""All numbers that these methods take, by name."""


def as_method(method: str | Method) -> Method:
    """Return a method as it is, and the one of a name with its defaults.

    Raises:
        ValueError: There is no such method.
    """
    if isinstance(method, Method):
        return method
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"expected a method out of {', '.join(METHODS)}, got {method!r}")
    return METHODS[method]()


def make_method(name: str, **settings: Any) -> Method:
    """Return a method with its settings, as a command has them: fields of all methods, of which it takes its own.

    Raises:
        TypeError: A number is none.
        ValueError: There is no such method, or a setting is out of range.
    """
    method = type(as_method(name))
    return method(**{field.name: settings[field.name] for field in fields(method) if field.name in settings})

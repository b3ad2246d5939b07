"""The methods that choose exponent biases, by name. A new one is a module of its own and an entry here."""

from typing import Any

from lba_onnx.calibration.methods.max import Max
from lba_onnx.calibration.methods.method import Chosen, Count, Method, Number, Percent
from lba_onnx.calibration.methods.mse import Mse
from lba_onnx.calibration.methods.percentile import Percentile
from lba_onnx.calibration.methods.zero_shot import ZeroShot
from lba_onnx.calibration.settings import Settings

__all__ = [
    "DEFAULT_METHOD",
    "METHODS",
    "NUMBERS",
    "Chosen",
    "Count",
    "Method",
    "Number",
    "Percent",
    "make_method",
]

METHODS: dict[str, type[Method]] = {method.name: method for method in (Max, Percentile, Mse, ZeroShot)}
DEFAULT_METHOD = Max.name
"""Holds all that was seen: what is meant where nobody names a method."""
NUMBERS: dict[str, Number] = {name: number for method in METHODS.values() for name, number in method.numbers().items()}
"""All numbers that methods take, by name."""


def make_method(name: str, settings: Settings, **numbers: Any) -> Method:
    """Return a method with its numbers.

    Args:
        name: One of METHODS.
        settings: What else is asked for.
        **numbers: All of NUMBERS; those that the method does not take are checked all the same.

    Raises:
        TypeError: A number is none.
        ValueError: There is no such method, a number is out of range, or it does not go with the settings.
    """
    if not isinstance(name, str) or name not in METHODS:
        raise ValueError(f"expected a method out of {', '.join(METHODS)}, got {name!r}")
    made = {known: _with_numbers(method, numbers) for known, method in METHODS.items()}
    for method in made.values():
        method.check(settings)
    return made[name]


def _with_numbers(method: type[Method], numbers: dict[str, Any]) -> Method:
    return method(**{name: numbers[name] for name in method.numbers() if name in numbers})

"""Integers that people give: any integer type but bool, within bounds."""

import operator

import numpy as np


def as_integer(name: str, value: object) -> int:
    """Return `value` as a plain int; accept any integer type except bool.

    Raises:
        TypeError: `value` is not an integer.
    """
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise TypeError(f"expected {name} to be an integer, got {type(value).__name__} {value!r}")
    return operator.index(value)


def as_count(name: str, value: object, least: int = 1, most: int | None = None) -> int:
    """Return `value` as a plain int within bounds; accept any integer type except bool.

    Raises:
        TypeError: `value` is not an integer.
        ValueError: It is below `least` or above `most`.
    """
    count = as_integer(name, value)
    if count < least:
        raise ValueError(f"expected {name} of at least {least}, got {count}")
    if most is not None and count > most:
        raise ValueError(f"expected {name} of at most {most}, got {count}")
    return count

"""One entry of a JSON object, checked."""

from collections.abc import Mapping
from typing import Any


def read_entry(value: Any, name: str, *types: type) -> Any:
    """Return an entry of a JSON object.

    Args:
        value: The object.
        name: The entry's name.
        types: What it may be; bool only where it is among them.

    Raises:
        TypeError: It has another type.
        ValueError: The object has no such entry, or is none.
    """
    if not isinstance(value, Mapping) or name not in value:
        raise ValueError(f"expected an object with the entry {name!r}, got {type(value).__name__}")
    entry = value[name]
    if not isinstance(entry, types) or (isinstance(entry, bool) and bool not in types):
        expected = " or ".join("null" if t is type(None) else t.__name__ for t in types)
        raise TypeError(f"expected {name!r} as {expected}, got {entry!r}")
    return entry

"""Options of a text given as Python values, as commands take them beside a text and files of before keep them.

chunk_size=32, underflow=False   ->   {"chunk": "32", "underflow": "off"}
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lba_onnx.arithmetic.chunked_float.order import DEFAULT_CHUNK_SIZE, check_size
from lba_onnx.arithmetic.grammar import read_text


def option_texts(**values: Any) -> dict[str, str]:
    """Return the options that such values stand for.

    Args:
        values: Any of `chunk_size`, products per chunk or None for the whole depth, and `underflow`, whether small
            values become zero.

    Raises:
        TypeError: A value has the wrong type.
        ValueError: The chunk size is not positive.
    """
    texts: dict[str, str] = {}
    if "chunk_size" in values:
        chunk_size = values["chunk_size"]
        texts["chunk"] = "none" if chunk_size is None else str(check_size("chunk_size", chunk_size))
    if "underflow" in values:
        underflow = values["underflow"]
        if not isinstance(underflow, (bool, np.bool_)):
            raise TypeError(f"expected underflow to be a bool, got {type(underflow).__name__} {underflow!r}")
        texts["underflow"] = "on" if underflow else "off"
    return texts


_DEFAULTS = option_texts(chunk_size=DEFAULT_CHUNK_SIZE, underflow=True)


def with_defaults(text: str, options: Mapping[str, str]) -> str:
    """Return a text with the options that it does not mention; those that are the default anyway are left out.

    Raises:
        TypeError: `text` is no string.
        ValueError: It has not the form of a spec.
    """
    said = {option.key for option in read_text(text).options}
    added = {key: value for key, value in options.items() if key not in said and _DEFAULTS.get(key) != value}
    return text + "".join(f",{key}={value}" for key, value in added.items())


def with_options(text: str, options: Mapping[str, str]) -> str:
    """Return a text with options that were given beside it and have to agree with it, as flags of a command do.

    Raises:
        TypeError: `text` is no string.
        ValueError: It says otherwise than an option.
    """
    said: dict[str, Any] = {option.key: option.value for option in read_text(text).options}
    for key, value in options.items():
        if said.get(key, value) != value:
            raise ValueError(
                f"expected a spec that agrees with {key}={value}, got {text!r}, which says {key}={said[key]}"
            )
    return with_defaults(text, options)

"""What people have in hand for `convert`: a spec, its text, a mapping of names, a calibration, or a path of one."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from lba_onnx.arithmetic import Accumulator, as_spec, parse_accumulator
from lba_onnx.rewrite.biases_file import read_biases


@runtime_checkable
class HasSpecs(Protocol):
    """What has specs by product, such as a Calibration; its `provenance`, if there is one, is kept in the model."""

    @property
    def specs(self) -> Mapping[str, Accumulator]:
        """Names of nodes, or keys of their products, to specs."""


Specs: TypeAlias = "Accumulator | str | os.PathLike[str] | Mapping[str, Accumulator | str] | HasSpecs"
"""A spec or its text; a mapping of nodes or products to these; a Calibration; the path of a file that holds one."""


@dataclass(frozen=True)
class GivenSpecs:
    """What was given, read.

    Attributes:
        specs: One spec for all nodes, or node names to specs.
        provenance: Where they come from, if what was given tells.
    """

    specs: Accumulator | dict[str, Accumulator]
    provenance: Mapping[str, Any] | None = None


def read_given(given: Specs) -> GivenSpecs:
    """Read the specs of `convert`; a text that is a spec is taken as one, any other as a path.

    Raises:
        DataError: A file is missing, or is no biases file.
        TypeError: It is nothing that specs can be read from.
        ValueError: A text is no spec, and no file either.
    """
    if isinstance(given, Accumulator):
        return GivenSpecs(given)
    if isinstance(given, str):
        return _read_text(given)
    if isinstance(given, os.PathLike):
        return GivenSpecs(*read_biases(given))
    if isinstance(given, Mapping):
        return GivenSpecs(_read_mapping(given))
    if isinstance(given, HasSpecs) and isinstance(given.specs, Mapping):
        return GivenSpecs(_read_mapping(given.specs), getattr(given, "provenance", None))
    raise TypeError(
        "spec: expected an AccumulatorSpec or its text such as 'M7E4b10', a mapping of node names to these, "
        f"a Calibration or the path of a biases file, got {type(given).__name__} {given!r}"
    )


def _read_text(text: str) -> GivenSpecs:
    try:
        return GivenSpecs(parse_accumulator(text))
    except ValueError as error:
        problem = error
    if not Path(text).is_file():
        raise ValueError(
            f"spec: {text!r} is neither a spec such as M7E4b10 ({problem}) nor a biases file (there is no such file)"
        )
    return GivenSpecs(*read_biases(text))


def _read_mapping(given: Mapping[Any, Any]) -> dict[str, Accumulator]:
    for name in given:
        if not isinstance(name, str):
            raise TypeError(f"spec: expected node names as keys, got {type(name).__name__} {name!r}")
    return {name: as_spec(spec, f"spec of node {name!r}") for name, spec in given.items()}

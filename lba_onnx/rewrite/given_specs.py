"""What people have in hand for `convert`: a spec, its text, a mapping of names, a calibration, or a path of one."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from lba_onnx.arithmetic import Accumulator, as_spec, parse_accumulator
from lba_onnx.errors import DataError
from lba_onnx.rewrite.biases_file import read_biases
from lba_onnx.rewrite.model_files import ModelSource
from lba_onnx.rewrite.model_hash import model_hash, short_hash


@runtime_checkable
class HasSpecs(Protocol):
    """What has specs by product, such as a Calibration.

    Its `provenance`, if there is one, is kept in the model, and its `source` named in errors.
    """

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
        source: What was given, for errors: the path of a file, or "spec".
    """

    specs: Accumulator | dict[str, Accumulator]
    provenance: Mapping[str, Any] | None = None
    source: str = "spec"


def read_given(given: Specs, model: ModelSource) -> GivenSpecs:
    """Read the specs of `convert`; a text that is a spec is taken as one, any other as a path.

    Args:
        given: What was given.
        model: The model that it is for.

    Raises:
        DataError: A file is missing, is no biases file, or was made for another model.
        ModelError: The model cannot be read.
        TypeError: It is nothing that specs can be read from.
        ValueError: A text is no spec, and no file either.
    """
    read = _read(given)
    _check_model(read, model)
    return read


def provenance_of(given: Specs) -> Mapping[str, Any] | None:
    """Return where the specs come from, if what was given tells; which model they are for is not looked at.

    Raises:
        DataError, TypeError, ValueError: As `read_given`.
    """
    return _read(given).provenance


def _check_model(given: GivenSpecs, model: ModelSource) -> None:
    """Refuse specs that were chosen for another model; what tells of none passes."""
    told = (given.provenance or {}).get("model_sha256")
    if not isinstance(told, str) or not told:
        return
    found = model_hash(model)
    if found != told:
        whose = model if isinstance(model, (str, os.PathLike)) else "this model"
        expected = f"accumulators that were chosen for {whose} (SHA-256 {short_hash(found)})"
        raise DataError(f"{given.source}: expected {expected}, got those of another ({short_hash(told)})")


def _read(given: Specs) -> GivenSpecs:
    if isinstance(given, Accumulator):
        return GivenSpecs(given)
    if isinstance(given, str):
        return _read_text(given)
    if isinstance(given, os.PathLike):
        return GivenSpecs(*read_biases(given), str(given))
    if isinstance(given, Mapping):
        return GivenSpecs(_read_mapping(given))
    if isinstance(given, HasSpecs) and isinstance(given.specs, Mapping):
        told = {name: getattr(given, name) for name in ("provenance", "source") if hasattr(given, name)}
        return GivenSpecs(_read_mapping(given.specs), **told)
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
    return GivenSpecs(*read_biases(text), text)


def _read_mapping(given: Mapping[Any, Any]) -> dict[str, Accumulator]:
    for name in given:
        if not isinstance(name, str):
            raise TypeError(f"spec: expected node names as keys, got {type(name).__name__} {name!r}")
    return {name: as_spec(spec, f"spec of node {name!r}") for name, spec in given.items()}

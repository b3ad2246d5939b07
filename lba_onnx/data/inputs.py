"""What a model expects to be fed, and the check of what it is fed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.cache_inputs import head_size, is_cache
from lba_onnx.errors import DataError

if TYPE_CHECKING:
    import onnxruntime

Feeds = dict[str, Any]
"""Input names to arrays; to whatever onnxruntime takes where an input is no tensor: a list of arrays, None."""

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


@dataclass(frozen=True)
class ModelInput:
    """One required input of a model.

    Attributes:
        name: Its name in the graph.
        dtype: NumPy's name of the element type; None where NumPy has none (strings, bfloat16).
        shape: A size per axis, None where it is free; None as a whole for scalars and where even the rank is free
            (onnxruntime does not tell these two apart).
        axes: The name that the model gives to each axis, None where it gives none; empty where none is known.
        kind: onnxruntime's name of the type where the input is no tensor, such as "seq(tensor(float))"; "" for tensors.
    """

    name: str
    dtype: str | None
    shape: tuple[int | None, ...] | None
    axes: tuple[str | None, ...] = ()
    kind: str = ""

    @property
    def is_tensor(self) -> bool:
        """Whether the input takes an array."""
        return not self.kind

    def __str__(self) -> str:
        """Return name, type and shape, as messages show them."""
        if self.kind:
            return f"{self.name}: {self.kind}"
        dtype = self.dtype or "any type"
        if self.shape is None:
            return f"{self.name}: {dtype}"
        return f"{self.name}: {dtype} [{', '.join('?' if size is None else str(size) for size in self.shape)}]"


def describe_inputs(session: "onnxruntime.InferenceSession") -> tuple[ModelInput, ...]:
    """Return the inputs of a session in the model's order; caches have the head size that its graph tells."""
    inputs = tuple(describe_value(value) for value in session.get_inputs())
    if not any(_lacks_head_size(i) for i in inputs):
        return inputs
    size = head_size(session)
    return tuple(replace(i, shape=(*i.shape[:-1], size)) if i.shape and _lacks_head_size(i) else i for i in inputs)


def _lacks_head_size(model_input: ModelInput) -> bool:
    shape = model_input.shape
    return shape is not None and is_cache(model_input.name, shape) and shape[-1] is None


def describe_value(value: Any) -> ModelInput:
    """Return what onnxruntime tells of an input, or of what may be one of another session."""
    if not value.type.startswith("tensor("):
        return ModelInput(value.name, None, None, kind=value.type)
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    axes = tuple(size if isinstance(size, str) else None for size in value.shape)
    return ModelInput(value.name, _DTYPES.get(value.type), shape or None, axes)


def check_names(inputs: Iterable[ModelInput], names: Iterable[str], origin: str) -> None:
    """Refuse data whose names are not exactly those of the model's inputs.

    Raises:
        DataError: Inputs are missing, or names unknown.
    """
    expected, got = [i.name for i in inputs], list(names)
    if set(expected) != set(got):
        raise DataError(f"{origin}: expected the inputs {_listed(expected)}, got {_listed(got)}")


def check_feeds(inputs: Iterable[ModelInput], feeds: Mapping[str, Any], origin: str) -> None:
    """Refuse feeds that the model cannot take; what is fed to an input that is no tensor is left to onnxruntime.

    Raises:
        DataError: A name, type or shape differs from the model's.
    """
    inputs = tuple(inputs)
    check_names(inputs, feeds, origin)
    for model_input in inputs:
        if model_input.is_tensor:
            _check_feed(model_input, feeds[model_input.name], origin)


def _check_feed(expected: ModelInput, array: NDArray[Any], origin: str) -> None:
    is_type_right = expected.dtype is None or array.dtype == np.dtype(expected.dtype)
    if not is_type_right or not fits(expected.shape, array.shape):
        raise DataError(f"{origin}: expected {expected}, got {array.dtype} {list(array.shape)}")


def fits(expected: tuple[int | None, ...] | None, shape: tuple[int, ...]) -> bool:
    """Return whether a shape has the expected rank and fixed sizes."""
    if expected is None:
        return True
    return len(expected) == len(shape) and all(e in (None, s) for e, s in zip(expected, shape, strict=True))


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"

"""A batch, whatever its form, taken apart into arrays by name and put together again.

{"ids": tensor, "text": ["a", "b"], "extra": (tensor, None)}
    <->  {"ids": array, "text": array, "extra.0": array}  and the same form with a `Leaf` in the place of each
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lba_onnx.errors import DataError

Arrays = dict[str, NDArray[Any]]

_ROOT = "input"
_NUMBERS = (bool, int, float, np.number, np.bool_)


@dataclass(frozen=True)
class Leaf:
    """The place of an array in a batch.

    Attributes:
        name: The array's name.
        restore: Makes of the array what stood there; never shares its memory.
    """

    name: str
    restore: Callable[[NDArray[Any]], Any]


def take_apart(value: Any, name: str, arrays: Arrays) -> Any:
    """Return the form of a value; its tensors, lists of numbers or strings, and single ones join `arrays`.

    Args:
        value: Tensors, NumPy arrays, numbers, strings and None, in any nesting of mappings, tuples and lists.
        name: What the value is called; "" for names that begin with keys, and "input" for a value that is one array.
        arrays: Where arrays go, under names such as "name.key.0".

    Raises:
        DataError: There is something else in it.
    """
    if value is None:
        return None
    restore = _restorer(value)
    if restore is not None:
        name = name or _ROOT
        arrays[name] = as_array(value, name) if isinstance(value, Tensor) else np.asarray(value)
        return Leaf(name, restore)
    if isinstance(value, (tuple, list)):
        return like(type(value), [take_apart(entry, _joined(name, str(i)), arrays) for i, entry in enumerate(value)])
    if isinstance(value, Mapping):
        return {key: take_apart(entry, _joined(name, str(key)), arrays) for key, entry in value.items()}
    where = f"{name}: " if name else ""
    raise DataError(
        f"{where}expected tensors, numbers or strings in tuples, lists or dictionaries, got {type(value).__name__}"
    )


def put_together(form: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return a value of a form that `take_apart` has returned; mappings become dictionaries."""
    if isinstance(form, Leaf):
        return form.restore(arrays[form.name])
    if isinstance(form, dict):
        return {key: put_together(entry, arrays) for key, entry in form.items()}
    if isinstance(form, (tuple, list)):
        return like(type(form), [put_together(entry, arrays) for entry in form])
    return form


def as_array(tensor: Tensor, name: str) -> NDArray[Any]:
    """Return the values of a tensor on the CPU, of bfloat16 as float32; memory is shared where possible.

    Raises:
        DataError: The tensor is sparse, or NumPy lacks its type.
    """
    values = tensor.detach().cpu()
    try:
        array: NDArray[Any] = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    except (TypeError, RuntimeError) as error:
        raise DataError(
            f"{name}: expected a dense tensor of a type that NumPy has, got {tensor.dtype}: {error}"
        ) from None
    return array


def tensors_of(value: Any, name: str) -> Arrays:
    """Return all tensors in any nesting of mappings, tuples and lists by name; what else is there is left out."""
    if isinstance(value, Tensor):
        return {name: as_array(value, name)}
    if isinstance(value, Mapping):
        entries = [(str(key), entry) for key, entry in value.items()]
    elif isinstance(value, (tuple, list)):
        entries = [(str(index), entry) for index, entry in enumerate(value)]
    else:
        return {}
    return {key: array for part, entry in entries for key, array in tensors_of(entry, f"{name}.{part}").items()}


def _joined(name: str, part: str) -> str:
    return f"{name}.{part}" if name else part


def like(kind: type, entries: list[Any]) -> Any:
    """Return entries in a list, tuple or named tuple."""
    if issubclass(kind, list):
        return entries
    return kind(*entries) if hasattr(kind, "_fields") else tuple(entries)


def _restorer(value: Any) -> Callable[[NDArray[Any]], Any] | None:
    """Return what makes a value like this one of an array; None for values that are no array's."""
    if isinstance(value, Tensor):
        return partial(_tensor, dtype=value.dtype, device=value.device)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return partial(_tensor, dtype=None, device=None)
    if isinstance(value, (str, *_NUMBERS)):
        return _item
    if type(value) in (list, tuple) and value and any(all(isinstance(e, k) for e in value) for k in (str, _NUMBERS)):
        return partial(_items, kind=type(value))
    return None


def _tensor(array: NDArray[Any], dtype: Any, device: Any) -> Tensor:
    return torch.from_numpy(np.array(array)).to(device=device, dtype=dtype)


def _item(array: NDArray[Any]) -> Any:
    return array.item()


def _items(array: NDArray[Any], kind: type) -> Any:
    return kind(array.tolist())

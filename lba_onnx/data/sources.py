"""The files that samples, labels and functions of the user's own are read from."""

import inspect
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lba_onnx.data.hooks import Hook, load_function
from lba_onnx.data.samples import Samples
from lba_onnx.files.outputs import Input


def data_inputs(data: Any, role: str = "data") -> Iterator[Input]:
    """Yield the files of samples or plain data, of their labels, and of the function that prepares them.

    Of a folder these are the samples in it, and whatever would be taken for one the next time. What an iterable or a
    reader reads is not known.

    Args:
        data: The data; a mapping or an array has files where its values are still in them.
        role: What the data are, for messages.
    """
    if isinstance(data, Samples):
        yield from data_inputs(data.data, role)
        yield from data_inputs(data.labels, "labels")
        yield from function_inputs(preprocess=data.preprocess)
    elif isinstance(data, (str, os.PathLike)):
        path = Path(data)
        yield Input(role, path)
        if path.is_dir():
            yield from _folder_inputs(path, role)
    elif isinstance(data, np.lib.npyio.NpzFile):
        yield from (Input(role, Path(name)) for name in [getattr(data.zip, "filename", None)] if name)
    elif isinstance(data, np.memmap):
        yield from (Input(role, Path(name)) for name in [data.filename] if name)
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from data_inputs(value, role) if isinstance(value, np.memmap) else ()


def function_inputs(**functions: Any) -> Iterator[Input]:
    """Yield the files that define functions of the user's own.

    Args:
        functions: Roles to functions, texts "module:function", or None.
    """
    for role, function in functions.items():
        loaded = load_function(function) if isinstance(function, str) else function
        try:
            yield Input(role, Path(inspect.getfile(loaded.function if isinstance(loaded, Hook) else loaded)))
        except (OSError, TypeError):  # none, built in, or an object that can be called
            continue


def _folder_inputs(folder: Path, role: str) -> Iterator[Input]:
    for pattern in ("*.npz", "test_data_set_*"):
        yield Input(role, folder, pattern)
    yield from (Input(role, path) for path in sorted(folder.glob("*.npz")))
    for part in [folder, *sorted(folder.glob("test_data_set_*"))]:
        yield Input(role, part, "input_*.pb")
        yield from (Input(role, path) for path in sorted(part.glob("input_*.pb")))

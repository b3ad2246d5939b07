"""Checks of output paths before any work is done."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lba_onnx.files.outputs import Input


def check_files(
    outputs: Mapping[str, Path | None],
    *,
    models: Mapping[str, Path | None] | None = None,
    data: Mapping[str, Path | None] | None = None,
    functions: Mapping[str, Any] | None = None,
) -> None:
    """Refuse outputs that could not be written in the end, or would take the place of what is read or of each other.

    Args:
        outputs: What each output is, such as "report", to its path; None for one that is not wanted.
        models: The same of the models that are read; their external data counts, too.
        data: The same of samples, labels and calibrations.
        functions: The same of functions of the user's own.

    Raises:
        OutputError: An output is an input, or another output.
        click.UsageError: An output's folder is missing or not writable, or it is itself a folder or a device.
    """
    from lba_onnx.files.outputs import check_outputs

    for path in outputs.values():
        _check_writable(path)
    check_outputs(outputs, _inputs(models or {}, data or {}, functions or {}))


def _inputs(
    models: Mapping[str, Path | None], data: Mapping[str, Path | None], functions: Mapping[str, Any]
) -> "Iterator[Input]":
    from lba_onnx.data.sources import data_inputs, function_inputs
    from lba_onnx.rewrite.model_inputs import model_inputs

    for role, model in models.items():
        yield from model_inputs(model, role)
    for role, path in data.items():
        yield from data_inputs(path, role)
    yield from function_inputs(**functions)


def _check_writable(path: Path | None) -> None:
    if path is None:
        return
    folder = path.parent
    if not folder.is_dir():
        raise click.UsageError(f"{path}: the folder {folder} does not exist")
    if path.exists() and not path.is_file():  # a device, too, would be replaced by a file
        raise click.UsageError(f"{path}: expected a file to write, got a folder or a device")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise click.UsageError(f"{path}: the folder {folder} is not writable")

"""Checks of output paths before any work is done."""

import os
from pathlib import Path

import click


def check_writable(path: Path | None) -> None:
    """Refuse an output path that could not be written in the end.

    Raises:
        click.UsageError: Its folder is missing or not writable, or it is itself a folder or a device.
    """
    if path is None:
        return
    folder = path.parent
    if not folder.is_dir():
        raise click.UsageError(f"{path}: the folder {folder} does not exist")
    if path.exists() and not path.is_file():  # a device, too, would be replaced by a file
        raise click.UsageError(f"{path}: expected a file to write, got a folder or a device")
    if not os.access(folder, os.W_OK):
        raise click.UsageError(f"{path}: the folder {folder} is not writable")

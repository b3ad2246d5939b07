"""What commands print: results to standard output, everything else to standard error."""

import json
import logging
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from lba_onnx.cli.progress import is_quiet

if TYPE_CHECKING:
    from rich.console import RenderableType


class StandardErrorLog(logging.Handler):
    """Prints log records to standard error, a line each, as errors are: "warning: ..."."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record, unless it only informs and the command is to be quiet."""
        if record.levelno < logging.WARNING and is_quiet():
            return
        click.echo(f"{record.levelname.lower()}: {' '.join(record.getMessage().split())}", err=True)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object.

    Raises:
        ValueError: A number is not finite.
    """
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def print_rich(*items: "RenderableType") -> None:
    """Print tables and lines; as wide as they are where the output is not a terminal."""
    from rich.console import Console

    is_terminal = sys.stdout.isatty()
    console = Console(file=sys.stdout, highlight=False, width=None if is_terminal else 200)
    for item in items:
        is_text = isinstance(item, str)
        console.print(item, markup=not is_text, soft_wrap=is_text)

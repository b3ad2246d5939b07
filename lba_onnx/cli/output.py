"""What commands print: results to standard output, everything else to standard error."""

import json
import logging
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import click

from lba_onnx.cli.progress import is_quiet
from lba_onnx.text import TextTable, visible, wrap


class StandardErrorLog(logging.Handler):
    """Prints log records to standard error, a line each, as errors are: "warning: ..."."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record, unless it only informs and the command is to be quiet; nobody reading it ends nothing."""
        if record.levelno < logging.WARNING and is_quiet():
            return
        with suppress(OSError):
            say(f"{record.levelname.lower()}: {record.getMessage()}")


def say(message: str) -> None:
    """Print one line to standard error.

    Raises:
        OSError: Nobody reads it any more.
    """
    click.echo(_encodable(visible(" ".join(message.split())), sys.stderr), err=True)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object.

    Raises:
        ValueError: A number is not finite.
    """
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def print_text(*items: TextTable | str) -> None:
    """Print tables and sentences: as wide as the terminal, or whole where the output is none.

    Raises:
        OSError: Nobody reads it any more.
    """
    width = terminal_width()
    lines = [
        line for item in items for line in (wrap(visible(item), width) if isinstance(item, str) else item.lines(width))
    ]
    click.echo(_encodable("\n".join(lines), sys.stdout))


def terminal_width() -> int | None:
    """Return how many columns standard output has; None where it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _encodable(text: str, stream: Any) -> str:
    """Return text with escapes for what the stream's encoding lacks."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)

"""What commands print: results to standard output, everything else to standard error."""

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import RenderableType


class StandardErrorLog(logging.Handler):
    """Prints log records to standard error, a line each, as errors are: "warning: ..."."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
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


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a progress bar with the time left on standard error while the block runs; nothing where that is a file."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)

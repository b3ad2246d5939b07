"""The command group: what becomes of errors, and which exit code says so.

0    done
1    the user's mistake: one line "error: ..." on standard error
2    our fault: one line that asks for a report
130  interrupted by Ctrl-C
143  ended by SIGTERM, 129 by SIGHUP, after cleaning up as for Ctrl-C
"""

import contextlib
import errno
import functools
import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import click

from lba_onnx.cli.output import say
from lba_onnx.cli.signals import Terminated, ending_with_an_exception
from lba_onnx.cli.streams import finish_output, open_closed_streams
from lba_onnx.errors import LbaError

USER_ERROR = 1
INTERNAL_ERROR = 2
INTERRUPTED = 130


class GuardedGroup(click.Group):
    """A group of commands whose errors end as one line and an exit code."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run a command line; with standalone_mode, end the process with the exit code."""
        run = functools.partial(super().main, *args, standalone_mode=False, **extra)
        return exit_with_code(run) if standalone_mode else run()


def exit_with_code(run: Callable[[], Any]) -> NoReturn:
    """Call `run` and end the process with the exit code that its result or error stands for."""
    open_closed_streams()
    try:
        with ending_with_an_exception():
            result = run()
            sys.stdout.flush()
        code = result if isinstance(result, int) else 0  # an int where a command called ctx.exit
    except Exception as error:
        code = _report(error)
    except KeyboardInterrupt as interrupt:
        code = _report_interrupt(interrupt)
    finish_output()
    sys.exit(code)


def _report(error: Exception) -> int:
    if logging.getLogger("lba_onnx").isEnabledFor(logging.DEBUG):
        traceback.print_exception(error)
    if isinstance(error, click.Abort):
        return _report_interrupt(error.__cause__)
    if isinstance(error, click.ClickException):
        return _report_usage(error)
    if isinstance(error, OSError) and error.errno == errno.EPIPE:  # whoever read our output has had enough
        return USER_ERROR
    if isinstance(error, OSError) and error.strerror:
        return _say(f"{error.filename or 'standard output'}: {error.strerror}", USER_ERROR)
    if isinstance(error, (LbaError, ValueError, OSError)):
        return _say(str(error), USER_ERROR)
    return _say(
        f"internal error, {type(error).__name__}: {error}; please report it with the output of --log_level debug",
        INTERNAL_ERROR,
    )


def _report_interrupt(interrupt: BaseException | None) -> int:
    if isinstance(interrupt, Terminated):
        return _say(f"ended by {interrupt}", interrupt.exit_code)
    return _say("interrupted", INTERRUPTED)


def _report_usage(error: click.ClickException) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":  # since click 8.2; the message is the whole help
        error.show()
        return USER_ERROR
    context = getattr(error, "ctx", None)
    hint = f" (see {context.command_path} --help)" if context else ""
    return _say(error.format_message() + hint, USER_ERROR)


def _say(message: str, code: int) -> int:
    with contextlib.suppress(OSError):  # nobody reads that, either
        say(f"error: {message}")
    return code

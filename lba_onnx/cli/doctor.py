"""lba-onnx doctor: the state of the installation."""

import click

from lba_onnx.cli import options
from lba_onnx.cli.output import print_json, print_rich


@click.command("doctor")
@options.common
@click.pass_context
def doctor_command(context: click.Context, as_json: bool) -> None:
    """Check versions, libraries, providers, CUDA devices and bits.

    Ends with exit code 1, and advice, where something is broken.
    """
    from rich.markup import escape
    from rich.table import Table

    from lba_onnx.doctor import diagnose

    diagnosis = diagnose()
    if as_json:
        print_json(diagnosis.to_json())
    else:
        table = Table("check", "state", "finding", "advice")
        for check in diagnosis.checks:
            state = "ok" if check.is_right else "BROKEN"
            table.add_row(check.name, state, escape(check.finding), escape(check.advice))
        print_rich(table)
    context.exit(0 if diagnosis.is_healthy else 1)

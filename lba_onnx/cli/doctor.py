"""lba-onnx doctor: the state of the installation."""

import click

from lba_onnx.cli import options
from lba_onnx.cli.output import print_json, print_text
from lba_onnx.text import TextTable, figures, remarks


@click.command("doctor")
@options.common
@click.pass_context
def doctor_command(context: click.Context, as_json: bool) -> None:
    """Check versions, libraries, providers, CUDA devices and bits.

    Ends with exit code 1, and advice, where something is broken.
    """
    from lba_onnx.doctor import diagnose

    diagnosis = diagnose()
    if as_json:
        print_json(diagnosis.to_json())
    else:
        columns = (*figures("check", "state"), *remarks("finding", "advice"))
        checks = diagnosis.checks
        rows = ((c.name, "ok" if c.is_right else "BROKEN", c.finding, c.advice) for c in checks)
        print_text(TextTable(columns, rows))
    context.exit(0 if diagnosis.is_healthy else 1)

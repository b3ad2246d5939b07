"""The command line, `lba-onnx`: one module per command."""

import click

from lba_onnx.cli.bundle import bundle_command
from lba_onnx.cli.calibrate import calibrate_command
from lba_onnx.cli.compare import compare_command
from lba_onnx.cli.convert import convert_command
from lba_onnx.cli.cost import cost_command
from lba_onnx.cli.debug import debug_command
from lba_onnx.cli.demo import demo_command
from lba_onnx.cli.doctor import doctor_command
from lba_onnx.cli.evaluate import evaluate_command
from lba_onnx.cli.export_triton import export_triton_command
from lba_onnx.cli.group import GuardedGroup
from lba_onnx.cli.inspect import inspect_command
from lba_onnx.cli.kinds import explain_command, kinds_command
from lba_onnx.cli.plot import plot_command
from lba_onnx.cli.report import report_command
from lba_onnx.cli.search import search_command
from lba_onnx.cli.sweep import sweep_command
from lba_onnx.cli.transform import transform_command

__all__ = ["main"]


def _underscores(name: str) -> str:
    return name.replace("-", "_")


@click.group(
    cls=GuardedGroup,
    context_settings={"token_normalize_func": _underscores, "help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="lba-onnx", prog_name="lba-onnx")
def main() -> None:
    """Run ONNX models with low-bit accumulators: calibrate, convert, measure.

    Options may be written with - or _ alike.
    """


for _command in (
    demo_command,
    inspect_command,
    transform_command,
    calibrate_command,
    convert_command,
    evaluate_command,
    compare_command,
    cost_command,
    debug_command,
    search_command,
    sweep_command,
    plot_command,
    report_command,
    bundle_command,
    export_triton_command,
    kinds_command,
    explain_command,
    doctor_command,
):
    main.add_command(_command)

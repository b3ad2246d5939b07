"""lba-onnx demo: the whole way, with a model and images that come with the package."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lba_onnx.cli import options
from lba_onnx.cli.calibrate import calibration_table
from lba_onnx.cli.figures import difference_text, estimate_text
from lba_onnx.cli.output import print_json, print_text
from lba_onnx.cli.progress import progress_bar

if TYPE_CHECKING:
    from lba_onnx.evaluation import Proportion


@click.command("demo")
@click.option(
    "-o",
    "--output_path",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("lba_onnx_demo"),
    show_default=True,
    metavar="FOLDER",
    help="Where the converted model and the JSON files go; made if it does not exist.",
)
@options.common
def demo_command(output_path: Path, as_json: bool) -> None:
    """Go the whole way with a small network.

    Calibrates, converts at M7E4 (12 bits) and measures a Fashion-MNIST network that comes with the package.
    """
    from lba_onnx.demo import run_demo

    with progress_bar("demo") as progress:
        result = run_demo(output_path, progress)
    if as_json:
        print_json(result.to_json())
        return
    points, interval, finding = difference_text(result.comparison.top1_difference)
    print_text(
        calibration_table(result.widest_layers(5)),
        f"test images:   {result.comparison.samples}",
        f"float32 top-1: {_percent(result.comparison.reference.top1)}",
        f"LBA top-1:     {_percent(result.comparison.candidate.top1)}, formats {result.calibration.family} per layer",
        f"difference:    {points} points (95 % interval {interval}): {finding}",
        f"agreement:     {_percent(result.comparison.agreement)} of the images get the same class",
        f"time:          {result.seconds:.1f} s",
        *(f"wrote {path}" for path in result.files),
    )


def _percent(share: "Proportion | None") -> str:
    value, interval = estimate_text(share)
    return f"{value} % ({interval})"

"""lba-onnx plot: the values of one node of a calibration as a figure."""

from pathlib import Path

import click

from lba_onnx.cli import options
from lba_onnx.cli.files import check_files
from lba_onnx.cli.output import print_json, print_text


@click.command("plot")
@click.option(
    "-c",
    "--calibration_path",
    "--calibration",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="What `lba-onnx calibrate` wrote.",
)
@click.option("--node", required=True, metavar="NAME", help="The node to draw.")
@click.option(
    "-o",
    "--output_path",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The plot to write, .png or .svg.",
)
@options.common
def plot_command(calibration_path: Path, node: str, output_path: Path, as_json: bool) -> None:
    """Draw how a node's products and sums are spread, and what its formats hold of them."""
    from lba_onnx.calibration import Calibration
    from lba_onnx.calibration.plot import plot_node

    check_files({"plot": output_path}, data={"calibration": calibration_path})
    calibration = Calibration.load(calibration_path)
    plot_node(calibration, node, output_path)
    if as_json:
        print_json({"output_path": str(output_path), "node": node, **calibration.nodes[node].to_json()})
        return
    print_text(f"wrote {output_path}")

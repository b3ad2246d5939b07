"""lba-onnx export-triton: a converted model in a model repository of Triton Inference Server."""

from pathlib import Path
from typing import Any

import click

from lba_onnx.cli import options
from lba_onnx.cli.input_shapes import input_shapes
from lba_onnx.cli.output import print_json, print_text


@click.command("export-triton")
@options.model_path
@click.option(
    "-o",
    "--output_path",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="FOLDER",
    help="The model repository; made if it does not exist, and may hold other models.",
)
@click.option(
    "--backend",
    type=click.Choice(("onnxruntime", "python")),
    default="onnxruntime",
    show_default=True,
    help="Triton's own for onnxruntime, or a Python program that runs onnxruntime.",
)
@click.option("--name", metavar="NAME", help="The model's name; that of its file unless given.")
@click.option(
    "--max_batch_size",
    type=click.IntRange(min=0),
    default=256,
    show_default=True,
    help="The largest batch, where the model leaves it open; 0 for none.",
)
@click.option(
    "--server_path",
    metavar="FOLDER",
    help="Where the server sees the repository, such as /models in a container; where it is written unless given.",
)
@input_shapes
@options.common
def export_triton_command(onnx_path: Path, output_path: Path, as_json: bool, **given: Any) -> None:
    """Write a converted model into a model repository for Triton.

    The folder has config.pbtxt, the model, the library with its operators, and a README.
    """
    from lba_onnx.shipping import TritonSettings, export_triton

    folder = export_triton(onnx_path, output_path, TritonSettings(**given))
    if as_json:
        print_json({"model_path": str(folder), "name": folder.name})
        return
    print_text(f"wrote {folder}")

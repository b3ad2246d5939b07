"""lba-onnx transform: change a float32 model's weights so that low-bit accumulators lose less."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lba_onnx.cli import options
from lba_onnx.cli.files import check_files
from lba_onnx.cli.output import print_json, print_text
from lba_onnx.cli.progress import progress_bar
from lba_onnx.files.json_file import write_json

if TYPE_CHECKING:
    from lba_onnx.transformation import TransformationReport


@click.command("transform")
@options.model_path
@click.option(
    "-o", "--output_path", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The model to write."
)
@click.option(
    "--calibration_data_path",
    type=click.Path(path_type=Path),
    required=True,
    metavar="PATH",
    help="Samples to verify with, 16 unless --max_samples says more: .npz, .npy, a folder of .npz or of "
    "test_data_set_*/input_*.pb.",
)
@options.transformations
@click.option(
    "--use_external_data_format",
    is_flag=True,
    default=None,
    help="Write the weights to a file beside the model; done anyway where the model's own lie beside it.",
)
@click.option("--report_path", type=click.Path(path_type=Path), metavar="FILE", help="Write the report as JSON.")
@options.batching
@options.common
def transform_command(
    onnx_path: Path, output_path: Path, report_path: Path | None, as_json: bool, **given: Any
) -> None:
    """Change a float32 model's weights so that low-bit accumulators lose less, and outputs stay the same.

    Each transformation is verified on samples, and left out where an output changes by more than rounding. The result
    is a float32 model for `lba-onnx calibrate` and `lba-onnx convert`.
    """
    data_path = given.pop("calibration_data_path")
    check_files(
        {"transformed model": output_path, "report": report_path},
        models={"model": onnx_path},
        data={"calibration data": data_path},
        functions={"preprocess": given["preprocess"]},
    )
    report = _transform(onnx_path, output_path, data_path, given)
    if report_path is not None:
        write_json(report_path, report.to_json())
    if as_json:
        print_json({"output_path": str(output_path), **report.to_json()})
        return
    wrote = [f"wrote {path}" for path in (output_path, report_path) if path is not None]
    print_text(report.table(), *map(str, report.entries), *wrote)


def _transform(onnx_path: Path, output_path: Path, data_path: Path, given: dict[str, Any]) -> "TransformationReport":
    """Transform with a progress bar."""
    from lba_onnx.cli.settings import take_execution, take_samples
    from lba_onnx.rewrite import ModelFile
    from lba_onnx.transformation import transform

    samples, transformations = take_samples(given, data_path), given.pop("transformations")
    output = ModelFile(output_path, use_external_data_format=given.pop("use_external_data_format"))
    with progress_bar("transforming") as progress:
        execution = take_execution(given, progress)
        _, report = transform(onnx_path, samples, transformations, execution=execution, model_output=output)
    return report

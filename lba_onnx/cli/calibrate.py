"""lba-onnx calibrate: choose the exponent biases of every node from sample data."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lba_onnx.cli import options
from lba_onnx.cli.files import check_files
from lba_onnx.cli.output import print_json, print_text
from lba_onnx.cli.progress import progress_bar
from lba_onnx.text import TextTable, figures, names, remarks

if TYPE_CHECKING:
    from lba_onnx.calibration import Calibration, EventRates
    from lba_onnx.calibration.calibration_result import NodeCalibration


@click.command("calibrate")
@options.model_path
@click.option(
    "-o", "--output_path", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The JSON to write."
)
@click.option(
    "--calibration_data_path",
    type=click.Path(path_type=Path),
    required=True,
    metavar="PATH",
    help="Samples: .npz, .npy, a folder of .npz or of test_data_set_*/input_*.pb.",
)
@options.calibration
@options.arithmetic
@options.bias_start
@options.selection
@options.batching
@options.common
def calibrate_command(
    onnx_path: Path, output_path: Path, calibration_data_path: Path, as_json: bool, **given: Any
) -> None:
    """Choose an accumulator per node from sample data.

    The result is a JSON file for `lba-onnx convert --calibration_path`.
    """
    check_files(
        {"calibration": output_path, "progress file": given["resume_path"]},
        models={"model": onnx_path},
        data={"calibration data": calibration_data_path},
        functions={name: given[name] for name in ("metric", "preprocess")},
    )
    result = _calibrate(onnx_path, calibration_data_path, given)
    result.save(output_path)
    if as_json:
        print_json({"output_path": str(output_path), **result.to_json()})
        return
    lines = [] if result.verdict is None else [str(result.verdict)]
    if result.warnings:
        lines.append(f"{len(result.warnings)} nodes lose values or swamp products: convert measures what that costs")
    print_text(calibration_table(result), *lines, f"wrote {output_path}")


def _calibrate(onnx_path: Path, data_path: Path, given: dict[str, Any]) -> "Calibration":
    """Calibrate with a progress bar."""
    from lba_onnx.calibration import calibrate
    from lba_onnx.cli.settings import take_execution, take_family, take_method, take_samples, take_selection

    samples, selection = take_samples(given, data_path), take_selection(given)
    family, method = take_family(given), take_method(given)
    with progress_bar("calibrating") as progress:
        execution = take_execution(given, progress)
        return calibrate(onnx_path, samples, family, method, selection=selection, execution=execution, **given)


def calibration_table(calibration: "Calibration") -> TextTable:
    """Return a table with one row per node; overflow, underflow and swamping as percentages, the largest of each."""
    title = f"{calibration.family}, method {calibration.method}, {calibration.samples} samples"
    found = ("product", "accumulator", "largest product", "largest sum", "over %", "under %", "swamped %")
    rows = (_row(name, node) for name, node in calibration.nodes.items())
    return TextTable((*names("node"), *figures(*found), *remarks("remark")), rows, title)


def _row(name: str, node: "NodeCalibration") -> tuple[str, ...]:
    seen = node.range
    largest = ("-", "-") if seen is None else (f"{seen.max_abs_product:.4g}", f"{seen.max_abs_sum:.4g}")
    formats = (held.text for held in node.spec.ranges)
    return (name, *formats, *largest, *_percentages(node.rates), node.note)


def _percentages(rates: "EventRates | None") -> tuple[str, str, str]:
    if rates is None:
        return ("-", "-", "-")
    largest = map(rates.largest, ("overflow", "underflow", "swamped"))
    over, under, swamped = ("-" if share is None else f"{100 * share:.2g}" for share in largest)
    return over, under, swamped

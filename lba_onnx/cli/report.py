"""lba-onnx report: one page on a converted model."""

from pathlib import Path
from typing import Any

import click

from lba_onnx.cli import options
from lba_onnx.cli.files import check_files
from lba_onnx.cli.input_shapes import input_shapes
from lba_onnx.cli.output import print_json, print_text
from lba_onnx.cli.progress import progress_bar
from lba_onnx.cli.unused import OF_RUNS, refuse_unused

_RESULTS = {
    "compare": "What `lba-onnx compare --json` has printed.",
    "evaluate": "What `lba-onnx evaluate --json` has printed.",
    "debug": "What `lba-onnx debug --json` has printed.",
    "cost": "What `lba-onnx cost --json` has printed.",
    "calibration": "What `lba-onnx calibrate` has written.",
    "sweep": "What `lba-onnx sweep` has written.",
    "search": "What `lba-onnx search` has written.",
}

_results = options.combine(
    *(
        click.option(f"--{name}", f"{name}_path", type=click.Path(path_type=Path), metavar="FILE", help=text)
        for name, text in _RESULTS.items()
    )
)


@click.command("report")
@options.model_path
@click.option(
    "-o", "--output_path", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The page to write."
)
@click.option(
    "-r",
    "--reference_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The float32 model that it was made from.",
)
@click.option(
    "--spec",
    metavar="SPEC|FILE",
    help="Convert the model to this spec, or to those of a calibration, for the report alone.",
)
@_results
@click.option(
    "--data_path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Samples to measure on, as `lba-onnx evaluate` takes them; results that are given are not measured again.",
)
@click.option(
    "--labels_path", type=click.Path(path_type=Path), metavar="FILE", help="Class numbers as .npy, if not in the data."
)
@click.option("--operand_format", metavar="FORMAT", help="As in `lba-onnx cost`.")
@click.option(
    "--cost_table", type=click.Path(path_type=Path), metavar="FILE", help="A table of costs, in place of the built-in."
)
@input_shapes
@options.metric
@options.batching
@options.common
def report_command(onnx_path: Path, output_path: Path, as_json: bool, **given: Any) -> None:
    """Write one page on a converted model.

    What is converted, accuracy, cost, the layers that lose and why, what else there is to choose, and how values are
    spread: as far as results or data are given. Without, it tells what is expected of rounding. The page needs no
    network; the data behind it are in it.
    """
    from lba_onnx.files.json_file import write_text
    from lba_onnx.reporting import Results, check_renderer, make_report, render

    check_renderer()
    results = {name: given.pop(f"{name}_path") for name in _RESULTS}
    data_path, labels_path = given.pop("data_path"), given.pop("labels_path")
    check_files(
        {"page": output_path},
        models={"model": onnx_path, "reference": given["reference_path"]},
        data={"data": data_path, "labels": labels_path, "cost table": given["cost_table"], **results},
        functions={name: given[name] for name in ("metric", "preprocess")},
    )
    if data_path is None:
        refuse_unused((*OF_RUNS, "labels_path"), "without --data_path")
    if results["cost"] is not None:
        told = ("operand_format",) if results["sweep"] is not None else ("operand_format", "cost_table")
        refuse_unused(told, "with --cost, whose figures are shown as they are")
    read = Results.read(results)
    with progress_bar("reporting") as progress:
        report = make_report(_subject(onnx_path, given), read, **_measuring(given, data_path, labels_path, progress))
    write_text(output_path, render(report))
    if as_json:
        print_json({"output_path": str(output_path), **report.to_json()})
        return
    print_text(*(f"{name}: {advice}" for name, advice in report.absent.items()), f"wrote {output_path}")


def _subject(onnx_path: Path, given: dict[str, Any]) -> Any:
    from lba_onnx.reporting import Subject

    names = ("reference_path", "spec", "input_shapes", "operand_format", "cost_table")
    reference, spec, shapes, operands, table = (given.pop(name) for name in names)
    return Subject(onnx_path, reference, spec, shapes, operands, table)


def _measuring(given: dict[str, Any], data_path: Path | None, labels_path: Path | None, progress: Any) -> Any:
    from lba_onnx.cli.settings import take_execution, take_samples

    execution = take_execution(given, progress)
    if data_path is None:
        return {"execution": execution}
    samples = take_samples(given, data_path, labels_path)
    return {"data": samples, "metric": given["metric"], "execution": execution}

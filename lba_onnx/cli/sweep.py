"""lba-onnx sweep: a model measured over families, biases and chunk sizes."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lba_onnx.calibration.methods import DEFAULT_METHOD, METHODS
from lba_onnx.cli import options
from lba_onnx.cli.figures import estimate_text, missing_accuracy, with_interval
from lba_onnx.cli.files import check_files
from lba_onnx.cli.output import print_json, print_text
from lba_onnx.cli.progress import progress_bar
from lba_onnx.cli.unused import refuse_unused
from lba_onnx.text import TextTable, figures

if TYPE_CHECKING:
    from lba_onnx.data.execution import Progress
    from lba_onnx.sweeping import Sweep
    from lba_onnx.sweeping.sweep_result import SweepPoint

_Parse = Callable[[str], Any]


def _listed(parse: _Parse) -> Callable[[click.Context, click.Parameter, str], tuple[Any, ...]]:
    """Return a callback that reads values with commas between them."""
    return lambda context, parameter, text: tuple(parse(part.strip()) for part in text.split(","))


def _bias(text: str) -> int | str:
    """Read a number, or the name of a method."""
    return int(text) if text.removeprefix("-").isdecimal() else text


def _switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise click.BadParameter(f"expected on or off, got {text!r}")
    return text == "on"


_grid = (
    click.option(
        "--families",
        callback=options.read_texts,
        default="M7E4",
        show_default=True,
        metavar="LIST",
        help="Accumulators without their bias, with options if need be, such as M7E4,M7E4,round=nearest.",
    ),
    click.option(
        "--biases",
        callback=_listed(_bias),
        default=DEFAULT_METHOD,
        show_default=True,
        metavar="LIST",
        help="Exponent biases of the accumulator, for all nodes alike, or methods of calibration: "
        f"{', '.join(METHODS)}.",
    ),
    click.option(
        "--chunk_sizes",
        callback=_listed(options.parse_chunk_size),
        default="16",
        show_default=True,
        metavar="LIST",
        help="Products summed before their sum joins the total; none for the whole depth.",
    ),
    click.option(
        "--underflow",
        callback=_listed(_switch),
        default="on",
        show_default=True,
        metavar="LIST",
        help="on, off or both: whether values below the smallest of a format become zero.",
    ),
    click.option(
        "--calibration_data_path",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="Samples for methods of calibration, in the same forms as --data_path.",
    ),
)

_files = (
    click.option(
        "-o", "--output_path", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The JSON to write."
    ),
    click.option("--csv_path", type=click.Path(path_type=Path), metavar="FILE", help="A table to write."),
    click.option("--plot_path", type=click.Path(path_type=Path), metavar="FILE", help="A plot to write, .png or .svg."),
    click.option(
        "--plot_over",
        type=click.Choice(["mantissa_bits", "exponent_bias", "chunk_size"]),
        help="The plot's horizontal axis; by default the one with the most values.",
    ),
)

_work = (
    click.option("--workers", type=click.IntRange(min=1), help="Processes on this machine; by default this one alone."),
    click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler whose workers do the work: tcp://host:8786."),
    click.option(
        "--shard_size",
        type=click.IntRange(min=1),
        default=128,
        show_default=True,
        help="Samples per unit of work; never changes the result.",
    ),
)


@click.command("sweep")
@options.model_path
@options.test_data
@options.combine(*_grid)
@click.option(
    "--reference_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The model to compare with; by default the float32 model itself.",
)
@options.combine(*_files)
@options.combine(*_work)
@options.metric
@options.bias_start
@options.selection
@options.batching
@options.common
def sweep_command(
    onnx_path: Path,
    data_path: Path,
    labels_path: Path | None,
    output_path: Path,
    csv_path: Path | None,
    plot_path: Path | None,
    plot_over: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Measure a model over families, biases and chunk sizes.

    What is found is kept in OUTPUT_PATH.journal until the sweep is complete: a sweep that was interrupted and is
    started again goes on from there.
    """
    from lba_onnx.sweeping.plot import check_plot, plot_sweep

    if all(isinstance(bias, int) for bias in given["biases"]):
        refuse_unused(("calibration_data_path",), "with --biases that are all numbers")
    journal_path = output_path.with_name(f"{output_path.name}.journal")
    check_files(
        {"sweep": output_path, "table": csv_path, "plot": plot_path, "journal": journal_path},
        models={"model": onnx_path, "reference": given["reference_path"]},
        data={
            "data": data_path,
            "labels": labels_path,
            "calibration data": given["calibration_data_path"],
        },
        functions={name: given[name] for name in ("metric", "preprocess")},
    )
    if plot_path is not None:
        check_plot(plot_path, plot_over)
    else:
        refuse_unused(("plot_over",), "without --plot_path")
    with progress_bar("sweeping") as progress:
        result = _sweep(onnx_path, data_path, labels_path, {**given, "journal_path": journal_path}, progress)
    result.save(output_path)
    journal_path.unlink(missing_ok=True)
    if csv_path is not None:
        result.save_csv(csv_path)
    if plot_path is not None:
        plot_sweep(result, plot_path, plot_over)
    _print(result, as_json, [path for path in (output_path, csv_path, plot_path) if path is not None])


def _sweep(
    onnx_path: Path, data_path: Path, labels_path: Path | None, given: dict[str, Any], progress: "Progress"
) -> "Sweep":
    from lba_onnx.cli.settings import take_execution, take_reading, take_selection
    from lba_onnx.data.samples import Samples
    from lba_onnx.sweeping import Work, sweep

    reading, calibration_path = take_reading(given), given["calibration_data_path"]
    to_calibrate = {**reading, "max_samples": None}
    return sweep(
        onnx_path,
        Samples(data_path, labels_path, **reading),
        families=_families(given),
        biases=given["biases"],
        calibration_data=None if calibration_path is None else Samples(calibration_path, **to_calibrate),
        reference=given["reference_path"],
        metric=given["metric"],
        selection=take_selection(given),
        bias_start=given["bias_start"],
        work=Work(**{name: given[name] for name in ("workers", "scheduler", "shard_size", "journal_path")}),
        execution=take_execution(given, progress),
    )


def _families(given: dict[str, Any]) -> list[str]:
    """Return the texts, each with all combinations of the options that it does not mention."""
    from lba_onnx.arithmetic.arguments import option_texts, with_defaults

    combinations = itertools.product(given["families"], given["chunk_sizes"], given["underflow"])
    return [
        with_defaults(text, option_texts(chunk_size=chunk_size, underflow=underflow))
        for text, chunk_size, underflow in combinations
    ]


def _print(result: "Sweep", as_json: bool, files: list[Path]) -> None:
    if as_json:
        print_json({"files": [str(path) for path in files], **result.to_json()})
        return
    float32 = result.float32
    lines = [f"{result.samples} samples"]
    if float32.top1 is not None:
        lines.append(f"float32: top-1 {' %, '.join(estimate_text(float32.top1))}")
    written = (f"wrote {path}" for path in files)
    print_text(_table(result), "; ".join(lines), *missing_accuracy(float32), *written)


def _table(result: "Sweep") -> TextTable:
    """Return a row a point; columns without any figure are left out."""
    metric = result.float32.metric_name
    headings = ("accumulator", "bias", "top-1 %", "95 % interval", "as float32 %", "cosine", "SQNR dB")
    rows = [_row(point, metric is not None) for point in result.points]
    columns = zip((*headings, *([metric] if metric else [])), *rows, strict=True)
    shown = [column for column in columns if set(column[1:]) != {"-"}]
    return TextTable(figures(*(column[0] for column in shown)), zip(*(column[1:] for column in shown), strict=True))


def _row(point: "SweepPoint", has_metric: bool) -> tuple[str, ...]:
    comparison, grid = point.comparison, point.grid
    output = comparison.outputs[0]
    return (
        grid.text,
        "-" if grid.bias is None else str(grid.bias),
        *estimate_text(comparison.candidate.top1),
        with_interval(comparison.agreement),
        "-" if output.mean_cosine is None else f"{output.mean_cosine:.5f}",
        "-" if output.sqnr_db is None else f"{output.sqnr_db:.2f}",
        *([with_interval(comparison.candidate.metric)] if has_metric else []),
    )

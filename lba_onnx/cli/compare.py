"""lba-onnx compare: a converted model beside the float32 one, on the same data."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lba_onnx.cli import options
from lba_onnx.cli.figures import difference_text, estimate_text, missing_accuracy, with_interval
from lba_onnx.cli.model_hashes import model_hashes
from lba_onnx.cli.output import print_json, print_text
from lba_onnx.cli.progress import progress_bar
from lba_onnx.text import TextTable, figures, names, remarks

if TYPE_CHECKING:
    from lba_onnx.evaluation import Comparison, OutputComparison


@click.command("compare")
@click.option(
    "-r",
    "--reference_path",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The model to compare with, in float32.",
)
@click.option(
    "-i",
    "--candidate_path",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The model in question, such as a converted one.",
)
@options.test_data
@options.metric
@options.batching
@options.common
def compare_command(
    reference_path: Path,
    candidate_path: Path,
    data_path: Path,
    labels_path: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Measure a converted model beside the float32 one.

    Agreement, cosine, SQNR and the largest difference need no labels; top-1 and top-5 do. Ranges are 95 % confidence
    intervals; "no difference shown" stands where that of the difference holds 0.
    """
    from lba_onnx.cli.settings import take_execution, take_samples
    from lba_onnx.evaluation import compare

    samples = take_samples(given, data_path, labels_path)
    with progress_bar("comparing") as progress:
        execution = take_execution(given, progress)
        result = compare(reference_path, candidate_path, samples, execution=execution, **given)
    if as_json:
        print_json({**result.to_json(), **model_hashes(candidate_path, reference_path)})
        return
    lines = [*missing_accuracy(result.reference), _agreement(result)]
    print_text(f"{result.samples} samples", *_accuracies(result), *lines, _outputs(result))


def _accuracies(result: "Comparison") -> list[TextTable]:
    """Return a table of the figures that there are; none without any."""
    reference, candidate = result.reference, result.candidate
    found = (
        ("top-1 %", reference.top1, candidate.top1, result.top1_difference),
        ("top-5 %", reference.top5, candidate.top5, result.top5_difference),
        (reference.metric_name or "", reference.metric, candidate.metric, result.metric_difference),
    )
    rows = [
        (name, with_interval(of_reference), with_interval(of_candidate), *difference_text(difference))
        for name, of_reference, of_candidate, difference in found
        if difference is not None
    ]
    measured = figures("reference", "candidate", "difference", "95 % interval of it")
    return [TextTable((*names("figure"), *measured, *remarks("finding")), rows)] if rows else []


def _agreement(result: "Comparison") -> str:
    if result.agreement is None:
        return "no output is scores of classes: nothing to agree on"
    percent, interval = estimate_text(result.agreement)
    text, pairs = f"same top-1 in both: {percent} % ({interval})", result.top1_difference
    if pairs is None:
        return text
    return (
        f"{text}; only the reference is right on {pairs.only_reference}, only the candidate on {pairs.only_candidate}"
    )


def _outputs(result: "Comparison") -> TextTable:
    columns = (*names("output"), *figures("mean cosine", "SQNR dB", "largest difference"))
    return TextTable(columns, (_row(output) for output in result.outputs))


def _row(output: "OutputComparison") -> tuple[str, ...]:
    interval = output.sqnr_interval_db
    ranged = "" if interval is None else " ({:.2f} to {:.2f})".format(*interval)
    sqnr = f"{_number(output.sqnr_db, '.2f')}{ranged}"
    return output.name, _number(output.mean_cosine, ".6f"), sqnr, f"{output.max_abs_difference:.4g}"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)

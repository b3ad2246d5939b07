"""lba-onnx compare: a converted model beside the float32 one, on the same data."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lba_onnx.cli import options
from lba_onnx.cli.figures import difference_text, estimate_text
from lba_onnx.cli.output import print_json, print_rich
from lba_onnx.cli.progress import progress_bar

if TYPE_CHECKING:
    from rich.table import Table

    from lba_onnx.evaluation import Comparison


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
    **settings: Any,
) -> None:
    """Measure a converted model beside the float32 one.

    Agreement, cosine, SQNR and the largest difference need no labels; top-1 and top-5 do. Ranges are 95 % confidence
    intervals; "no difference shown" stands where that of the difference holds 0.
    """
    from lba_onnx.evaluation import compare

    with progress_bar("comparing") as progress:
        result = compare(reference_path, candidate_path, data_path, labels_path, progress=progress, **settings)
    if as_json:
        print_json(result.to_json())
        return
    print_rich(f"{result.samples} samples", _accuracies(result), _agreement(result), _outputs(result))


def _accuracies(result: "Comparison") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table("figure", "reference", "candidate", "difference", "95 % interval of it", "finding")
    reference, candidate = result.reference, result.candidate
    rows = [
        ("top-1 %", reference.top1, candidate.top1, result.top1_difference),
        ("top-5 %", reference.top5, candidate.top5, result.top5_difference),
    ]
    for name, of_reference, of_candidate, difference in rows:
        table.add_row(
            name, estimate_text(of_reference)[0], estimate_text(of_candidate)[0], *difference_text(difference)
        )
    if reference.metric_name is not None:
        values = estimate_text(reference.metric)[0], estimate_text(candidate.metric)[0]
        table.add_row(escape(reference.metric_name), *values, *difference_text(result.metric_difference))
    return table


def _agreement(result: "Comparison") -> str:
    if result.agreement is None:
        return "no output is [samples, classes]: nothing to agree on"
    percent, interval = estimate_text(result.agreement)
    text, pairs = f"same top-1 in both: {percent} % ({interval})", result.top1_difference
    if pairs is None:
        return text
    return (
        f"{text}; only the reference is right on {pairs.only_reference}, only the candidate on {pairs.only_candidate}"
    )


def _outputs(result: "Comparison") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table("output", "mean cosine", "SQNR dB", "largest difference")
    for output in result.outputs:
        figures = (_number(output.mean_cosine, ".6f"), _number(output.sqnr_db, ".2f"))
        table.add_row(escape(output.name), *figures, f"{output.max_abs_difference:.4g}")
    return table


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)

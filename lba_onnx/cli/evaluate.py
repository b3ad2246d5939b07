"""lba-onnx evaluate: accuracy, and likeness to the float32 model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lba_onnx.cli import options
from lba_onnx.cli.output import print_json, print_rich, progress_bar

if TYPE_CHECKING:
    from rich.table import Table

    from lba_onnx.evaluation import Evaluation


@click.command("evaluate")
@options.model_path
@click.option(
    "--data_path",
    type=click.Path(path_type=Path),
    required=True,
    metavar="PATH",
    help='Samples: .npz (an entry "label" or "labels" holds the classes), .npy, a folder of .npz or of '
    "test_data_set_*/input_*.pb.",
)
@click.option(
    "--labels_path", type=click.Path(path_type=Path), metavar="FILE", help="Class numbers as .npy, if not in the data."
)
@click.option(
    "--reference_path", type=click.Path(path_type=Path), metavar="FILE", help="The float32 model to compare with."
)
@options.batching
@options.common
def evaluate_command(
    onnx_path: Path,
    data_path: Path,
    labels_path: Path | None,
    reference_path: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Measure accuracy, and likeness to the float32 model.

    Top-1 and top-5 need labels; agreement, cosine, SQNR and the largest difference need --reference_path.
    """
    from lba_onnx.evaluation import evaluate

    with progress_bar("evaluating") as progress:
        result = evaluate(onnx_path, data_path, labels_path, reference_path, progress=progress, **settings)
    if as_json:
        print_json(result.to_json())
        return
    print_rich(f"{result.samples} samples", _shares(result), *([_outputs(result)] if result.outputs else []))


def _shares(result: "Evaluation") -> "Table":
    from rich.table import Table

    table = Table("figure", "model", "reference")
    table.add_row("top-1 %", _number(result.top1), _number(result.reference_top1))
    table.add_row("top-5 %", _number(result.top5), _number(result.reference_top5))
    table.add_row("same top-1 as the reference %", _number(result.agreement), "-")
    return table


def _outputs(result: "Evaluation") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table("output", "mean cosine", "SQNR dB", "largest difference")
    for output in result.outputs:
        figures = (_number(output.mean_cosine, ".6f"), _number(output.sqnr_db), f"{output.max_abs_difference:.4g}")
        table.add_row(escape(output.name), *figures)
    return table


def _number(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)

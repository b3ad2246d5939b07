"""lba-onnx evaluate: the accuracy of one model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lba_onnx.cli import options
from lba_onnx.cli.figures import estimate_text
from lba_onnx.cli.output import print_json, print_rich
from lba_onnx.cli.progress import progress_bar

if TYPE_CHECKING:
    from rich.table import Table

    from lba_onnx.evaluation import Evaluation


@click.command("evaluate")
@options.model_path
@options.test_data
@options.metric
@options.batching
@options.common
def evaluate_command(
    onnx_path: Path, data_path: Path, labels_path: Path | None, as_json: bool, **settings: Any
) -> None:
    """Measure the accuracy of one model.

    Top-1 and top-5 need labels. Ranges are 95 % confidence intervals. To measure a converted model beside the float32
    one, use `lba-onnx compare`.
    """
    from lba_onnx.evaluation import evaluate

    with progress_bar("evaluating") as progress:
        result = evaluate(onnx_path, data_path, labels_path, progress=progress, **settings)
    if as_json:
        print_json(result.to_json())
        return
    print_rich(f"{result.samples} samples", _table(result))


def _table(result: "Evaluation") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table("figure", "value", "95 % interval")
    table.add_row("top-1 %", *estimate_text(result.top1))
    table.add_row("top-5 %", *estimate_text(result.top5))
    if result.metric_name is not None:
        table.add_row(escape(result.metric_name), *estimate_text(result.metric))
    return table

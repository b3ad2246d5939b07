"""lba-onnx evaluate: the accuracy of one model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lba_onnx.cli import options
from lba_onnx.cli.figures import estimate_text, missing_accuracy
from lba_onnx.cli.model_hashes import model_hashes
from lba_onnx.cli.output import print_json, print_text
from lba_onnx.cli.progress import progress_bar
from lba_onnx.text import TextTable, figures, names

if TYPE_CHECKING:
    from lba_onnx.evaluation import Evaluation


@click.command("evaluate")
@options.model_path
@options.test_data
@options.metric
@options.batching
@options.common
def evaluate_command(onnx_path: Path, data_path: Path, labels_path: Path | None, as_json: bool, **given: Any) -> None:
    """Measure the accuracy of one model.

    Top-1 and top-5 need labels; --metric perplexity needs token ids only. Ranges are 95 % confidence intervals. Without
    top-1, the range of each output is shown.
    To measure a converted model beside the float32 one, use `lba-onnx compare`.
    """
    from lba_onnx.cli.settings import take_execution, take_samples
    from lba_onnx.evaluation import evaluate

    samples = take_samples(given, data_path, labels_path)
    with progress_bar("evaluating") as progress:
        result = evaluate(onnx_path, samples, execution=take_execution(given, progress), **given)
    if as_json:
        print_json({**result.to_json(), **model_hashes(onnx_path)})
        return
    print_text(f"{result.samples} samples", *_accuracies(result), *missing_accuracy(result), *_outputs(result))


def _accuracies(result: "Evaluation") -> list[TextTable]:
    """Return a table of the figures that there are; none without any."""
    found = (("top-1 %", result.top1), ("top-5 %", result.top5), (result.metric_name or "", result.metric))
    rows = [(name, *estimate_text(figure)) for name, figure in found if figure is not None]
    return [TextTable((*names("figure"), *figures("value", "95 % interval")), rows)] if rows else []


def _outputs(result: "Evaluation") -> list[TextTable]:
    """Return, where there is neither accuracy nor perplexity, a table of what the outputs' values are like."""
    from lba_onnx.evaluation import Perplexity

    if result.top1 is not None or isinstance(result.metric, Perplexity):
        return []
    columns = (*names("output"), *figures("values", "mean", "smallest", "largest", "NaN or infinite"))
    rows = (
        (o.name, str(o.values), *map(_number, (o.mean, o.smallest, o.largest)), str(o.not_finite))
        for o in result.outputs
    )
    return [TextTable(columns, rows)]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"

"""lba-onnx cost: what a model's sums of products take in hardware."""

from pathlib import Path
from typing import Any

import click

from lba_onnx.cli import options
from lba_onnx.cli.input_shapes import data_to_count, input_shapes
from lba_onnx.cli.model_hashes import model_hashes
from lba_onnx.cli.output import print_json, print_text
from lba_onnx.cli.unused import OF_FEEDING, refuse_unused

_OF_SPEC = ("nodes_to_exclude", "nodes_to_convert", "op_types_to_convert")
"""Options that say what a spec is for."""


@click.command("cost")
@click.option("-i", "--onnx_path", type=click.Path(path_type=Path), metavar="FILE", help="The ONNX model.")
@click.option(
    "--spec",
    metavar="SPEC|FILE",
    help="Price nodes that are not converted as if they were, to this spec or to those of a calibration.",
)
@click.option(
    "--operand_format",
    metavar="FORMAT",
    help="What is multiplied where the model is not quantized: M<m>E<e>, float32, float16, bfloat16, int8, int4 and so "
    "on, or two such as uint8*int8. [default: that of a named accumulator such as fp16-fma, else M4E3]",
)
@click.option(
    "--cost_table", type=click.Path(path_type=Path), metavar="FILE", help="A table of costs, in place of the built-in."
)
@click.option(
    "-r",
    "--reference_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A model to hold this one against.",
)
@click.option("--split", "is_split", is_flag=True, help="Print of each node what its gates are for, too.")
@click.option(
    "--self_test", is_flag=True, help="Print published figures beside those of the table's model, and nothing else."
)
@input_shapes
@data_to_count
@options.selection
@options.feeding
@options.common
def cost_command(onnx_path: Path | None, is_split: bool, self_test: bool, as_json: bool, **given: Any) -> None:
    """Print gates, energy and storage of a model's sums of products, node by node.

    A converted model has its accumulators in it; others are priced at float32, or with --spec as if converted.
    """
    if self_test:
        others = ("onnx_path", "is_split", *(name for name in given if name != "cost_table"))
        refuse_unused(others, "with --self_test, which looks at no model")
        _print_points(given["cost_table"], as_json)
        return
    if onnx_path is None:
        raise click.UsageError("expected -i FILE, or --self_test")
    from lba_onnx.costing.text import cost_text

    found = _cost(onnx_path, given)
    if as_json:
        print_json({"onnx_path": str(onnx_path), **model_hashes(onnx_path), **found.to_json()})
        return
    print_text(*cost_text(found, is_split))


def _cost(onnx_path: Path, given: dict[str, Any]) -> Any:
    from lba_onnx.cli.settings import take_samples, take_selection
    from lba_onnx.costing import cost

    data_path = given.pop("data_path")
    if data_path is not None and given["input_shapes"]:
        raise click.UsageError("--input_shapes plays no part with --data_path, whose samples have shapes")
    if data_path is None:
        refuse_unused(OF_FEEDING, "without --data_path")
    if given["spec"] is None:
        refuse_unused(_OF_SPEC, "without --spec")
    return cost(
        onnx_path,
        given["spec"],
        operand_format=given["operand_format"],
        selection=take_selection(given),
        input_shapes=given["input_shapes"],
        data=None if data_path is None else take_samples(given, data_path),
        cost_table=given["cost_table"],
        reference=given["reference_path"],
    )


def _print_points(cost_table: Path | None, as_json: bool) -> None:
    from lba_onnx.costing import NOT_COMPARED, load_table, published_points
    from lba_onnx.costing.text import points_table

    points = published_points(load_table(cost_table))
    if as_json:
        print_json({"points": [point.to_json() for point in points], "not_compared": NOT_COMPARED})
        return
    print_text(points_table(points), *(f"not compared: {name}: {reason}" for name, reason in NOT_COMPARED.items()))

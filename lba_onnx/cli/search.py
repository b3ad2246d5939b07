"""lba-onnx search: the best accumulator for each product, under a budget or for a loss that is granted."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lba_onnx.calibration.methods import DEFAULT_METHOD, METHODS
from lba_onnx.cli import options
from lba_onnx.cli.files import check_files
from lba_onnx.cli.output import print_json, print_text
from lba_onnx.cli.progress import progress_bar
from lba_onnx.cli.unused import refuse_unused

if TYPE_CHECKING:
    from lba_onnx.data.execution import Progress
    from lba_onnx.searching import Search


def _fixed(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Read NODE=CHOICE; a choice may hold more of "="."""
    pairs = [text.partition("=") for text in texts]
    wrong = next((text for text, (node, _, choice) in zip(texts, pairs, strict=True) if not (node and choice)), None)
    if wrong is not None:
        raise click.BadParameter(f"expected NODE=CHOICE, got {wrong!r}")
    return {node: choice for node, _, choice in pairs}


_goal = options.combine(
    click.option(
        "--choices",
        callback=options.read_texts,
        required=True,
        metavar="LIST",
        help="What the hardware offers: families such as M4E4,M7E4,chunk=32, accumulators such as M7E4b10, float32.",
    ),
    click.option(
        "--quantity",
        type=click.Choice(["gates", "energy", "bits"]),
        default="gates",
        show_default=True,
        help="What is saved: gates or energy of a product (lba-onnx cost), or bits of a sum.",
    ),
    click.option(
        "--budget",
        "budgets",
        multiple=True,
        metavar="NUMBER|PERCENT%|CHOICE",
        help="What a mean product may cost: a number such as 850, a share of float32 such as 40%, or as much as one of "
        "the choices everywhere. May be repeated.",
    ),
    click.option(
        "--loss",
        "losses",
        multiple=True,
        metavar="NUMBER|CHOICE",
        help="Find the cheapest whose loss is at most this, or that of one of the choices everywhere. May be repeated.",
    ),
    click.option(
        "--points",
        type=click.IntRange(min=1),
        default=5,
        show_default=True,
        help="How many budgets to try where neither --budget nor --loss is given.",
    ),
    click.option(
        "--share", multiple=True, metavar="REGEX", help="All nodes that match share a choice. May be repeated."
    ),
    click.option(
        "--fix",
        multiple=True,
        callback=_fixed,
        metavar="NODE|REGEX=CHOICE",
        help="These nodes have this choice, which need not be among --choices. May be repeated.",
    ),
)

_how = options.combine(
    click.option(
        "--method",
        type=click.Choice(list(METHODS)),
        default=DEFAULT_METHOD,
        show_default=True,
        help="How biases of families are chosen, as by `lba-onnx calibrate`.",
    ),
    click.option(
        "--effort",
        type=click.Choice(["none", "quick", "default", "thorough"]),
        default="default",
        show_default=True,
        help="How much the correction of each model tries.",
    ),
    click.option(
        "--solver", type=click.Choice(["dynamic", "highs"]), help="By default highs, where scipy is installed."
    ),
    click.option(
        "--sensitivity_samples",
        type=click.IntRange(min=1),
        default=64,
        show_default=True,
        help="Samples that sensitivities and corrections see.",
    ),
    click.option("--operand_format", metavar="FORMAT", help="As of `lba-onnx cost`."),
    click.option("--cost_table", type=click.Path(path_type=Path), metavar="FILE", help="As of `lba-onnx cost`."),
)


@click.command("search")
@options.model_path
@click.option(
    "-o", "--output_path", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The JSON to write."
)
@click.option(
    "--data_path",
    type=click.Path(path_type=Path),
    required=True,
    metavar="PATH",
    help="Samples: .npz, .npy, a folder of .npz or of test_data_set_*/input_*.pb. One in four is kept apart to check.",
)
@_goal
@click.option(
    "--write", type=click.IntRange(min=0), default=0, metavar="NUMBER", help="Write models of so many points."
)
@click.option(
    "--model_output_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to: a number goes before the ending. [default: beside the JSON, with its name]",
)
@_how
@options.bias_start
@options.metric
@options.selection
@options.batching
@options.common
def search_command(onnx_path: Path, output_path: Path, data_path: Path, as_json: bool, **given: Any) -> None:
    """Find the best accumulator for each node, under a budget or for a loss that is granted.

    The result is a JSON file with points from the cheapest on, each measured beside float32 and beside the best
    accumulator for all. An interrupted search goes on when it is started again.
    """
    if given["budgets"] or given["losses"]:
        refuse_unused(("points",), "with --budget or --loss, each of which is a point")
    if not given["write"]:
        refuse_unused(("model_output_path",), "without --write")
    if given["quantity"] == "bits":
        refuse_unused(("cost_table",), "with --quantity bits, which no table prices")
    model_output = given.pop("model_output_path") or output_path.with_suffix(".onnx")
    progress_path = Path(f"{output_path}.progress")
    outputs = {"search": output_path, "progress file": progress_path}
    if given["write"]:
        outputs["searched model"] = model_output
    check_files(
        outputs,
        models={"model": onnx_path},
        data={"data": data_path, "cost table": given["cost_table"]},
        functions={name: given[name] for name in ("metric", "preprocess")},
    )
    given |= {"resume_path": progress_path, "model_output": model_output if given["write"] else None}
    with progress_bar("searching") as progress:
        result = _search(onnx_path, data_path, given, progress)
    result.save(output_path)
    if as_json:
        print_json({"output_path": str(output_path), **result.to_json()})
        return
    from lba_onnx.searching.text import search_text

    print_text(*search_text(result), f"wrote {output_path}")


def _search(onnx_path: Path, data_path: Path, given: dict[str, Any], progress: "Progress") -> "Search":
    from lba_onnx.cli.settings import take_execution, take_samples, take_selection
    from lba_onnx.searching import search

    samples, selection = take_samples(given, data_path), take_selection(given)
    effort = None if given["effort"] == "none" else given["effort"]
    execution = take_execution(given, progress)
    return search(onnx_path, samples, **{**given, "effort": effort}, selection=selection, execution=execution)

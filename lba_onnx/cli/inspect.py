"""lba-onnx inspect: what a model multiplies and accumulates, and what it has been converted to."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lba_onnx.cli import options
from lba_onnx.cli.input_shapes import data_to_count, input_shapes
from lba_onnx.cli.output import print_json, print_text
from lba_onnx.cli.unused import OF_FEEDING, refuse_unused

if TYPE_CHECKING:
    from lba_onnx.rewrite import ConversionReport
    from lba_onnx.theory import NodeExpectation

_ADVICE = "MACs are not known: --input_shapes or --data_path gives the sizes that the model leaves open"


@click.command("inspect")
@options.model_path
@click.option(
    "--spec",
    metavar="SPEC|FILE",
    help="Tell how much rounding is expected to take from each node, converted to this spec or to those of a "
    "calibration; no data needed.",
)
@input_shapes
@data_to_count
@options.feeding
@options.accumulate
@options.common
def inspect_command(onnx_path: Path, spec: str | None, as_json: bool, **given: Any) -> None:
    """List the nodes that multiply and accumulate.

    Nothing is converted; a model that was shows its formats and how it was made. MACs are the products multiplied and
    added in one run. A batch size that the model leaves open counts as 1.
    """
    from lba_onnx.rewrite import load_model
    from lba_onnx.rewrite.provenance import own_metadata

    expected = None if spec is None else _expected(onnx_path, spec, dict(given))
    ledger = _ledger(onnx_path, given)
    metadata = own_metadata(load_model(onnx_path))
    if as_json:
        told = {} if expected is None else {"expected": [node.to_json() for node in expected]}
        print_json({"onnx_path": str(onnx_path), "metadata": metadata, "ledger": ledger.to_json(), **told})
        return
    if expected is not None:
        from lba_onnx.theory import expectation_table

        print_text(ledger.table(_title(ledger)), expectation_table(expected))
        return
    advice = [] if ledger.macs.total or not len(ledger) else [_ADVICE]
    print_text(ledger.table(_title(ledger)), *advice, *(f"{key}: {value}" for key, value in metadata.items()))


def _expected(onnx_path: Path, spec: str, given: dict[str, Any]) -> "tuple[NodeExpectation, ...]":
    from lba_onnx.cli.settings import take_samples
    from lba_onnx.costing import cost
    from lba_onnx.rewrite import Selection
    from lba_onnx.theory import expected_nodes

    data_path, selection = given.pop("data_path"), Selection(accumulate=given.pop("accumulate"))
    data = None if data_path is None else take_samples(given, data_path)
    found = cost(onnx_path, spec, selection=selection, input_shapes=given["input_shapes"], data=data)
    return expected_nodes(found.nodes)


def _ledger(onnx_path: Path, given: dict[str, Any]) -> "ConversionReport":
    from lba_onnx.cli.settings import take_samples
    from lba_onnx.observation.executed_macs import count_macs
    from lba_onnx.rewrite import Selection, list_candidates

    data_path, input_shapes = given.pop("data_path"), given.pop("input_shapes")
    selection = Selection(accumulate=given.pop("accumulate"))
    if data_path is None:
        refuse_unused(OF_FEEDING, "without --data_path")
        return list_candidates(onnx_path, input_shapes, selection)
    if input_shapes:
        raise click.UsageError("--input_shapes plays no part with --data_path, whose samples have shapes")
    macs = count_macs(onnx_path, take_samples(given, data_path), selection=selection)
    return list_candidates(onnx_path, selection=selection).with_macs(macs)


def _title(ledger: "ConversionReport") -> str:
    convertible = _with_share(len(ledger.convertible), "can be converted", str(ledger.convertible_macs))
    converted = _with_share(len(ledger.specs), "are converted", str(ledger.macs))
    return f"{len(ledger)} nodes multiply and accumulate: {convertible}, {converted}"


def _with_share(count: int, what: str, share: str) -> str:
    return f"{count} {what}" + (f" ({share})" if count and share else "")

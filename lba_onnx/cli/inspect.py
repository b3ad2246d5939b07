"""lba-onnx inspect: what a model multiplies and accumulates, and what it has been converted to."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lba_onnx.cli import options
from lba_onnx.cli.output import print_json, print_rich

if TYPE_CHECKING:
    from rich.table import Table

    from lba_onnx.rewrite import ConversionReport


@click.command("inspect")
@options.model_path
@options.common
def inspect_command(onnx_path: Path, as_json: bool) -> None:
    """List the nodes that multiply and accumulate.

    Nothing is converted; a model that was shows its formats and how it was made.
    """
    from lba_onnx.rewrite import list_candidates, load_model
    from lba_onnx.rewrite.provenance import own_metadata

    model = load_model(onnx_path)
    ledger = list_candidates(onnx_path)
    metadata = own_metadata(model)
    if as_json:
        print_json({"onnx_path": str(onnx_path), "metadata": metadata, "ledger": ledger.to_json()})
        return
    print_rich(_table(ledger), *(f"{key}: {value}" for key, value in metadata.items()))


def _table(ledger: "ConversionReport") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    convertible = sum(entry.spec is None and not entry.reason for entry in ledger)
    converted = len(ledger.specs)
    title = f"{len(ledger)} nodes multiply and accumulate: {convertible} can be converted, {converted} are converted"
    table = Table("node", "operator", "location", "weights", "type", "state", title=title)
    for entry in ledger:
        state = str(entry.spec) if entry.spec else entry.reason or "can be converted"
        cells = (entry.node, entry.op_type, entry.location, entry.weights, entry.element_type, state)
        table.add_row(*map(escape, cells))
    return table

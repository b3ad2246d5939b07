"""lba-onnx inspect: what a model multiplies and accumulates, and what it has been converted to."""

from pathlib import Path

import click

from lba_onnx.cli import options
from lba_onnx.cli.output import print_json, print_text


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
    convertible, converted = len(ledger.convertible), len(ledger.specs)
    title = f"{len(ledger)} nodes multiply and accumulate: {convertible} can be converted, {converted} are converted"
    print_text(ledger.table(title), *(f"{key}: {value}" for key, value in metadata.items()))

"""lba-onnx kinds: which accumulators there are. lba-onnx explain: what one is, in words and numbers."""

import click

from lba_onnx.cli import options
from lba_onnx.cli.output import print_json, print_text
from lba_onnx.text import TextTable, figures, remarks


@click.command("kinds")
@options.common
def kinds_command(as_json: bool) -> None:
    """List the kinds of accumulators, with an example each."""
    from lba_onnx.arithmetic.registry import kinds

    rows = [(kind.kind, kind.example, kind.summary) for kind in kinds()]
    if as_json:
        print_json({"kinds": [dict(zip(("kind", "example", "summary"), row, strict=True)) for row in rows]})
        return
    print_text(TextTable((*figures("kind", "example"), *remarks("what it is")), rows))


@click.command("explain")
@click.argument("spec_text", metavar="SPEC")
@options.common
def explain_command(spec_text: str, as_json: bool) -> None:
    """Say what an accumulator is: widths, largest and smallest values, steps, and where adding 1 stops counting.

    SPEC is a text such as M7E4b12/M7E4b10,chunk=32,round=nearest.
    """
    from lba_onnx.arithmetic import as_spec
    from lba_onnx.arithmetic.explanation import explain

    spec = as_spec(spec_text)
    if as_json:
        print_json({**spec.to_json(), "kind": spec.kind, "explained": dict(explain(spec))})
        return
    rows = (("spec", str(spec)), ("kind", f"{spec.kind}: {spec.summary}"), *explain(spec))
    print_text(TextTable((*figures("of"), *remarks("what it is")), rows))

"""lba-onnx kinds: which accumulators there are. lba-onnx explain: what one is, in words and numbers."""

import click

from lba_onnx.cli import options
from lba_onnx.cli.output import print_json, print_text
from lba_onnx.text import TextTable, figures, remarks


@click.command("kinds")
@options.common
def kinds_command(as_json: bool) -> None:
    """List the kinds of accumulators, with examples, and which path of the library computes each here.

    "avx512" and "avx2" are in float32; "portable" is in double, with the vectors that the processor has; "exact" is
    the definition, one value at a time, and slow.
    """
    from lba_onnx.arithmetic.registry import kinds

    known = kinds()
    texts = [(kind.kind, text) for kind in known for text in (kind.example, *kind.further_examples)]
    rows = [(kind, text, _path(text)) for kind, text in texts]
    if as_json:
        told = [{"kind": kind.kind, "example": kind.example, "summary": kind.summary} for kind in known]
        paths = [dict(zip(("kind", "spec", "path"), row, strict=True)) for row in rows]
        print_json({"kinds": told, "examples": paths})
        return
    print_text(TextTable((*figures("kind"), *remarks("what it is")), [(kind.kind, kind.summary) for kind in known]))
    print_text(TextTable(figures("kind", "example", "path"), rows))


def _path(text: str) -> str:
    """Return the path that computes a small product, as the library counts it."""
    import numpy as np

    from lba_onnx import native
    from lba_onnx.arithmetic import as_spec
    from lba_onnx.kernels import matmul

    a_type, b_type = ("uint8", "int8") if as_spec(text).sums_codes else ("float32", "float32")
    before = native.path_counts()
    matmul(np.ones((32, 32), a_type), np.ones((32, 32), b_type), text)
    return next(name for name, count in native.path_counts().items() if count > before[name])


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

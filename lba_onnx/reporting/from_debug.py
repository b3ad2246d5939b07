"""Layers: what is expected of each from its accumulator and depth, and what `debug --json` has measured."""

from collections.abc import Iterable, Mapping
from typing import Any

from lba_onnx.arithmetic import as_spec
from lba_onnx.reporting.sections import Layer, Layers
from lba_onnx.theory import expected_error

_LEAST_SHARE = 0.1  # of an error, to be called its cause


def layers_section(
    products: Iterable[tuple[str, str, int | None]],
    diagnosis: Mapping[str, Any] | None,
    nonzero: Mapping[str, float],
) -> Layers:
    """Return the converted products with what is known of them.

    Args:
        products: Key, accumulator and depth of each, in the model's order.
        diagnosis: What `debug --json` prints; None without.
        nonzero: Keys to the share of products that is not zero, where that was counted.
    """
    rows = {node: _expected(node, spec, depth, nonzero.get(node)) for node, spec, depth in products}
    if diagnosis is None:
        return Layers(tuple(rows.values()), None, ())
    measured = [_measured(rows, layer) for layer in diagnosis["layers"]]
    rest = [row for node, row in rows.items() if node not in {layer.node for layer in measured}]
    sentences = tuple(str(sentence) for sentence in diagnosis["sentences"])
    return Layers((*measured, *rest), int(diagnosis["samples"]), sentences)


def _expected(node: str, spec: str, depth: int | None, nonzero: float | None) -> Layer:
    share = 1.0 if nonzero is None else nonzero
    found = None if depth is None else expected_error(as_spec(spec), depth, share)
    if found is None:
        return Layer(node, spec, depth, nonzero)
    return Layer(node, spec, depth, nonzero, found.shrink, found.sqnr_db)


def _measured(rows: Mapping[str, Layer], value: Mapping[str, Any]) -> Layer:
    node, spec = str(value["node"]), str(value["spec"]["accumulator"])
    known = rows.get(node) or Layer(node, spec, None)
    own = {name: getattr(known, name) for name in ("depth", "nonzero", "expected_shrink", "expected_sqnr_db")}
    return Layer(
        node,
        spec,
        **own,
        own_sqnr_db=value["exact_input_err"],
        output_sqnr_db=value["output_sqnr_alone"],
        cause=_cause(spec, value["main_cause"], value["shares"]),
        events=value["events"],
    )


def _cause(spec: str, main: str | None, shares: Mapping[str, float | None]) -> str:
    """Return what makes most of the error; "" where nothing stands out."""
    cause = next((cause for cause in as_spec(spec).causes if cause.name == main), None)
    share = None if cause is None else shares[cause.name]
    if cause is None or share is None or share < _LEAST_SHARE:
        return ""
    return f"{cause.words}, {100 * min(share, 1.0):.0f} % of the error"

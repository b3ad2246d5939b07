"""Sentences on a layer, derived from its figures alone.

1. No error: it says so.
2. No cause makes a tenth of the error: several together.
3. Overflow or underflow makes the largest share: the bias that moves the range there, or more exponent bits; of the
   product, of the accumulator, or of both where neither makes half of what both make.
4. Truncation in the accumulator does, and another chunk size takes away a quarter of the error: the chunk size.
5. Truncation does otherwise: more mantissa bits.
"""

import math

from lba_onnx.diagnosis.causes import CHUNK_SIZE
from lba_onnx.diagnosis.layer_diagnosis import LayerDiagnosis

_RANGES = {
    "overflow": "a range of {place} that reaches further up would help: a smaller bias, or more exponent bits",
    "underflow": "a range of {place} that reaches further down would help: a larger bias, or more exponent bits",
}
_NAMES = {
    "overflow": "overflow of products and sums together",
    "underflow": "underflow of products and sums together",
    "truncation": "truncation of products and sums together",
    "product_overflow": "overflow of products",
    "product_underflow": "underflow of products",
    "product_truncation": "truncation of products",
    "accumulator_overflow": "overflow of the accumulator",
    "accumulator_underflow": "underflow of the accumulator",
    "accumulator_truncation": "truncation in the accumulator",
}


def sentence(layer: LayerDiagnosis) -> str:
    """Return one sentence: how large the layer's error is, what makes most of it, and what would help."""
    if layer.exact_input_err is None:
        return f"{layer.node}: did not run on these samples."
    if math.isnan(layer.exact_input_err):
        return f"{layer.node}: its outputs hold NaN, so that no error can be told."
    if layer.exact_input_err == math.inf:
        return f"{layer.node}: makes no error of its own."
    size = f"{layer.node} ({layer.exact_input_err:.1f} dB by itself{_alone(layer)})"
    cause = layer.main_cause
    if cause is None:
        return f"{size}: no single cause makes a tenth of its error, several do together; see the shares."
    share = layer.shares[cause] or 0.0
    return f"{size}: {_NAMES[cause]}{_rate(layer, cause)} makes {100 * share:.0f} % of its error; {advice(layer)}."


def advice(layer: LayerDiagnosis) -> str:
    """Return what would help a layer that has a main cause."""
    place, _, kind = (layer.main_cause or "").rpartition("_")
    if kind != "truncation":
        return _RANGES[kind].format(place=f"the {place}" if place else "product and accumulator")
    of_chunk = layer.shares[CHUNK_SIZE] or 0.0
    if place != "product" and of_chunk >= 0.25:
        present = layer.spec.chunk_size or "the whole depth"
        return (
            f"chunks of {layer.balanced_chunk_size} in place of {present} would take away {100 * of_chunk:.0f} % of it"
        )
    return f"more mantissa bits of {f'the {place}' if place else 'product and accumulator'} would help"


def _alone(layer: LayerDiagnosis) -> str:
    return "" if layer.output_sqnr_alone is None else f", {layer.output_sqnr_alone:.1f} at the model's output"


def _rate(layer: LayerDiagnosis, cause: str) -> str:
    if layer.events is None:
        return ""
    place, _, kind = cause.rpartition("_")
    if kind == "truncation":
        return "" if place == "product" else f" ({_percent(layer.events.swamping)} of additions are swamped)"
    rates = {"products": f"product_{kind}", "sums": f"accumulator_{kind}"}
    told = [f"{_percent(getattr(layer.events, name))} of {what}" for what, name in rates.items() if place in name]
    return f" ({', '.join(told)})"


def _percent(rate: float) -> str:
    return f"{100 * rate:.2g} %"

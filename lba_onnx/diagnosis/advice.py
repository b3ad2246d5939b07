"""Sentences on a layer, derived from its figures alone.

1. No error: it says so.
   Of integers, unless dropped bits make the error: the bits that sums need and have, and of the kernels of processors,
   whether others give other results.
2. Sums leave a range that no bias can move: the power of two that would bring them back.
3. No cause makes a tenth of the error: several together.
4. Another order of additions takes away a quarter of what is lost in sums by dropped bits: that order.
5. Otherwise what the accumulator says of the main cause: for floats, the bias that moves the range, or more bits.
"""

import math

from lba_onnx.arithmetic import as_spec
from lba_onnx.arithmetic.accumulator import Cause
from lba_onnx.diagnosis.layer_diagnosis import LayerDiagnosis
from lba_onnx.diagnosis.register_advice import OVERFLOW_EVENTS, on_registers

_RANGE_KINDS = ("overflow", "underflow")
_MANY_SUBNORMALS = 0.01  # share of sums


def sentence(layer: LayerDiagnosis) -> str:
    """Return one sentence: how large the layer's error is, what makes most of it, and what would help."""
    if layer.exact_input_err is None:
        return f"{layer.node}: did not run on these samples."
    if math.isnan(layer.exact_input_err):
        return f"{layer.node}: its outputs hold NaN, so that no error can be told{_or_else(rescaling(layer))}."
    if layer.exact_input_err == math.inf:
        return f"{layer.node}: makes no error of its own{_or_else(on_registers(layer))}."
    size = f"{layer.node} ({layer.exact_input_err:.1f} dB by itself{_alone(layer)})"
    scale = rescaling(layer)
    if scale:
        return f"{size}: {scale}."
    cause = layer.cause
    if layer.bits and (cause is None or cause.kind in OVERFLOW_EVENTS):
        return f"{size}: {on_registers(layer)}."
    if cause is None:
        return f"{size}: no single cause makes a tenth of its error, several do together; see the shares."
    share = layer.shares[cause.name] or 0.0
    return f"{size}: {cause.words}{_rate(layer, cause)} makes {100 * share:.0f} % of its error; {advice(layer, cause)}."


def rescaling(layer: LayerDiagnosis) -> str:
    """Return which power of two would cure sums that overflow, or that become subnormal; "" where none would.

    Only for formats whose exponent bias is given: where calibration chooses it, a bias does the same for nothing.
    """
    spec, shares = layer.spec, {} if layer.events is None else layer.events.shares
    if spec.family_text is not None or not layer.largest_sum:
        return ""
    room = spec.ranges[-1].max_value / layer.largest_sum  # of sums, which is the last place
    overflow, subnormal = (shares.get(f"accumulator_{event}") or 0.0 for event in ("overflow", "subnormal"))
    if overflow and room < 1:
        scale = 2 ** math.ceil(-math.log2(room))
        held = spec.ranges[-1]
        reach = f"sums reach {layer.largest_sum:.3g}, and {held.text} holds up to {held.max_value:g}"
        cure = f"divide the activations of node {layer.node} by {scale}, and multiply its output by it"
        return f"{_percent(overflow)} of sums overflow: {reach}; {cure}"
    if subnormal >= _MANY_SUBNORMALS and room >= 4:
        scale = 2 ** math.floor(math.log2(room) - 1)  # a bit to spare
        cure = f"multiply the activations of node {layer.node} by {scale}, and divide its output by it"
        return f"{_percent(subnormal)} of sums are subnormal and have fewer bits; {cure}"
    return ""


def _or_else(cure: str) -> str:
    return f": {cure}" if cure else ""


def advice(layer: LayerDiagnosis, cause: Cause) -> str:
    """Return what would help a layer that has this main cause."""
    of_order = layer.share_of_order
    if cause.kind not in _RANGE_KINDS and cause.place != "product" and of_order >= 0.25:
        return f"{_other_order(layer)} would take away {100 * of_order:.0f} % of it"
    return cause.remedy


def _other_order(layer: LayerDiagnosis) -> str:
    """Return the options that another order of additions takes, and those that they replace."""
    wanted, present = as_spec(layer.reordered or layer.spec).options, layer.spec.options
    changes = [(f"{key}={value}", f"{key}={present[key]}") for key, value in wanted.items() if present[key] != value]
    return " and ".join(f"{new} in place of {old}" for new, old in changes)


def _alone(layer: LayerDiagnosis) -> str:
    return "" if layer.output_sqnr_alone is None else f", {layer.output_sqnr_alone:.1f} at the model's output"


def _rate(layer: LayerDiagnosis, cause: Cause) -> str:
    if cause.kind in _RANGE_KINDS:
        places = {"product": "of products", "accumulator": "of sums"}
        names = {f"{place}_{cause.kind}": what for place, what in places.items() if cause.place in place}
    else:
        names = {} if cause.place == "product" else {"swamping": "of additions are swamped"}
    shares = {} if layer.events is None else layer.events.shares
    told = [f"{_percent(share)} {what}" for name, what in names.items() if (share := shares.get(name)) is not None]
    return f" ({', '.join(told)})" if told else ""


def _percent(rate: float) -> str:
    return f"{100 * rate:.2g} %"

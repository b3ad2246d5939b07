"""Sentences on a layer, derived from its figures alone.

1. No error: it says so.
   Of integers, unless dropped bits make the error: the bits that sums need and have, and of the kernels of processors,
   whether others give other results.
2. Sums or products leave a range that no bias can move: the power of two that would bring them back.
3. No cause makes a tenth of the error: several together.
4. Another order of additions takes away a quarter of what is lost in sums by dropped bits: that order.
5. Otherwise what the accumulator says of the main cause: for floats, the bias that moves the range, or more bits.
"""

import math
from dataclasses import dataclass

from lba_onnx.arithmetic import as_spec
from lba_onnx.arithmetic.accumulator import Cause
from lba_onnx.arithmetic.held_range import HeldRange
from lba_onnx.diagnosis.layer_diagnosis import LayerDiagnosis
from lba_onnx.diagnosis.register_advice import OVERFLOW_EVENTS, on_registers

_RANGE_KINDS = ("overflow", "underflow")
_MANY_SUBNORMALS = 0.01  # share of sums, or of products


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
    """Return which power of two would cure what overflows, or becomes subnormal; "" where none would.

    Only for formats whose exponent bias is given: where it is free, another one does the same for nothing.
    """
    if not (layer.spec.has_given_biases and layer.largest_sum and layer.largest_product):
        return ""
    places = (
        _Place("accumulator", "sums", layer.largest_sum, layer.spec.ranges[-1]),
        _Place("product", "products", layer.largest_product, layer.spec.ranges[0]),
    )
    room = min(place.room for place in places)
    overflowing = [place for place in places if place.room < 1 and place.share(layer, "overflow")]
    if overflowing:
        scale = 2 ** math.ceil(-math.log2(room))
        cure = f"divide the activations of node {layer.node} by {scale}, and multiply its output by it"
        return f"{'; '.join(_overflow(place, layer) for place in overflowing)}; {cure}"
    subnormal = [place for place in places if _lacks_bits(place, layer)]
    if subnormal and room >= 4:
        scale = 2 ** math.floor(math.log2(room) - 1)  # a bit to spare
        cure = f"multiply the activations of node {layer.node} by {scale}, and divide its output by it"
        told = " and ".join(f"{_percent(place.share(layer, 'subnormal'))} of {place.words}" for place in subnormal)
        return f"{told} are subnormal and have fewer bits; {cure}"
    return ""


@dataclass(frozen=True)
class _Place:
    """Products or sums: what they reach, and what their format holds."""

    name: str
    words: str
    largest: float
    held: HeldRange

    @property
    def room(self) -> float:
        """How often the largest value fits below the largest of the format."""
        return self.held.max_value / self.largest

    def share(self, layer: LayerDiagnosis, event: str) -> float:
        """Return the share of the values to which something happens."""
        shares = {} if layer.events is None else layer.events.shares
        return shares.get(f"{self.name}_{event}") or 0.0


def _overflow(place: _Place, layer: LayerDiagnosis) -> str:
    reach = f"{place.words} reach {place.largest:.3g}, and {place.held.text} holds up to {place.held.max_value:g}"
    return f"{_percent(place.share(layer, 'overflow'))} of {place.words} overflow: {reach}"


def _lacks_bits(place: _Place, layer: LayerDiagnosis) -> bool:
    """Tell whether many are subnormal; of products, which sums may dwarf, whether that makes the error, too."""
    matters = place.name == "accumulator" or (layer.cause is not None and layer.cause.place == place.name)
    return place.share(layer, "subnormal") >= _MANY_SUBNORMALS and matters


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
    return f"{100 * rate:.2g} %" if rate < 0.995 else f"{100 * rate:.0f} %"

"""What the sums of integers need, and of the kernels of processors, whether others give other results, in words."""

import math

from lba_onnx.diagnosis.layer_diagnosis import LayerDiagnosis
from lba_onnx.diagnosis.needed_bits import NeededBits

OVERFLOW_EVENTS = {"wrap": "wrap", "saturation": "saturate"}
"""What happens to sums that a register does not hold, and what the sums then do."""


def on_registers(layer: LayerDiagnosis) -> str:
    """Return what the registers of a layer's sums have and need, and what would lose nothing; "" for floats."""
    if not layer.bits:
        return ""
    if layer.spec.processors is not None:
        return _on_processors(layer, layer.spec.processors)
    told = [_needs(layer, needed) for needed in layer.bits]
    wider = layer.spec.with_widths([max(needed.most, needed.width.bits) for needed in layer.bits])
    if wider is not None and wider != layer.spec:
        told.append(f"{wider} would lose nothing by overflow on these samples")
    return "; ".join(told)


def _needs(layer: LayerDiagnosis, needed: NeededBits) -> str:
    width = needed.width
    what = "sums" if len(layer.bits) == 1 else f"{width.level.replace('_', ' ')}s"
    share = needed.share_beyond if width.is_of_results else _share(layer, needed)
    verb = OVERFLOW_EVENTS[width.event]
    overflow = f": {_percent(share)} {verb}" if share else ""
    return f"{what} need {needed.most} bits, have {width.bits}{overflow}{_uncounted(layer, verb)}"


def _on_processors(layer: LayerDiagnosis, processors: tuple[str, str]) -> str:
    """Return whether processors differ: what the data show, else what the weights prove."""
    names, pairs = " and ".join(processors), layer.bits[0]
    verb, share = OVERFLOW_EVENTS[pairs.width.event], _share(layer, pairs)
    if share or _loses(layer):
        cure, rate = layer.spec.causes[0].remedy, _percent(share) if share else "a few"
        return f"{rate} of the sums of pairs {verb}, and machines with {names} differ: {cure}"
    if layer.can_overflow is False:
        return f"its weights let no pair overflow: machines with {names} agree"
    reason = "its weights are not constant" if layer.can_overflow is None else "its weights let some overflow"
    return f"no pair overflows on these samples, where machines with {names} agree, but {reason}"


def _loses(layer: LayerDiagnosis) -> bool:
    return layer.exact_input_err is not None and layer.exact_input_err < math.inf


def _uncounted(layer: LayerDiagnosis, verb: str) -> str:
    """Say that sums overflow of which none was counted: events are counted on a part of the samples, errors on all."""
    is_counted = any(needed.share_beyond or _share(layer, needed) for needed in layer.bits)
    return "" if is_counted or not _loses(layer) else f" on the samples counted, but a few {verb} on others"


def _share(layer: LayerDiagnosis, needed: NeededBits) -> float:
    shares = {} if layer.events is None else layer.events.shares
    return shares.get(f"{needed.width.level}_{needed.width.event}") or 0.0


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"

"""From the exponents chosen to the calibration: rates, notes and warnings of every node."""

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lba_onnx.arithmetic import Accumulator
from lba_onnx.calibration.advice import warning_of
from lba_onnx.calibration.calibration_result import Calibration, NodeCalibration
from lba_onnx.calibration.methods import Chosen
from lba_onnx.calibration.outlier_warnings import outlier_warning
from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.calibration.rates import rates_of
from lba_onnx.calibration.request import Request
from lba_onnx.calibration.seen import DataSeen
from lba_onnx.calibration.settings import Settings
from lba_onnx.packages import package_version

if TYPE_CHECKING:
    from lba_onnx.native import Statistics

_LOG = logging.getLogger(__name__)

NOT_RUN = "did not run on these data: default spec"
ONLY_ZEROS = "met only zeros: default spec"


def assemble(
    request: Request,
    settings: Settings,
    seen: DataSeen,
    chosen: Chosen,
    events: "dict[str, Statistics | None]",
    packages: Sequence[str],
) -> Calibration:
    """Return the calibration.

    Args:
        request: What was asked for.
        settings: The same, whatever the method, with the depths that the data have shown.
        seen: What the data pass left.
        chosen: The exponents chosen for each node.
        events: Each node's statistics of a run with these accumulators; None where it did not run.
        packages: Names of the packages whose versions matter.
    """
    specs = settings.specs(chosen.exponents)
    nodes = {name: _node(spec, seen.ranges[name], events[name], settings) for name, spec in specs.items()}
    texts = (outlier_warning(outlier, seen.ranges, specs, settings) for outlier in seen.outliers)
    return Calibration(
        nodes=nodes,
        data_warnings=tuple(text for text in texts if text),
        samples=seen.samples,
        data_sha256=seen.data_sha256,
        versions={name: package_version(name) for name in packages},
        verdict=chosen.verdict,
        numbers=request.method.to_json(),
        **request.described(),
    )


def _node(
    spec: Accumulator, seen: NodeRange | None, events: "Statistics | None", settings: Settings
) -> NodeCalibration:
    if seen is None or seen.max_abs_product == 0:
        note = NOT_RUN if seen is None else ONLY_ZEROS
        return NodeCalibration(spec, seen, None, note if settings.granularity == "layer" else note.partition(":")[0])
    rates = rates_of(seen, spec, events)
    warning = warning_of(seen, rates, settings.family)
    return NodeCalibration(spec, seen, rates, _range_note(spec, seen), warning)


def _range_note(spec: Accumulator, seen: NodeRange) -> str:
    found = (("products", seen.max_abs_product), ("sums", seen.max_abs_sum))
    if spec.widths:
        return _width_note(spec, seen)
    pairs = ((what, largest, held.max_value) for (what, largest), held in zip(found, spec.ranges, strict=True))
    beyond = ((what, largest, limit) for what, largest, limit in pairs if largest >= limit)
    return "; ".join(f"{what} up to {largest:.3g} saturate at {limit:.3g}" for what, largest, limit in beyond)


def _width_note(spec: Accumulator, seen: NodeRange) -> str:
    bits = math.frexp(seen.max_abs_sum)[1] + 1  # of a magnitude, and its sign
    return f"sums up to {seen.max_abs_sum:.3g} take {bits} bits" if bits > spec.widths[-1].bits else ""


def report(result: Calibration) -> None:
    """Log how it went. What events there are is no warning: what they cost, only the model's output shows."""
    _LOG.info("calibrated %d nodes on %d samples", len(result.nodes), result.samples)
    if result.verdict is not None:
        _LOG.info("%s", result.verdict)
    for text in result.data_warnings:
        _LOG.warning("%s", text)
    for name, node in result.nodes.items():
        if node.note and node.rates is None:
            _LOG.warning("node %s: %s", name, node.note)
        elif node.warning:
            _LOG.info("node %s: %s", name, node.warning)

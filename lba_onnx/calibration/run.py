"""One pass of the data through the model, and the accumulators that it asks for.

The data run once through a copy of the model whose accumulators have 23 significant bits and a range beyond any need
(M22E7b63); the memory this takes does not depend on how many samples there are. Then, by the method "max", each node
gets the smallest ranges that none of its products (product format), prefix sums and running totals (accumulator
format) exceeds, of all outputs. A node that did not run, or met only zeros, gets an accumulator whose largest exponent
is 5, and a note saying so. Infinite values do not count.
"""

import importlib.metadata
import logging
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lba_onnx.accumulator import DEFAULT_CHUNK_SIZE, AccumulatorSpec
from lba_onnx.calibration.ranges import NodeRange, default_spec, smallest_spec
from lba_onnx.calibration.result import Calibration, NodeCalibration
from lba_onnx.data.batches import DEFAULT_BATCH_SIZE, Batch, Preprocess, read_batches
from lba_onnx.data.blocks import sample_count
from lba_onnx.data.execution import Progress, run_batch
from lba_onnx.data.hashing import DataHash
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.errors import DataError
from lba_onnx.families import FormatFamily
from lba_onnx.observation.collection import CollectingSession, collecting_session

if TYPE_CHECKING:
    import onnx

_LOG = logging.getLogger(__name__)

METHODS = ("max",)

NOT_RUN = "did not run on these data: default spec"
ONLY_ZEROS = "met only zeros: default spec"


def calibrate(
    model: "str | PathLike[str] | bytes | onnx.ModelProto",
    data: Any,
    family: str = "M7E4",
    method: str = "max",
    *,
    chunk_size: int | None = DEFAULT_CHUNK_SIZE,
    underflow: bool = True,
    nodes_to_exclude: Sequence[str] = (),
    nodes_to_convert: Sequence[str] = (),
    op_types_to_convert: Sequence[str] = ("MatMul", "Gemm", "Conv"),
    batch_size: int = DEFAULT_BATCH_SIZE,
    max_samples: int | None = None,
    preprocess: Preprocess | None = None,
    progress: Progress | None = None,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> Calibration:
    """Choose the exponent biases of every node from the ranges of its products and sums on sample data.

    Args:
        model: Path, bytes or ModelProto of a float model.
        data: Samples: a path, a reader, an array, a mapping or an iterable, as `data.blocks.open_blocks` takes.
        family: Formats to choose the biases of, such as "M7E4".
        method: "max".
        chunk_size: Products per chunk; None for the whole depth.
        underflow: Whether the specs let small values underflow.
        nodes_to_exclude: Names and regular expressions of nodes to leave out.
        nodes_to_convert: Names and regular expressions of the only nodes to calibrate; all when empty.
        op_types_to_convert: Operator types to calibrate.
        batch_size: Samples per run where the model leaves it open.
        max_samples: Where to stop; None for the end of the data.
        preprocess: Called with the arrays of each feed; returns what the model is fed.
        progress: Called after each feed with the samples done and the samples in all (None where unknown).
        providers: onnxruntime's execution providers.

    Raises:
        DataError: The data cannot be read, do not fit the model's inputs, or hold NaN.
        ModelError: The model cannot be read, or has nothing to calibrate.
        SelectionError: A name or pattern selects nothing.
        ValueError: The family, the method or a number is not as described.
    """
    formats = FormatFamily.parse(family)
    _check_method(method)
    selection = _Selection(nodes_to_exclude, nodes_to_convert, op_types_to_convert)
    with collecting_session(model, chunk_size, providers, selection._asdict()) as collecting:
        batches = read_batches(data, describe_inputs(collecting.session), batch_size, max_samples, preprocess)
        samples, data_sha256 = _feed(collecting, batches, progress, sample_count(data, max_samples))
        seen = collecting.read_statistics()
    ranges = {name: None if s is None else NodeRange.from_statistics(s) for name, s in seen.items()}
    nodes = {name: _choose(range_, formats, chunk_size, underflow) for name, range_ in ranges.items()}
    _LOG.info("calibrated %d nodes on %d samples", len(nodes), samples)
    for name, node in nodes.items():
        if node.note:
            _LOG.warning("node %s: %s", name, node.note)
    settings = (str(formats), method, chunk_size, underflow)
    return Calibration(nodes, *settings, samples, data_sha256, _versions())


class _Selection(NamedTuple):
    nodes_to_exclude: Sequence[str]
    nodes_to_convert: Sequence[str]
    op_types_to_convert: Sequence[str]


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise ValueError(f"expected a method out of {', '.join(METHODS)}, got {method!r}")


def _feed(
    collecting: CollectingSession, batches: Iterable[Batch], progress: Progress | None, total: int | None
) -> tuple[int, str]:
    """Run all batches; return the number of samples and the hash of the data."""
    samples, data_hash = 0, DataHash()
    for batch in batches:
        _refuse_nan(batch)
        run_batch(collecting.session, batch, [])
        data_hash.update(batch)
        samples += batch.samples
        if progress is not None:
            progress(samples, total)
    return samples, data_hash.hexdigest()


def _refuse_nan(batch: Batch) -> None:
    for name, array in batch.feeds.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise DataError(f"{batch.origin}: expected numbers as {name}, got NaN")


def _choose(seen: NodeRange | None, family: FormatFamily, chunk_size: int | None, underflow: bool) -> NodeCalibration:
    spec = None if seen is None else smallest_spec(seen, family, chunk_size, underflow)
    if seen is None or spec is None:
        note = NOT_RUN if seen is None else ONLY_ZEROS
        return NodeCalibration(default_spec(family, chunk_size, underflow), seen, note)
    return NodeCalibration(spec, seen, _range_note(spec, seen))


def _range_note(spec: AccumulatorSpec, seen: NodeRange) -> str:
    pairs = (
        ("products", seen.max_abs_product, spec.product_format),
        ("sums", seen.max_abs_sum, spec.accumulator_format),
    )
    beyond = ((what, seen_max, f.max_value) for what, seen_max, f in pairs if seen_max >= f.max_value)
    return "; ".join(f"{what} up to {seen_max:.3g} saturate at {limit:.3g}" for what, seen_max, limit in beyond)


def _versions() -> dict[str, str]:
    versions = {}
    for distribution in ("lba-onnx", "onnx", "onnxruntime", "numpy"):
        try:
            versions[distribution] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:  # onnxruntime-gpu, for one, goes by another name
            versions[distribution] = "unknown"
    return versions

"""A session in which every converted node collects the range of its products and sums.

    LbaConv "conv1" (product_format="M22E7b63", accumulator_format="M22E7b63", statistics="calibrate-4f.../conv1", ...)

M22E7b63 stands for float32: 23 significant bits, and magnitudes from 2^-63 up to 2^65 (what is smaller becomes zero,
what is larger saturates), so the ranges are those of a model that no narrow accumulator has disturbed yet.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from lba_onnx.accumulator import AccumulatorSpec
from lba_onnx.errors import ModelError
from lba_onnx.formats import FloatFormat

if TYPE_CHECKING:
    import onnx
    import onnxruntime

    from lba_onnx.native import Statistics
    from lba_onnx.rewrite.report import ConversionReport

WIDE_FORMAT = FloatFormat(22, 7, 63)
_SAMPLED_FRACTION = 1e-6  # the ranges come from all outputs; histograms and events, of samples, are not needed here


class CollectingSession:
    """A model under observation.

    Attributes:
        session: Runs the model.
        node_names: The nodes that collect, in the model's order.
    """

    def __init__(self, session: "onnxruntime.InferenceSession", run: str, node_names: Sequence[str]) -> None:
        self.session = session
        self.node_names = tuple(node_names)
        self._run = run

    def read_statistics(self) -> "dict[str, Statistics | None]":
        """Return what each node has seen so far; None for nodes that never ran."""
        return {name: self._read(name) for name in self.node_names}

    def _read(self, name: str) -> "Statistics | None":
        from lba_onnx import native

        statistics = native.statistics_read(f"{self._run}/{name}")
        return statistics if statistics.outputs else None


@contextmanager
def collecting_session(
    model: Any,
    chunk_size: int | None,
    providers: Sequence[str],
    selection: Mapping[str, Any],
) -> Iterator[CollectingSession]:
    """Open a session that collects while the block runs; what it collected is gone afterwards.

    Args:
        model: Path, bytes or ModelProto.
        chunk_size: Chunk size of the prefix sums.
        providers: onnxruntime's execution providers.
        selection: Arguments of `convert` that select nodes.

    Raises:
        ModelError: No node is selected and convertible, or the model cannot be read.
    """
    from lba_onnx import native
    from lba_onnx.session import make_session

    spec = AccumulatorSpec(WIDE_FORMAT, WIDE_FORMAT, chunk_size)
    run = f"calibrate-{uuid4().hex}"
    with TemporaryDirectory(prefix="lba_onnx-") as folder:
        source, report = _convert(model, spec, selection, run, Path(folder) / "model.onnx")
        native.statistics_open(run, _SAMPLED_FRACTION)
        try:
            session = make_session(source, providers=providers)
            yield CollectingSession(session, run, [entry.node for entry in report.converted])
        finally:
            native.statistics_close(run)


def _convert(
    model: Any, spec: AccumulatorSpec, selection: Mapping[str, Any], run: str, spare_path: Path
) -> "tuple[onnx.ModelProto | Path, ConversionReport]":
    """Return the model that collects: in memory, or at `spare_path` where its weights are too large for one message."""
    from lba_onnx.rewrite.conversion import convert
    from lba_onnx.rewrite.model_files import external_tensors

    converted, report = convert(model, spec, **selection)
    if not report.converted:
        reasons = ", ".join(sorted({entry.reason for entry in report.left}))
        raise ModelError(
            "expected at least one MatMul, Gemm or Conv to calibrate, got none that can be converted"
            + (f" ({len(report.left)} left: {reasons})" if reasons else "")
        )
    is_large = isinstance(model, (str, PathLike)) and next(external_tensors(converted), None) is not None
    if is_large:
        converted, report = convert(model, spec, model_output=spare_path, use_external_data_format=True, **selection)
    _request_statistics(converted, report, run)
    if not is_large:
        return converted, report
    spare_path.write_bytes(converted.SerializeToString())
    return spare_path, report


def _request_statistics(model: "onnx.ModelProto", report: "ConversionReport", run: str) -> None:
    import onnx

    from lba_onnx.rewrite.conversion import converted_nodes

    entries = [entry for entry in report if entry.spec is not None]
    for (_, node), entry in zip(converted_nodes(model), entries, strict=True):  # both in the model's order
        if entry.converted:
            node.attribute.append(onnx.helper.make_attribute("statistics", f"{run}/{entry.node}"))

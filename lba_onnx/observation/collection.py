"""A session in which every converted node collects statistics of its products and sums.

    LbaConv "conv1" (accumulator="M22E7b63/M22E7b63", statistics="collect-4f.../conv1", ...)

A wide accumulator (`Accumulator.wide`) stands for float32, so the ranges are those of a model that no narrow one has
disturbed yet.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    import onnx
    import onnxruntime

    from lba_onnx.native import Statistics
    from lba_onnx.rewrite.model_files import ModelSource

DEFAULT_SAMPLED_FRACTION = 1 / 256


class CollectingSession:
    """A model whose nodes collect.

    Attributes:
        session: Runs the model.
        node_names: The products that collect, in the model's order.
    """

    def __init__(
        self,
        source: "onnx.ModelProto | Path",
        run: str,
        node_names: Sequence[str],
        sampled_fraction: float,
        providers: Sequence[str],
    ) -> None:
        self.node_names = tuple(node_names)
        self._source = source
        self._run = run
        self._sampled_fraction = sampled_fraction
        self._providers = tuple(providers)
        self.session = self._open()

    def read_statistics(self) -> "dict[str, Statistics | None]":
        """Return what has been seen of each product so far; None for those that never ran."""
        return {name: self._read(name) for name in self.node_names}

    def forget_largest(self) -> None:
        """Let the largest magnitudes begin anew; all else that was collected stays."""
        from lba_onnx import native

        for name in self.node_names:
            native.statistics_forget_largest(native.run_key(self._run, name))

    def restart(self) -> None:
        """Forget what was collected, and where the sampling had come to, by opening the session anew."""
        from lba_onnx import native

        del self.session
        native.statistics_close(self._run)
        self.session = self._open()

    def close(self) -> None:
        """Forget what was collected."""
        from lba_onnx import native

        native.statistics_close(self._run)

    def _open(self) -> "onnxruntime.InferenceSession":
        from lba_onnx import native
        from lba_onnx.session import make_session, watching_options

        native.statistics_open(self._run, self._sampled_fraction)
        try:
            return make_session(self._source, watching_options(), self._providers)
        except BaseException:
            native.statistics_close(self._run)
            raise

    def _read(self, name: str) -> "Statistics | None":
        from lba_onnx import native

        statistics = native.statistics_read(native.run_key(self._run, name))
        return statistics if statistics.outputs else None


@contextmanager
def collecting_session(
    model: "ModelSource",
    providers: Sequence[str] = ("CPUExecutionProvider",),
    sampled_fraction: float = DEFAULT_SAMPLED_FRACTION,
) -> Iterator[CollectingSession]:
    """Open a session of a converted model that collects while the block runs; what it collected is gone afterwards.

    Args:
        model: Path, bytes or ModelProto of a converted model; it is not changed.
        providers: onnxruntime's execution providers.
        sampled_fraction: Share of the rows or output positions that histograms and events are taken from, in (0, 1];
            the largest values come from all of them.

    Raises:
        ModelError: The model cannot be read, or has no converted node.
    """
    from lba_onnx.observation.observer import request_observation
    from lba_onnx.rewrite.candidates import converted_products
    from lba_onnx.rewrite.model_files import open_model
    from lba_onnx.rewrite.model_writer import runnable

    run = f"collect-{uuid4().hex}"
    opened = open_model(model)
    request_observation(opened.proto, run)
    names = [product.name for product in converted_products(opened.proto)]
    with runnable(opened) as source:
        collecting = CollectingSession(source, run, names, sampled_fraction, providers)
        try:
            yield collecting
        finally:
            collecting.close()

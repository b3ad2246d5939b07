"""A session whose converted nodes show each of their executions to an observer.

    model = convert(...)[0]
    with observing_session(model, lambda call: print(call.node, call.y.mean())) as observing:
        observing.run(batch)

The observer gets the operands as the node got them, wherever the node lives (main graph, subgraph, function); it may
compute the call again in other formats, and may write the result that the node goes on with.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from lba_onnx.data.batches import Batch
from lba_onnx.data.execution import run_batch

if TYPE_CHECKING:
    import onnx
    import onnxruntime
    from numpy.typing import NDArray

    from lba_onnx.native import Observer
    from lba_onnx.native.observer import OpenObserver
    from lba_onnx.rewrite.model_files import ModelSource, OpenModel


class ObservingSession:
    """A model under observation.

    Attributes:
        session: Runs the model.
    """

    def __init__(self, session: "onnxruntime.InferenceSession", opened: "OpenObserver") -> None:
        self.session = session
        self._opened = opened

    def run(self, batch: Batch, output_names: list[str] | None = None) -> "list[NDArray[Any]]":
        """Run a batch as `run_batch` does; what the observer raises is raised here."""
        try:
            return run_batch(self.session, batch, output_names)
        except Exception:
            error, self._opened.error = self._opened.error, None
            if error is None:
                raise
            raise error from None


@contextmanager
def observing_session(
    model: "ModelSource | OpenModel",
    observer: "Observer",
    providers: Sequence[str] = ("CPUExecutionProvider",),
    *,
    fills: bool = False,
    is_lean: bool = False,
) -> Iterator[ObservingSession]:
    """Open a session of a converted model whose nodes call the observer while the block runs.

    Args:
        model: Path, bytes, ModelProto or OpenModel of a converted model; it is not changed.
        observer: Called with each execution of each converted node, in the thread that runs the node.
        providers: onnxruntime's execution providers.
        fills: Whether nodes leave their dot products to the observer, which has to write them.
        is_lean: Whether runs give memory back as soon as they are done with it.

    Raises:
        ModelError: The model cannot be read, or has no converted node.
    """
    from lba_onnx import native
    from lba_onnx.rewrite.model_files import OpenModel, open_model
    from lba_onnx.rewrite.model_writer import runnable
    from lba_onnx.session import make_session, watching_options

    run = f"observe-{uuid4().hex}"
    source = OpenModel(open_model(model.proto).proto, model.path) if isinstance(model, OpenModel) else open_model(model)
    request_observation(source.proto, run)
    opened = native.observer_open(run, observer, fills=fills)
    try:
        with runnable(source) as file:
            session = make_session(file, watching_options(is_lean=is_lean), providers)
        yield ObservingSession(session, opened)
    finally:
        native.observer_close(run, opened)


def request_observation(model: "onnx.ModelProto", run: str) -> None:
    """Let a converted model's nodes take part in a run, under keys "run/node".

    Raises:
        ModelError: The model has no converted node.
    """
    from lba_onnx.errors import ModelError
    from lba_onnx.native import run_key
    from lba_onnx.rewrite.attributes import set_attributes
    from lba_onnx.rewrite.conversion import converted_nodes

    nodes = converted_nodes(model)
    if not nodes:
        raise ModelError("expected a converted model, got one without low-bit-accumulator nodes")
    for name, node in nodes:
        set_attributes(node, {"statistics": run_key(run, name)})

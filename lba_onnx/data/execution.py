"""Runs a session, so that Ctrl-C ends the run and watchers see it move."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from numpy.typing import NDArray

from lba_onnx.data.batches import Batch
from lba_onnx.data.tally import note
from lba_onnx.data.watching import advance
from lba_onnx.errors import DataError
from lba_onnx.interruption import run_interruptibly
from lba_onnx.native import Run

if TYPE_CHECKING:
    import onnxruntime

Progress = Callable[[int, int | None], None]
"""Called with the number of samples done and the number in all, or None where that is not known."""


@dataclass(frozen=True)
class Execution:
    """How models run, and who is told how far they are.

    Attributes:
        providers: onnxruntime's execution providers.
        progress: Called with the samples done and the samples in all (None where unknown), after each feed; functions
            of several steps begin anew with each, in samples, layers, models or evaluations.

    Raises:
        TypeError: `providers` is a string.
    """

    providers: Sequence[str] = ("CPUExecutionProvider",)
    progress: Progress | None = None

    def __post_init__(self) -> None:
        """Check the fields."""
        if isinstance(self.providers, str):
            raise TypeError(f"expected providers as a sequence of names, got {self.providers!r}")
        object.__setattr__(self, "providers", tuple(self.providers))


_NODES: "WeakKeyDictionary[onnxruntime.InferenceSession, int]" = WeakKeyDictionary()
"""How many executions of nodes of our operators a run of a session is."""


def expect_nodes(session: "onnxruntime.InferenceSession", count: int) -> None:
    """Take note of the number of nodes of our operators in a session, for the progress of its first run."""
    _NODES[session] = count


def run_session(
    session: "onnxruntime.InferenceSession",
    output_names: list[str] | None,
    feeds: Mapping[str, Any],
    samples: int = 1,
) -> list[Any]:
    """Return what `session.run` returns; every run of a session in this package is one of this function.

    Args:
        session: The session.
        output_names: The outputs wanted; None for all.
        feeds: By input name.
        samples: How many samples they hold, for watchers and whoever counts them.

    Raises:
        Exception: What onnxruntime raises.
        KeyboardInterrupt: The user interrupted the run, which has ended.
    """
    import onnxruntime

    run, options = Run(), onnxruntime.RunOptions()

    def terminate() -> None:
        options.terminate = True

    def look() -> None:
        progress, nodes = run.progress(), _NODES.get(session, 0)
        advance(min((progress.ended_nodes + progress.node_share) / nodes, 1.0) if nodes else 0.0, samples)

    outputs: list[Any] = run_interruptibly(lambda: session.run(output_names, feeds, options), run, terminate, look)
    _NODES[session] = run.progress().ended_nodes
    note(samples=samples)
    return outputs


def run_batch(
    session: "onnxruntime.InferenceSession",
    batch: Batch,
    output_names: list[str] | None = None,
    name: str = "the model",
) -> list[NDArray[Any]]:
    """Return the outputs for one batch; samples that only fill it up are left out where outputs have their axis.

    Args:
        session: A session of a model that takes the batch's feeds.
        batch: The batch.
        output_names: The outputs wanted, [] for none (the model runs all the same); None for all.
        name: What messages call the model.

    Raises:
        DataError: The model cannot run on the batch.
    """
    wanted = None if output_names is None else output_names or [session.get_outputs()[0].name]
    try:
        outputs = run_session(session, wanted, batch.feeds, batch.samples)
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise DataError(f"{batch.origin}: {name} does not run on these data: {error}") from error
    return [without_filling(output, batch) for output in outputs]


def has_sample_axis(output: Any, batch: Batch) -> bool:
    """Return whether the first axis of an output that `run_batch` returned runs over the batch's samples."""
    return batch.rows is not None and output.ndim > 0 and output.shape[0] == batch.samples


def without_filling(output: Any, batch: Batch) -> Any:
    """Return an output of a run of a batch without the samples that only fill it up, where it has their axis."""
    is_per_row = batch.rows is not None and getattr(output, "ndim", 0) > 0 and output.shape[0] == batch.rows
    return output[: batch.samples] if is_per_row else output

"""Runs a session on one batch."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lba_onnx.data.batches import Batch
from lba_onnx.errors import DataError

if TYPE_CHECKING:
    import onnxruntime

Progress = Callable[[int, int | None], None]
"""Called with the number of samples done and the number in all, or None where that is not known."""


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
        outputs = session.run(wanted, batch.feeds)
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise DataError(f"{batch.origin}: {name} does not run on these data: {error}") from error
    return [_without_filling(output, batch) for output in outputs]


def has_sample_axis(output: Any, batch: Batch) -> bool:
    """Return whether the first axis of an output that `run_batch` returned runs over the batch's samples."""
    return batch.rows is not None and output.ndim > 0 and output.shape[0] == batch.samples


def _without_filling(output: Any, batch: Batch) -> Any:
    is_per_row = batch.rows is not None and getattr(output, "ndim", 0) > 0 and output.shape[0] == batch.rows
    return output[: batch.samples] if is_per_row else output

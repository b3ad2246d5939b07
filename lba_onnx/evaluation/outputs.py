"""What the outputs of a model are: tensors of numbers, scores among them, and the same as another model's."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lba_onnx.data.batches import Batch
from lba_onnx.data.execution import has_sample_axis, run_batch
from lba_onnx.errors import DataError, ModelError

if TYPE_CHECKING:
    import onnxruntime

Outputs = dict[str, NDArray[Any]]


def tensor_outputs(session: "onnxruntime.InferenceSession") -> list[str]:
    """Return the names of the outputs that are tensors of numbers.

    Raises:
        ModelError: There are none.
    """
    types = {output.name: output.type for output in session.get_outputs()}
    names = [name for name, kind in types.items() if kind.startswith("tensor(") and kind != "tensor(string)"]
    if not names:
        raise ModelError(f"expected a model with an output that is a tensor of numbers, got {sorted(types.values())}")
    return names


def run_by_name(session: "onnxruntime.InferenceSession", batch: Batch, names: list[str], model: str) -> Outputs:
    """Return the outputs for one batch by name.

    Args:
        session: A session of the model.
        batch: The batch.
        names: The outputs wanted.
        model: What messages call the model.

    Raises:
        DataError: The model cannot run on the batch.
    """
    return dict(zip(names, run_batch(session, batch, names, model), strict=True))


def check_same_interface(reference: "onnxruntime.InferenceSession", candidate: "onnxruntime.InferenceSession") -> None:
    """Refuse two models whose inputs or outputs have other names.

    Raises:
        ModelError: They have.
    """
    check_same_names("inputs", *(names_of(session.get_inputs()) for session in (reference, candidate)))
    check_same_names("outputs", *(names_of(session.get_outputs()) for session in (reference, candidate)))


def names_of(values: Iterable[Any]) -> list[str]:
    """Return the names of inputs or outputs, sorted; a session lives, with all its memory, as long as they do."""
    return sorted(value.name for value in values)


def check_same_names(what: str, expected: Sequence[str], got: Sequence[str]) -> None:
    """Refuse inputs or outputs that have other names than the reference's.

    Raises:
        ModelError: They have.
    """
    if expected != got:
        raise ModelError(f"expected the {what} of the reference, {', '.join(expected)}, got {', '.join(got)}")


def check_class_labels(batch: Batch) -> None:
    """Refuse labels that are no class numbers.

    Raises:
        DataError: They have an axis of tokens.
    """
    if batch.labels is not None and batch.labels.ndim > 1:
        raise DataError(
            f"{batch.origin}: expected integer labels [samples], got {list(batch.labels.shape)}; labels of tokens are "
            "for the metric perplexity"
        )


def as_rows(name: str, expected: NDArray[Any], values: NDArray[Any], batch: Batch) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two models' values of one output as [samples, values]; one row where there is no axis for samples.

    Raises:
        ModelError: Their shapes differ.
    """
    if expected.shape != values.shape:
        raise ModelError(
            f"output {name}: expected the reference's shape {list(expected.shape)}, got {list(values.shape)}"
        )
    rows = batch.samples if has_sample_axis(expected, batch) else 1
    return expected.reshape(rows, -1), values.reshape(rows, -1)

"""How far a model's output is from float32's, sample by sample.

class scores        the Kullback-Leibler divergence of the class distributions, in nats; of logits, of their softmax
token scores        the same at each place of a sequence that the mask shows, averaged over these
anything else       the squared difference over the mean square of float32's output, averaged over outputs: the
                    reciprocal of the SQNR, as a ratio
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.batches import Batch
from lba_onnx.data.watching import passing
from lba_onnx.errors import ModelError
from lba_onnx.evaluation.class_outputs import ClassOutputs, find_class_outputs
from lba_onnx.evaluation.likeness import comparable
from lba_onnx.evaluation.outputs import Outputs, as_rows, run_by_name, tensor_outputs
from lba_onnx.evaluation.token_scores import find_token_scores, shown_places
from lba_onnx.rewrite.model_files import ModelSource
from lba_onnx.session import make_session

Losses = NDArray[np.float64]

KL, SQUARED = "KL divergence", "relative squared error"
LARGEST = 1e4
"""What a loss is at most: also that of an output that is infinite or NaN."""
_SMALLEST_PROBABILITY = 1e-12


@dataclass(frozen=True, eq=False)
class Reference:
    """What float32 gives for some samples.

    Attributes:
        batches: The samples.
        expected: By batch all outputs that are tensors.
        classes: Which of them may be scores of classes, of samples or of the places of a sequence.
        name: What losses are.
        energies: By output the mean square of its values, a sample's sum.
    """

    batches: tuple[Batch, ...]
    expected: tuple[Outputs, ...]
    classes: ClassOutputs
    name: str
    energies: dict[str, float] = field(repr=False)

    @classmethod
    def of(cls, model: ModelSource, batches: Sequence[Batch], providers: Sequence[str]) -> "Reference":
        """Run float32 once over some samples."""
        session = make_session(model, providers=providers)
        names, classes = tensor_outputs(session), find_class_outputs(model)
        expected = tuple(run_by_name(session, batch, names, "the model") for batch in passing(batches))
        is_scored = classes.find(expected[0], batches[0]) or find_token_scores(classes, expected[0], batches[0])
        name = KL if is_scored else SQUARED
        return cls(tuple(batches), expected, classes, name, _energies(expected, batches))

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return sum(batch.samples for batch in self.batches)

    def losses(self, number: int, given: Outputs) -> Losses:
        """Return the loss of each sample of a batch, float64 [samples].

        Args:
            number: Of the batch.
            given: What another model gives; outputs that are missing are float32's.

        Raises:
            ModelError: An output has another shape.
        """
        expected, batch = self.expected[number], self.batches[number]
        outputs = {**expected, **given}
        rows = {name: as_rows(name, values, outputs[name], batch) for name, values in comparable(expected).items()}
        if self.name == KL:
            found = [*self._of_samples(expected, outputs, batch), *self._of_places(expected, outputs, batch)]
        else:
            found = [self._squared(self.energies[name], *own) for name, own in rows.items()]
        if len({len(losses) for losses in found}) != 1:
            raise ModelError(f"{batch.origin}: expected as many samples in each output, got {[len(f) for f in found]}")
        with np.errstate(over="ignore", invalid="ignore"):
            mean = np.mean(found, axis=0)
        limited: Losses = np.minimum(np.nan_to_num(mean, nan=LARGEST, posinf=LARGEST), LARGEST)
        return limited

    def _of_samples(self, expected: Outputs, outputs: Outputs, batch: Batch) -> Iterator[Losses]:
        scores = self.classes.find(outputs, batch)
        for name, wanted in self.classes.find(expected, batch).items():
            yield self._divergences(name, wanted, scores[name])

    def _of_places(self, expected: Outputs, outputs: Outputs, batch: Batch) -> Iterator[Losses]:
        for name, wanted in find_token_scores(self.classes, expected, batch).items():
            pairs = zip(wanted, outputs[name], shown_places(wanted, batch), strict=True)  # a sequence at a time
            found = [self._divergences(name, own[shown], other[shown]) for own, other, shown in pairs]
            yield np.array([losses.mean() if len(losses) else 0.0 for losses in found])

    def _divergences(self, name: str, wanted: NDArray[np.floating], given: NDArray[np.floating]) -> Losses:
        is_distribution = name in self.classes.probabilities and _sums_to_one(wanted)
        logs = _log_of_probabilities if is_distribution else _log_softmax
        p, q = logs(wanted), logs(given)
        with np.errstate(invalid="ignore", over="ignore"):
            divergences: Losses = (np.exp(p) * (p - q)).sum(axis=1)
        return np.where(divergences < 0, 0.0, divergences)

    def _squared(self, energy: float, wanted: NDArray[np.floating], given: NDArray[np.floating]) -> Losses:
        with np.errstate(invalid="ignore", over="ignore"):
            squares: Losses = np.square(wanted.astype(np.float64) - given.astype(np.float64)).sum(axis=1)
        return squares / energy if energy > 0 else np.where(squares > 0, LARGEST, 0.0)


def _energies(expected: Sequence[Outputs], batches: Sequence[Batch]) -> dict[str, float]:
    sums: dict[str, list[float]] = {}
    for outputs, batch in zip(expected, batches, strict=True):
        for name, values in comparable(outputs).items():
            rows, _ = as_rows(name, values, values, batch)
            sums.setdefault(name, []).extend(np.square(rows.astype(np.float64)).sum(axis=1).tolist())
    return {name: float(np.mean(values)) for name, values in sums.items()}


def _sums_to_one(values: NDArray[np.floating]) -> bool:
    return bool((values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=1e-3))


def _log_of_probabilities(values: NDArray[np.floating]) -> NDArray[np.float64]:
    logs: NDArray[np.float64] = np.log(np.maximum(values.astype(np.float64), _SMALLEST_PROBABILITY))
    return logs


def _log_softmax(values: NDArray[np.floating]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", over="ignore"):
        shifted = values.astype(np.float64) - values.max(axis=1, keepdims=True)
        logs: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs

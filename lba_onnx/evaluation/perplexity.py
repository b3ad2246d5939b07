"""Perplexity of a language model: e to the mean, over tokens, of minus the logarithm of what the model gave the token.

    logits of token 1, 2, ... tokens - 1    foretell    token 2, 3, ... tokens

A token counts where the mask shows it and the one before it, and its label is not -100. Sums are float64 within a
sequence and exact between sequences; the interval is over sequences.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.batch import Batch
from lba_onnx.data.language_inputs import TOKEN_IDS
from lba_onnx.errors import DataError, ModelError
from lba_onnx.evaluation.estimates import Perplexity, PerplexityChange
from lba_onnx.evaluation.intervals import Interval, ratio_interval
from lba_onnx.evaluation.outputs import Outputs
from lba_onnx.evaluation.sums import Moments
from lba_onnx.evaluation.token_scores import shown_tokens

IGNORED_LABEL = -100
_LOGITS_RANK = 3


@dataclass(frozen=True)
class TokenLosses:
    """How a model foretold the tokens of some sequences.

    Attributes:
        losses: Per sequence, the sum of minus the logarithms of the probabilities, float64 [sequences].
        tokens: Per sequence, how many tokens it is of, [sequences].
    """

    losses: NDArray[np.float64]
    tokens: NDArray[np.int64]

    @classmethod
    def of(cls, batch: Batch, outputs: Outputs) -> "TokenLosses":
        """Return the losses of a batch.

        Raises:
            DataError: The data hold no token ids, or labels of another shape, or ids beyond the vocabulary.
            ModelError: No output is logits of these tokens.
        """
        labels = _labels(batch)
        logits = _logits(outputs, labels.shape)
        _check_vocabulary(labels, logits.shape[-1], batch)
        targets = labels[:, 1:]
        losses = [
            _loss(rows[:-1][own != IGNORED_LABEL], own[own != IGNORED_LABEL])
            for rows, own in zip(logits, targets, strict=True)
        ]
        return cls(np.array(losses), (targets != IGNORED_LABEL).sum(axis=1))


def _labels(batch: Batch) -> NDArray[np.int64]:
    """Return the token that should stand at each place, [samples, tokens]; -100 where it does not count."""
    ids = batch.feeds.get(TOKEN_IDS)
    if ids is None or ids.ndim != 2 or ids.dtype.kind not in "iu":
        found = "none" if ids is None else f"{ids.dtype} {list(ids.shape)}"
        raise DataError(f"{batch.origin}: perplexity: expected token ids {TOKEN_IDS} [samples, tokens], got {found}")
    labels = ids[: batch.samples] if batch.labels is None else batch.labels
    if labels.shape != (batch.samples, ids.shape[1]):
        raise DataError(
            f"{batch.origin}: perplexity: expected labels {[batch.samples, ids.shape[1]]}, one per token, "
            f"got {list(labels.shape)}"
        )
    shown = shown_tokens(batch, ids.shape[1])
    shown[:, 1:] &= shown[:, :-1].copy()
    return np.where(shown, labels, IGNORED_LABEL).astype(np.int64)


def _logits(outputs: Outputs, shape: tuple[int, ...]) -> NDArray[np.floating]:
    for values in outputs.values():
        if values.ndim == _LOGITS_RANK and values.dtype.kind == "f" and values.shape[:2] == shape:
            return values
    found = ", ".join(f"{name} {list(values.shape)}" for name, values in list(outputs.items())[:3])
    raise ModelError(f"perplexity: expected an output of logits {[*shape, 'vocabulary']}, got {found}")


def _check_vocabulary(labels: NDArray[np.int64], size: int, batch: Batch) -> None:
    is_token = ((labels >= 0) & (labels < size)) | (labels == IGNORED_LABEL)
    if not is_token.all():
        row, place = np.argwhere(~is_token)[0]
        raise DataError(
            f"{batch.sample_origin(int(row))}: perplexity: expected token ids of 0 to {size - 1}, "
            f"got {labels[row, place]} at place {place}"
        )


def _loss(logits: NDArray[np.floating], targets: NDArray[np.int64]) -> float:
    scores = logits.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):  # infinities and NaN that the model gave
        largest = scores.max(axis=1, keepdims=True, initial=-np.inf)
        norms = np.log(np.exp(scores - largest).sum(axis=1)) + largest[:, 0]
        return float((norms - scores[np.arange(len(targets)), targets]).sum())


class TokenSums:
    """Gathers losses, or differences of the losses of two models, a batch at a time; parts merge to the last bit."""

    def __init__(self) -> None:
        self._losses = Moments()
        self._tokens = Moments()
        self._both = Moments()  # their sum in each sequence: what their covariance follows from

    def update(self, losses: NDArray[np.float64], tokens: NDArray[np.int64]) -> None:
        """Add sequences, those without a token that counts left out."""
        losses, counts = losses[tokens > 0], tokens[tokens > 0].astype(np.float64)
        self._losses.update(losses.tolist())
        self._tokens.update(counts.tolist())
        self._both.update((losses + counts).tolist())

    def merge(self, other: "TokenSums") -> None:
        """Add all that another object has gathered."""
        self._losses.merge(other._losses)
        self._tokens.merge(other._tokens)
        self._both.merge(other._both)

    @property
    def mean(self) -> float:
        """The mean loss of a token; NaN without any."""
        return self._losses.total / self._tokens.total if self._tokens.samples else math.nan

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of `mean` over sequences; None where they allow none."""
        losses, tokens = self._losses, self._tokens
        covariance = (self._both.variance - losses.variance - tokens.variance) / 2
        return ratio_interval(
            (losses.mean, tokens.mean), (losses.variance, tokens.variance), covariance, tokens.samples
        )

    @property
    def perplexity(self) -> Perplexity | None:
        """The perplexity, of losses; None without tokens."""
        if not self._tokens.samples:
            return None
        interval = self.interval
        ranged = None if interval is None else (_exp(interval[0]), _exp(interval[1]))
        return Perplexity(self._tokens.samples, _exp(self.mean), ranged, int(self._tokens.total))

    @property
    def change(self) -> PerplexityChange | None:
        """By how much the perplexity is higher, of differences of losses; None without tokens."""
        if not self._tokens.samples:
            return None
        interval = self.interval
        ranged = None if interval is None else (_percent(interval[0]), _percent(interval[1]))
        return PerplexityChange(self._tokens.samples, int(self._tokens.total), _percent(self.mean), ranged)


def _exp(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(value))


def _percent(log_ratio: float) -> float:
    with np.errstate(over="ignore"):
        return float(100 * np.expm1(log_ratio))


def is_perplexity(metric: object) -> bool:
    """Return whether a metric is that of this module."""
    return getattr(metric, "function", metric) is perplexity


def perplexity(outputs: object, labels: object) -> float:
    """Stand for perplexity where a metric is given; it is measured by `TokenLosses`, which sees token ids as well.

    Raises:
        ValueError: Something else than an ONNX model's evaluation calls it.
    """
    raise ValueError("expected an ONNX model that is fed token ids, got outputs alone")

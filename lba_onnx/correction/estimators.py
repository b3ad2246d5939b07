"""How a node's output is mapped back onto float32's: scale[c] * q + offset[c] per output channel.

Truncation toward zero makes dot products smaller by a nearly constant factor. The estimators differ in what they take
for y, the output that the node should give, and in whether they allow an offset:

    scale    least squares through the origin; y: the float32 dot products of the node's own inputs
    affine   least squares with an offset, which is held back (see below); y as for scale
    chain    the mean and the standard deviation of each channel become those of y, the output of the same node in the
             float32 model: errors of earlier nodes are undone too. Where a channel hardly varies, as scale does it,
             through the origin

All add _PRIOR_VALUES imagined values per channel, which follow the scale of the whole node: a channel of which little
was seen is corrected as its neighbours are. Scales stay within 1/2 ... 2.

Tuning of global statistics instead of training: Hubara et al., "Accurate Post Training Quantization With Small
Calibration Sets" (ICML 2021).
"""

from collections.abc import Callable

import numpy as np

from lba_onnx.correction.moments import ANY_VALUES, PairedSums, Sums
from lba_onnx.rewrite.folding import ChannelAffine

LEAST_SCALE, LARGEST_SCALE = 0.5, 2.0
_PRIOR_VALUES = 4
_OFFSET_RIDGE = 0.1
"""An offset costs as much as a residual of sqrt(0.1) times its size: outputs that hardly vary are scaled instead."""
_LEAST_SPREAD = 1e-4
"""Variance over squared mean below which `chain` has no slope to go by."""

Estimator = Callable[[PairedSums, bool], ChannelAffine]
"""Called with the sums of a node and whether it can take an offset."""


@ANY_VALUES
def fit_scale(sums: PairedSums, takes_offset: bool = False) -> ChannelAffine:
    """Fit y = scale * q per channel.

    Args:
        sums: Of pairs.
        takes_offset: Plays no part.
    """
    q2, qy = _with_prior(sums)
    scale = _limited(_ratio(qy, q2))
    return _affine(scale, np.zeros_like(scale))


@ANY_VALUES
def fit_affine(sums: PairedSums, takes_offset: bool) -> ChannelAffine:
    """Fit y = scale * q + offset per channel, the offset held back in proportion to its size.

    Args:
        sums: Of pairs.
        takes_offset: Whether the node can take one; if not, this is `fit_scale`.
    """
    if not takes_offset:
        return fit_scale(sums)
    q2, qy = _with_prior(sums)
    n, q, y = sums.q.count * (1 + _OFFSET_RIDGE), sums.q.total, sums.y.total
    determinant = q2 * n - q * q  # at least q2 * n * ridge / (1 + ridge), by Cauchy and Schwarz
    scale = _limited(_ratio(qy * n - q * y, determinant))
    return _affine(scale, (y - scale * q) / n)


@ANY_VALUES
def fit_chain(sums: PairedSums, takes_offset: bool) -> ChannelAffine:
    """Give each channel the mean and the standard deviation of y.

    Args:
        sums: Of the node's outputs, and of those of the same node in the float32 model.
        takes_offset: Whether the node can take an offset; if not, the root mean squares become equal.
    """
    q2, y2 = (_shrunk(s.squares / s.count, s.count) for s in (sums.q, sums.y))
    plain = _limited(np.sqrt(_ratio(y2, q2)))
    if not takes_offset:
        return _affine(plain, np.zeros_like(plain))
    q_variance, y_variance = (_shrunk(s.variance, s.count) for s in (sums.q, sums.y))
    varies = sums.q.variance > _LEAST_SPREAD * sums.q.mean**2
    scale = np.where(varies, _limited(np.sqrt(_ratio(y_variance, q_variance))), plain)
    return _affine(scale, np.where(varies, sums.y.mean - scale * sums.q.mean, 0))


ESTIMATORS: dict[str, Estimator] = {"scale": fit_scale, "affine": fit_affine, "chain": fit_chain}


def _with_prior(sums: PairedSums) -> tuple[Sums, Sums]:
    """Return sums of q * q and q * y, with the imagined values of each channel."""
    if sums.products is None:
        raise ValueError("expected sums over pairs")
    q2, qy = sums.q.squares, sums.products
    scale = _limited(_ratio(qy.sum(), q2.sum()))
    prior = _PRIOR_VALUES * q2.mean() / sums.q.count
    return q2 + prior, qy + prior * scale


def _shrunk(values: Sums, count: int) -> Sums:
    """Return values per channel, drawn towards their mean over channels the more, the fewer values they come from."""
    shrunk: Sums = (count * values + _PRIOR_VALUES * values.mean()) / (count + _PRIOR_VALUES)
    return shrunk


def _ratio(a: Sums, b: Sums) -> Sums:
    """Return a / b; 1 where there is nothing to divide by, or either is not finite."""
    usable = np.isfinite(a) & np.isfinite(b) & (b > 0)
    return np.where(usable, a, 1.0) / np.where(usable, b, 1.0)


def _limited(scale: Sums) -> Sums:
    return np.clip(scale, LEAST_SCALE, LARGEST_SCALE)


def _affine(scale: Sums, offset: Sums) -> ChannelAffine:
    finite = np.isfinite(offset)
    return ChannelAffine(scale.astype(np.float32), np.where(finite, offset, 0).astype(np.float32))

"""Where the scale and the offset of a layer's channels come from: y = scale[c] * q + offset[c].

Truncation toward zero makes dot products smaller by a nearly constant factor. The estimators differ in how they
compare q, what the layer gives, with y, what it should give, and in whether they allow an offset:

    scale    least squares through the origin
    affine   least squares with an offset, which is held back (see below)
    chain    the mean and the standard deviation of each channel become those of y. Where a channel hardly varies, as
             scale does it, through the origin

All add _PRIOR_VALUES imagined values per channel, which follow the scale of the whole node: a channel of which little
was seen is corrected as its neighbours are. Scales stay within 1/2 ... 2.

The offset is taken after the scale is in the weights, from what the layer then gives.

Tuning of global statistics instead of training: Hubara et al., "Accurate Post Training Quantization With Small
Calibration Sets" (ICML 2021).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lba_onnx.any_values import ANY_VALUES
from lba_onnx.correction.moments import PairedSums, Sums

Factors = NDArray[np.float32]

LEAST_SCALE, LARGEST_SCALE = 0.5, 2.0
_PRIOR_VALUES = 4
_OFFSET_RIDGE = 0.1
"""An offset costs as much as a residual of sqrt(0.1) times its size: outputs that hardly vary are scaled instead."""
_LEAST_SPREAD = 1e-4
"""Variance over squared mean below which `chain` has no slope to go by."""


@dataclass(frozen=True)
class Estimator:
    """How scales and offsets follow from sums over q and y.

    Attributes:
        scale: Called with the sums and whether the layer can take an offset; returns float32 [channels].
        offset: Called with the sums after the scale; returns float32 [channels]. None: there is no offset.
    """

    scale: Callable[[PairedSums, bool], Factors]
    offset: Callable[[PairedSums], Factors] | None


@ANY_VALUES
def _scale(sums: PairedSums, takes_offset: bool = False) -> Factors:
    """Return the scale of y = scale * q."""
    q2, qy = _with_prior(sums)
    return _limited(_ratio(qy, q2))


@ANY_VALUES
def _affine_scale(sums: PairedSums, takes_offset: bool) -> Factors:
    """Return the scale of y = scale * q + offset, the offset held back in proportion to its size."""
    if not takes_offset:
        return _scale(sums)
    q2, qy = _with_prior(sums)
    n, q, y = sums.q.count * (1 + _OFFSET_RIDGE), sums.q.total, sums.y.total
    determinant = q2 * n - q * q  # at least q2 * n * ridge / (1 + ridge), by Cauchy and Schwarz
    return _limited(_ratio(qy * n - q * y, determinant))


@ANY_VALUES
def _affine_offset(sums: PairedSums) -> Factors:
    return _finite((sums.y.total - sums.q.total) / (sums.q.count * (1 + _OFFSET_RIDGE)))


@ANY_VALUES
def _chain_scale(sums: PairedSums, takes_offset: bool) -> Factors:
    """Return the scale that gives q the standard deviation of y; without an offset, its root mean square."""
    q2, y2 = (_shrunk(s.squares / s.count, s.count) for s in (sums.q, sums.y))
    plain = _limited(np.sqrt(_ratio(y2, q2)))
    if not takes_offset:
        return plain
    q_variance, y_variance = (_shrunk(s.variance, s.count) for s in (sums.q, sums.y))
    return np.where(_varies(sums), _limited(np.sqrt(_ratio(y_variance, q_variance))), plain)


@ANY_VALUES
def _chain_offset(sums: PairedSums) -> Factors:
    return _finite(np.where(_varies(sums), sums.y.mean - sums.q.mean, 0))


SCALE = Estimator(_scale, None)
AFFINE = Estimator(_affine_scale, _affine_offset)
CHAIN = Estimator(_chain_scale, _chain_offset)


def _varies(sums: PairedSums) -> NDArray[np.bool_]:
    varies: NDArray[np.bool_] = sums.q.variance > _LEAST_SPREAD * sums.q.mean**2
    return varies


def _with_prior(sums: PairedSums) -> tuple[Sums, Sums]:
    """Return sums of q * q and q * y, with the imagined values of each channel."""
    q2, qy = sums.q.squares, sums.products
    scale = np.clip(_ratio(qy.sum(), q2.sum()), LEAST_SCALE, LARGEST_SCALE)
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


def _limited(scale: Sums) -> Factors:
    return np.clip(scale, LEAST_SCALE, LARGEST_SCALE).astype(np.float32)


def _finite(offset: Sums) -> Factors:
    return np.where(np.isfinite(offset), offset, 0).astype(np.float32)

"""The slow, exact definition of attention: two products in accumulators, and a softmax in float32 between them.

scores = q k^T              in the accumulator of qk, over the head size
scores = scores * scale     one float32 multiplication each
scores = softcap * tanh(scores / softcap), + bias
probabilities = softmax over the keys that a row sees; 0 for all others
y = probabilities v         in the accumulator of pv, over all keys, the first one first

Every kernel gives these bits (docs/numerics.md, "Attention").
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.arithmetic import Accumulator
from lba_onnx.reference.products import matmul

Float32s = NDArray[np.float32]
Multiply = Callable[[Float32s, Float32s, Accumulator], NDArray[Any]]

_LANES = 16
_LEAST = -200.0  # whose exponential is 0 in float32
_LOG2_E = float.fromhex("0x1.71547652b82fep+0")
_LN2_HIGH, _LN2_LOW = float.fromhex("0x1.62e42fefap-1"), float.fromhex("0x1.cf79abc9e3b3ap-40")
_ROUNDER = 1.5 * 2.0**52  # added and subtracted, it rounds to an integer
_FACTORIALS = (3628800, 362880, 40320, 5040, 720, 120, 24, 6, 2, 1, 1)
_SMALL = 2.0**-12  # below it tanh(x) is x - x^3 / 3


@dataclass(frozen=True)
class Softmax:
    """What makes probabilities of scores.

    Attributes:
        scale: What scores are multiplied by.
        softcap: What they are capped at, smoothly; 0 for none.
    """

    scale: float
    softcap: float = 0.0


@dataclass(frozen=True, eq=False)
class Attended:
    """What attention gives.

    Attributes:
        y: [batch, heads, rows, value size].
        scaled: The scores [batch, heads, rows, keys] times the scale.
        capped: These after the soft cap.
        biased: These with the bias.
        probabilities: After the softmax.
    """

    y: Float32s
    scaled: Float32s
    capped: Float32s
    biased: Float32s
    probabilities: Float32s


def attention(
    operands: tuple[Float32s, Float32s, Float32s],
    specs: tuple[Accumulator, Accumulator],
    softmax: Softmax,
    seen: NDArray[np.bool_],
    bias: Float32s | None = None,
    sinks: Float32s | None = None,
    multiply: Multiply = matmul,
) -> Attended:
    """Return attention of heads that share keys in groups.

    Args:
        operands: q [batch, heads, rows, size], k [batch, kv heads, keys, size], v [batch, kv heads, keys, value size].
        specs: The accumulators of q k^T and of probabilities times v.
        softmax: What lies between the products.
        seen: Which keys a row sees; broadcasts to [batch, heads, rows, keys].
        bias: Broadcasts to the scores.
        sinks: A score for each head that takes part in the softmax, and that no key has.
        multiply: The matrix product.
    """
    q, k, v = operands
    k, v = (np.repeat(operand, q.shape[1] // operand.shape[1], axis=1) for operand in (k, v))
    with np.errstate(all="ignore"):
        scaled = multiply(q, np.ascontiguousarray(k.swapaxes(2, 3)), specs[0]) * np.float32(softmax.scale)
        capped = soft_capped(scaled, softmax.softcap)
        biased = capped if bias is None else capped + bias
    seen = np.broadcast_to(seen, biased.shape)
    probabilities = _probabilities(biased, seen, sinks)
    return Attended(_weighted(probabilities, seen, v, specs[1], multiply), scaled, capped, biased, probabilities)


def exponentials(x: Float32s) -> Float32s:
    """Return e^x of values up to 0: range reduction and a polynomial in float64, rounded to float32."""
    with np.errstate(all="ignore"):
        return _exponentials(x.astype(np.float64)).astype(np.float32)


def soft_capped(scores: Float32s, cap: float) -> Float32s:
    """Return cap * tanh(scores / cap), the division and the product in float32; the scores where the cap is 0."""
    if not cap:
        return scores
    with np.errstate(all="ignore"):
        x = (scores / np.float32(cap)).astype(np.float64)
        decay = _exponentials(-2.0 * np.abs(x))
        tangents = np.where(np.abs(x) < _SMALL, x - x * x * x / 3.0, np.copysign((1.0 - decay) / (1.0 + decay), x))
        return np.asarray(tangents.astype(np.float32) * np.float32(cap))


def _exponentials(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.where(x < _LEAST, _LEAST, x)
    k = (x * _LOG2_E + _ROUNDER) - _ROUNDER
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    power = np.full_like(r, 1.0 / _FACTORIALS[0])
    for factorial in _FACTORIALS[1:]:
        power = power * r + 1.0 / factorial
    return np.ldexp(power, np.where(np.isfinite(k), k, 0).astype(np.int64))


def _probabilities(scores: Float32s, seen: NDArray[np.bool_], sinks: Float32s | None) -> Float32s:
    """Return the softmax of what is seen; where nothing is, and where all of it is -inf, 0."""
    with np.errstate(all="ignore"):
        visible = np.where(seen, scores, np.float32(-np.inf))
        sink = np.float32(-np.inf) if sinks is None else sinks.reshape(1, -1, 1, 1)
        largest = np.maximum(visible.max(axis=-1, keepdims=True, initial=-np.inf), sink)
        powers = np.where(seen, exponentials(scores - largest), np.float32(0))
        total = _sum(powers) + exponentials(sink - largest)
        probabilities = np.where(seen, powers / total, np.float32(0))
        return np.asarray(np.where(largest == -np.inf, np.float32(0), probabilities), np.float32)


def _sum(powers: Float32s) -> Float32s:
    """Return the sums over keys: key j in lane j mod 16, then the lanes in halves."""
    padding = -powers.shape[-1] % _LANES
    padded = np.pad(powers, [(0, 0)] * (powers.ndim - 1) + [(0, padding)])
    lanes = np.zeros((*powers.shape[:-1], _LANES), np.float32)
    for start in range(0, padded.shape[-1], _LANES):
        lanes = lanes + padded[..., start : start + _LANES]
    while lanes.shape[-1] > 1:
        half = lanes.shape[-1] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    return lanes


def _weighted(
    probabilities: Float32s, seen: NDArray[np.bool_], v: Float32s, spec: Accumulator, multiply: Multiply
) -> Float32s:
    """Return probabilities times v; what a row does not see is not multiplied, were it infinite."""
    if np.isfinite(v).all():
        return np.asarray(multiply(probabilities, v, spec))
    y = np.empty((*probabilities.shape[:-1], v.shape[-1]), np.float32)
    for index in np.ndindex(*probabilities.shape[:-1]):
        values = np.where(seen[index][:, np.newaxis], v, np.float32(0))
        y[index] = multiply(probabilities, values, spec)[index]  # of all rows, since random bits depend on the place
    return y

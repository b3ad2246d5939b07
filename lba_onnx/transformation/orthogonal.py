"""Orthogonal matrices whose entries are all about equally large, for any size.

    a power of two              Sylvester's Hadamard matrix
    q + 1 or 2 (q + 1)          Paley's, for primes q
    their Kronecker products    576 = 16 x 36, 768 = 64 x 12, 896 = 32 x 28
    otherwise                   a Hadamard matrix of the even part x a random orthogonal one of the rest

Each row is given a random sign, always the same, so that no vector of a model is by chance one of the rows.
"""

import math

import numpy as np
from numpy.typing import NDArray

_SEED = 1
_Matrix = NDArray[np.float64]


def rotation_matrix(size: int, *, keeps_mean: bool = False) -> _Matrix:
    """Return an orthogonal matrix Q [size, size].

    Args:
        size: Its size.
        keeps_mean: Whether a vector of ones stays as it is, so that x Q has the mean of x and Q passes through the mean
            subtraction of a LayerNorm. That takes one reflection, which moves entries by about 1 / size.
    """
    rng = np.random.default_rng(_SEED)
    matrix = rng.choice([-1.0, 1.0], size)[:, None] * _spread(size, rng)
    return _fix_ones(matrix) if keeps_mean else matrix


def hadamard(size: int) -> NDArray[np.int64] | None:
    """Return a matrix of ones and minus ones with orthogonal rows, or None where no construction here gives one."""
    twos = (size & -size).bit_length() - 1
    for exponent in range(twos + 1):
        core = _paley(size >> exponent)
        if core is not None:
            return np.kron(_sylvester(exponent), core)
    return None


def _spread(size: int, rng: np.random.Generator) -> _Matrix:
    whole = hadamard(size)
    if whole is not None:
        return whole / math.sqrt(size)
    twos = (size & -size).bit_length() - 1
    rest, _ = np.linalg.qr(rng.standard_normal((size >> twos, size >> twos)))
    return np.kron(_sylvester(twos) / math.sqrt(1 << twos), rest)


def _sylvester(exponent: int) -> NDArray[np.int64]:
    matrix = np.ones((1, 1), np.int64)
    for _ in range(exponent):
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def _paley(size: int) -> NDArray[np.int64] | None:
    """Return Paley's first or second construction, from the squares modulo a prime; None where there is no prime."""
    if size == 1:
        return np.ones((1, 1), np.int64)
    if size % 4:
        return None
    if _is_prime(size - 1):  # 3 modulo 4
        return _conference(size - 1, -1) + np.eye(size, dtype=np.int64)
    if _is_prime(size // 2 - 1) and size // 2 % 2 == 0 and (size // 2 - 1) % 4 == 1:
        core = _conference(size // 2 - 1, 1)
        ones = np.eye(len(core), dtype=np.int64)
        return np.kron(core, [[1, 1], [1, -1]]) + np.kron(ones, [[1, -1], [-1, -1]])
    return None


def _conference(prime: int, sign: int) -> NDArray[np.int64]:
    """Return the conference matrix of a prime: zeros on the diagonal, rows orthogonal; skew for a sign of -1."""
    squares = {number * number % prime for number in range(1, prime)}
    character = np.array([0, *(1 if number in squares else -1 for number in range(1, prime))])
    places = np.arange(prime)
    matrix = np.zeros((prime + 1, prime + 1), np.int64)
    matrix[0, 1:], matrix[1:, 0] = 1, sign
    matrix[1:, 1:] = character[(places[:, None] - places) % prime]
    return matrix


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


def _fix_ones(matrix: _Matrix) -> _Matrix:
    """Return the matrix reflected so that it maps a vector of ones to itself."""
    ones = np.full(len(matrix), 1 / math.sqrt(len(matrix)))
    normal = matrix @ ones - ones
    length = float(normal @ normal)
    return matrix if length < 1e-24 else matrix - np.outer(normal, (2 / length) * (normal @ matrix))

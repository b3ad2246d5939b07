"""Operands that bring out wrong rounding, flushing, saturation or ordering; shared by the tests of every path."""

import numpy as np
import numpy.typing as npt

KINDS = (
    "normal",
    "overflow",
    "underflow",
    "cancellation",
    "zeros",
    "subnormal",
    "tiny_opposite",
    "few_bits",
    "huge",
    "special",
)


def operand(kind: str, shape: tuple[int, ...], rng: np.random.Generator, scale: float = 1.0) -> npt.NDArray[np.float32]:
    """float32 values of one kind; `scale` moves them to the range of the format under test."""
    x = rng.standard_normal(shape)
    if kind == "overflow":
        x = x * 2.0 ** rng.integers(0, 12, shape)
    elif kind == "underflow":
        x = x * 2.0 ** -rng.integers(0, 20, shape)
    elif kind == "cancellation":
        x = np.where(rng.random(shape) < 0.5, 1.0, -1.0) * (1 + rng.integers(0, 4, shape) * 2.0**-20)
    elif kind == "zeros":
        x = np.where(rng.random(shape) < 0.6, 0.0, x) * np.where(rng.random(shape) < 0.5, -1, 1)
    elif kind == "subnormal":
        x = x * 2.0 ** -rng.integers(100, 149, shape)
        scale = 1.0
    elif kind == "tiny_opposite":
        x = np.where(rng.random(shape) < 0.3, 1.0, -(2.0 ** -rng.integers(20, 90, shape)))
    elif kind == "few_bits":
        x = rng.integers(-7, 8, shape) / 4.0
    elif kind == "huge":
        x = x * 2.0 ** rng.integers(-126, 126, shape)
        scale = 1.0
    with np.errstate(over="ignore", under="ignore"):
        values = (x * scale).astype(np.float32)
    if kind == "special":
        specials = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3.4e38], np.float32)
        values = np.where(rng.random(shape) < 0.05, rng.choice(specials, shape), values).astype(np.float32)
    return values

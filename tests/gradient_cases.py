"""What tests of gradients through PyTorch share: seeded data, gradients of a product, and the bound of float32 sums."""

import zlib

import numpy as np
import pytest

from lba_onnx.arithmetic import AccumulatorSpec

torch = pytest.importorskip("torch", reason="needs PyTorch")

from lba_onnx.torch import lba_matmul  # noqa: E402

M4E3 = AccumulatorSpec.parse("M4E3b5")  # normal data overflow, underflow and swamp in it
UNIT = 2.0**-24  # a float32 rounding is off by at most this share


def seeded(*parts: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(parts).encode()))


def leaf(values: np.ndarray) -> "torch.Tensor":
    return torch.from_numpy(values.copy()).requires_grad_()


def matmul_backward(
    a: np.ndarray, b: np.ndarray, grad: np.ndarray, spec: AccumulatorSpec, estimator: str, statistics: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of a and b through lba_matmul."""
    left, right = leaf(a), leaf(b)
    y = lba_matmul(left, right, spec=spec, estimator=estimator, statistics=statistics)
    y.backward(torch.from_numpy(grad))
    return left.grad.numpy(), right.grad.numpy()


def assert_within_rounding(actual: np.ndarray, expected: np.ndarray, magnitudes: np.ndarray, terms: int) -> None:
    """Hold float32 sums of rounded products to the exact ones: (1 + UNIT)^terms - 1 bounds each share that is lost."""
    assert (np.abs(actual - expected) <= ((1 + UNIT) ** terms - 1) * magnitudes).all()

"""lba_onnx.matmul and lba_onnx.conv of arrays in a CUDA device's memory, with the bits of the processor."""

from typing import Any

import gpu_device
import numpy as np
import pytest
from gpu_cases import first_difference

import lba_onnx
from lba_onnx import AccumulatorSpec

SPEC = AccumulatorSpec.parse("M7E4b10")
pytestmark = [
    *gpu_device.marks(),
    pytest.mark.skipif(gpu_device.is_emulated(), reason="CuPy and PyTorch do not know the emulated device"),
]


@pytest.fixture
def cupy() -> Any:
    return pytest.importorskip("cupy", reason="needs CuPy", exc_type=ImportError)


@pytest.fixture
def torch() -> Any:
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    return torch


def assert_same(actual: np.ndarray, expected: np.ndarray) -> None:
    assert first_difference(actual, expected) is None


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


@pytest.mark.parametrize("shapes", [((65, 70), (70, 33)), ((3, 1, 20, 40), (2, 40, 50)), ((70,), (70, 9))])
def test_matmul_of_cupy_arrays(cupy: Any, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = (draw(*shape) for shape in shapes)
    y = lba_onnx.matmul(cupy.asarray(a), cupy.asarray(b), SPEC)
    assert isinstance(y, cupy.ndarray)
    assert_same(cupy.asnumpy(y), lba_onnx.matmul(a, b, SPEC))


def test_matmul_of_cupy_views_on_the_current_stream(cupy: Any) -> None:
    a, b = draw(65, 70), draw(33, 70)
    with cupy.cuda.Stream(non_blocking=True) as stream:
        # The sum is queued before the product and the product before the copy: all in the order of the stream.
        doubled, plain = cupy.asarray(a) + cupy.asarray(a), cupy.asarray(b)
        y = lba_onnx.matmul(doubled[::2], plain.T, SPEC)
        result = cupy.asnumpy(y, stream=stream)
    stream.synchronize()
    assert_same(result, lba_onnx.matmul(np.ascontiguousarray((a + a)[::2]), b.T, SPEC))


@pytest.mark.parametrize("group", [1, 2, 8])
def test_conv_of_cupy_arrays(cupy: Any, group: int) -> None:
    x, w, window = draw(2, 8, 13, 11), draw(16, 8 // group, 3, 3), {"pads": (1, 1, 1, 1), "group": group}
    y = lba_onnx.conv(cupy.asarray(x), cupy.asarray(w), SPEC, **window)
    assert_same(cupy.asnumpy(y), lba_onnx.conv(x, w, SPEC, **window))


def test_matmul_of_half_arrays_is_rounded_once(cupy: Any) -> None:
    a, b = draw(65, 70).astype(np.float16), draw(70, 33).astype(np.float16)
    expected = lba_onnx.matmul(a.astype(np.float32), b.astype(np.float32), SPEC).astype(np.float16)
    y = lba_onnx.matmul(cupy.asarray(a), cupy.asarray(b), SPEC)
    assert_same(cupy.asnumpy(y), expected)


def test_products_of_torch_tensors(cupy: Any, torch: Any) -> None:
    a, b, x, w = draw(65, 70), draw(70, 33), draw(2, 8, 13, 11), draw(16, 8, 3, 3)
    on_device = {name: torch.from_numpy(value).cuda() for name, value in {"a": a, "b": b, "x": x, "w": w}.items()}
    assert_same(cupy.asnumpy(lba_onnx.matmul(on_device["a"], on_device["b"], SPEC)), lba_onnx.matmul(a, b, SPEC))
    assert_same(cupy.asnumpy(lba_onnx.conv(on_device["x"], on_device["w"], SPEC)), lba_onnx.conv(x, w, SPEC))

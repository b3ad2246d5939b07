"""Whole models at a large batch on a CUDA device: low-bit products against float32 ones, TF32 off.

Where onnxruntime has CUDAExecutionProvider, it runs the converted and the float32 model. Elsewhere PyTorch runs both,
eagerly, with the low-bit products by the library's C entry points; every product of the first run is compared with the
CPU library's.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.checks import check_bits
from benchmarks.cuda.clock import Effort, Timer, measure, ratio
from benchmarks.cuda.products import conv_shape, geometry_of
from benchmarks.cuda.report import Column, Row
from lba_onnx import kernels
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.native.cuda import (
    Call,
    DeviceBuffer,
    Tensor,
    Weights,
    conv_call,
    matmul_call,
    pack,
    queue,
    workspace_bytes,
)

SPEC = AccumulatorSpec.parse("M7E4b10")
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
TARGET = 8.0  # times slower than float32
COLUMNS = (
    Column("case", "model"),
    Column("batch", "batch", "d"),
    Column("how", "how"),
    Column("float32_ms", "float32 ms", ".2f"),
    Column("lba_ms", "LBA ms", ".2f"),
    Column("slower_than_float32", "times slower", ".2f"),
    Column("verdict", ""),
)


class LowBitProducts:
    """The products of one model in PyTorch's memory; weights are packed at their first use.

    Args:
        spec: The arithmetic of all.
        stream: Tells the stream on which PyTorch queues.
    """

    def __init__(self, spec: AccumulatorSpec, stream: Callable[[], int]) -> None:
        self._spec, self._stream = spec, stream
        self._weights: dict[str, Weights] = {}
        self._workspace = DeviceBuffer(0)  # of all calls, which follow each other on one stream

    def conv(self, name: str, x: Any, w: Any, bias: Any, attributes: dict[str, Any]) -> Any:
        """As executor.Products says."""
        x, geometry = x.contiguous(), geometry_of(attributes, 2)
        y = x.new_empty(conv_shape(tuple(x.shape), tuple(w.shape), geometry))
        call = conv_call(_place(x), _place(w), y.data_ptr(), self._spec, geometry, bias=_place(bias))
        return self._queue(name, call, y, packs=True)

    def matmul(self, name: str, a: Any, b: Any) -> Any:
        """As executor.Products says."""
        packs = b.ndim == 2
        b = b.expand(*a.shape[:-2], *b.shape[-2:])
        y = a.new_empty((*a.shape[:-1], b.shape[-1]))
        return self._queue(name, matmul_call(_place(a), _place(b), y.data_ptr(), self._spec), y, packs)

    def release(self) -> None:
        """Give the packed weights and the workspace back."""
        for weights in self._weights.values():
            weights.release()
        self._weights.clear()
        self._workspace.free()

    def _queue(self, name: str, call: Call, y: Any, packs: bool) -> Any:
        if packs and name not in self._weights:
            self._weights[name] = pack(call)
        weights = self._weights.get(name)
        size = workspace_bytes(call, weights)
        if size > self._workspace.size_bytes:
            self._workspace.free()  # waits for the calls that use it
            self._workspace = DeviceBuffer(size)
        queue(call, self._workspace.pointer, size, self._stream(), weights)
        return y


class CheckedProducts:
    """Products that are computed and compared with the CPU library's on the first of the batch."""

    def __init__(self, products: LowBitProducts, spec: AccumulatorSpec) -> None:
        self._products, self._spec, self.count = products, spec, 0

    def conv(self, name: str, x: Any, w: Any, bias: Any, attributes: dict[str, Any]) -> Any:
        """As executor.Products says."""
        y = self._products.conv(name, x, w, bias, attributes)
        expected = kernels.conv(_to_host(x[:1]), _to_host(w), self._spec, **attributes)
        self._compare(name, y, expected + _to_host(bias)[:, np.newaxis, np.newaxis])
        return y

    def matmul(self, name: str, a: Any, b: Any) -> Any:
        """As executor.Products says."""
        y = self._products.matmul(name, a, b)
        self._compare(name, y, kernels.matmul(_to_host(a[:1]), _to_host(b if b.ndim == 2 else b[:1]), self._spec))
        return y

    def _compare(self, name: str, y: Any, expected: np.ndarray) -> None:
        check_bits(_to_host(y[:1]), expected, f"node {name}")
        self.count += 1


def _place(tensor: Any) -> Tensor:
    return Tensor(tensor.data_ptr(), tuple(tensor.shape), tensor.stride())


def _to_host(tensor: Any) -> np.ndarray:
    return np.ascontiguousarray(tensor.cpu().numpy())


def run_in_torch(name: str, model: Any, x: np.ndarray, device: str, timer: Timer, effort: Effort) -> Row:
    """Check and time one model of networks in PyTorch.

    Raises:
        CheckFailed: A product has other bits than the CPU library's.
    """
    import torch

    from benchmarks.cuda.executor import Executor, Float32Products

    on_cuda = device.startswith("cuda")
    products = LowBitProducts(SPEC, lambda: torch.cuda.current_stream().cuda_stream if on_cuda else 0)
    executor, values = Executor(model, device), torch.from_numpy(x).to(device)
    try:
        checked = CheckedProducts(products, SPEC)
        executor.run(values, checked)
        runs = [partial(executor.run, values, products), partial(executor.run, values, Float32Products())]
        timings = measure(timer, runs, effort)
    finally:
        products.release()
    how = "whole model in PyTorch, eager; low-bit products by the C entry points"
    return {
        **_describe(name, len(x), how, timings[0].median, timings[1].median, ratio(timings[0], timings[1])),
        "checked_products": checked.count,
    }


def run_in_onnxruntime(name: str, model: Any, x: np.ndarray, timer: Timer, effort: Effort) -> Row:
    """Time one model in onnxruntime's CUDA provider, inputs and outputs on the device; the nodes have tests of bits."""
    import onnxruntime

    import lba_onnx
    from benchmarks.cuda.networks import INPUT

    def runner(of_model: Any) -> Callable[[], object]:
        session = lba_onnx.make_session(of_model, None, [CUDA, CPU])
        binding = session.io_binding()
        binding.bind_ortvalue_input(INPUT, onnxruntime.OrtValue.ortvalue_from_numpy(x, "cuda", 0))
        binding.bind_output(session.get_outputs()[0].name, "cuda")
        return lambda: session.run_with_iobinding(binding)

    converted = lba_onnx.convert(model, SPEC)[0]
    timings = measure(timer, [runner(converted), runner(model)], effort)
    how = "whole model in onnxruntime's CUDA provider, TF32 off"
    return _describe(name, len(x), how, timings[0].median, timings[1].median, ratio(timings[0], timings[1]))


def sum_of_layers(name: str, batch: int, rows: Iterable[Row]) -> Row | None:
    """The products of a model alone, from the measured layers; None where one is missing."""
    rows = [row for row in rows if row["case"].startswith(f"{name} ")]
    if not rows or any("float32_ms" not in row for row in rows):
        return None
    lba, float32 = (sum(row["repeats"] * row[key] for row in rows) / 1e3 for key in ("ms", "float32_ms"))
    how = f"sum over the model's layer shapes, {rows[0]['variant']}; nothing but products"
    return _describe(name, batch, how, lba, float32, lba / float32)


def _describe(name: str, batch: int, how: str, lba: float, float32: float, slower: float) -> Row:
    return {
        "case": name,
        "batch": batch,
        "how": how,
        "spec": str(SPEC),
        "lba_ms": lba * 1e3,
        "float32_ms": float32 * 1e3,
        "slower_than_float32": slower,
        "target": TARGET,
        "verdict": "met" if slower <= TARGET else "missed",
    }

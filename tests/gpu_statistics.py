"""What one call of a node collects: counted on the device, and by the CPU library."""

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
from gpu_cases import Case, MatMulCase
from statistics_numbers import numbers

from benchmarks.cuda.products import conv_shape, geometry_of
from lba_onnx import native
from lba_onnx.native.cuda import statistics

_RUNS = itertools.count()


def statistics_difference(case: Case, number: int, fraction: float) -> str | None:
    """How the statistics of a node's call after `number` others differ; None where they do not."""
    case = _with_batches_in_full(case)
    with case.on_device(packs=False) as on_device:
        actual = numbers(statistics(on_device.call, number, fraction))
    others, all_calls = _on_processor(case, number, fraction)
    for name, found in actual.items():
        wanted = all_calls[name] if name.endswith("max_abs") else all_calls[name] - others.get(name, 0)
        if not np.array_equal(found, wanted):
            return f"call {number}, fraction {fraction:.3g}, {name}: expected {wanted}, got {found}"
    return None


def _on_processor(case: Case, number: int, fraction: float) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Statistics before and after the last of `number` + 1 calls; the operands of those before are zeros."""
    run = f"gpu{next(_RUNS)}"
    key = f"{run}/node"
    compute = partial(_compute_matmul if isinstance(case, MatMulCase) else _compute_conv, case, key)
    native.statistics_open(run, fraction)
    try:
        for _ in range(number):
            compute(is_zero=True)
        before = numbers(native.statistics_read(key))
        compute(is_zero=False)
        return before, numbers(native.statistics_read(key))
    finally:
        native.statistics_close(run)


def _with_batches_in_full(case: Case) -> Case:
    """Each product of a batch with a B of its own: where they share one, the batch becomes more rows to sample."""
    if not isinstance(case, MatMulCase) or case.a.ndim == case.b.ndim == 2:
        return case
    batch = np.broadcast_shapes(case.a.shape[:-2], case.b.shape[:-2])
    a, b = (np.broadcast_to(value, (*batch, *value.shape[-2:])).copy() for value in (case.a, case.b))
    return replace(case, a=a, b=b)


def _compute_matmul(case: Case, key: str, is_zero: bool) -> None:
    a, b = (value.reshape(-1, *value.shape[-2:]).astype(np.float32) for value in (case.a, case.b))
    native.matmul(np.zeros_like(a) if is_zero else a, b, case.spec, 2, key)


def _compute_conv(case: Case, key: str, is_zero: bool) -> None:
    x, w = (np.ascontiguousarray(value.astype(np.float32)) for value in (case.x, case.w))
    geometry = geometry_of(case.attributes, x.ndim - 2)
    shape = conv_shape(x.shape, w.shape, geometry)
    native.conv(np.zeros_like(x) if is_zero else x, w, case.spec, geometry, shape, 2, key)

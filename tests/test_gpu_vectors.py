"""The golden vectors on a CUDA device, by tiles of every shape."""

from itertools import islice

import gpu_device
import numpy as np
import pytest
from gpu_cases import ConvCase, MatMulCase, first_difference, golden_cases

from benchmarks.cuda.products import conv_shape, geometry_of
from lba_onnx.native.cuda import conv_host, matmul_host

pytestmark = gpu_device.marks()
STEP = gpu_device.scaled(1, 10)


@pytest.mark.parametrize("tile", gpu_device.TILES)
@pytest.mark.parametrize("kind", ["dot", "matmul", "conv"])
def test_device_meets_every_vector(kind: str, tile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpu_device.TILE_VARIABLE, tile)
    checked = 0
    first = gpu_device.TILES.index(tile) % STEP  # others for each tile, where there is no time for all
    for case, expected in islice(golden_cases(kind), first, None, STEP):
        for packs in (False, True):
            with case.on_device(packs) as on_device:
                difference = first_difference(on_device.compute(), expected)
            assert difference is None, f"{case.what} {case.spec} packs {packs}: {difference}"
        checked += 1
    assert checked >= 40 // STEP


@pytest.mark.parametrize("kind", ["dot", "matmul", "conv"])
def test_copies_there_and_back_meet_every_vector(kind: str) -> None:
    for case, expected in islice(golden_cases(kind), None, None, STEP):
        difference = first_difference(_compute_from_host(case), expected)
        assert difference is None, f"{case.what} {case.spec}: {difference}"


def _compute_from_host(case: MatMulCase | ConvCase) -> np.ndarray:
    if isinstance(case, MatMulCase):
        return matmul_host(case.a, case.b, case.spec)
    geometry = geometry_of(case.attributes, case.x.ndim - 2)
    return conv_host(case.x, case.w, case.spec, geometry, conv_shape(case.x.shape, case.w.shape, geometry))

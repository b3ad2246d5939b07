"""What the statistics mode counts on a CUDA device is what it counts on the processor."""

import gpu_device
import numpy as np
import pytest
from gpu_cases import DRAWS
from gpu_statistics import statistics_difference

pytestmark = gpu_device.marks()
CASES = gpu_device.scaled(60, 2)
MOST_MULTIPLIES = gpu_device.scaled(1 << 20, 1 << 12)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("kind", ["matmul", "strided", "batched", "conv", "depthwise"])
def test_statistics_equal_those_of_the_processor(kind: str, dtype: type) -> None:
    first = gpu_device.seed_of("statistics", kind, dtype.__name__)
    for seed in range(first, first + CASES):
        case = DRAWS[kind](np.random.default_rng(seed), dtype, MOST_MULTIPLIES)
        for number, fraction in ((0, 1.0), (0, 1 / 16), (3, 1 / 16), (1, 1e-9)):
            difference = statistics_difference(case, number, fraction)
            assert difference is None, f"seed {seed}, {case.what}, {case.spec}: {difference}"

"""A few products and convolutions by every kernel and tile, checked: what compute-sanitizer watches.

Prints how many it has computed.
"""

import os

import gpu_device
import numpy as np
from gpu_cases import DRAWS, first_difference
from gpu_statistics import statistics_difference

CASES = gpu_device.scaled(4, 2)
MOST_MULTIPLIES = 1 << 17


def main() -> None:
    """Compute and compare."""
    computed = 0
    for tile in gpu_device.TILES:
        os.environ[gpu_device.TILE_VARIABLE] = tile
        for name, draw in DRAWS.items():
            for seed in range(CASES):
                dtype = np.float16 if seed % 3 == 2 else np.float32
                case = draw(np.random.default_rng(seed), dtype, MOST_MULTIPLIES)
                with case.on_device(packs=seed % 2 == 0) as on_device:
                    difference = first_difference(on_device.compute(), case.expected())
                if name != "gemm" and difference is None:
                    difference = statistics_difference(case, seed, 0.5)
                if difference is not None:
                    raise SystemExit(f"seed {seed}, {tile} tiles, {case.what}, {case.spec}: {difference}")
                computed += 1
    print(f"computed {computed} cases")


if __name__ == "__main__":
    main()

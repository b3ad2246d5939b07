"""What the tests of sweeps share: a small model with labelled images, and metrics that take time or end the process."""

import os
import time
from dataclasses import fields
from typing import Any

import numpy as np
import small_models

from lba_onnx import Execution, Samples
from lba_onnx.data.execution import Progress
from lba_onnx.sweeping import Sweep, Work, sweep

IMAGES = 32
DATA = {"x": small_models.images(IMAGES), "label": np.arange(IMAGES) % 10}
GRID: dict[str, Any] = {"families": ("M7E4", "M5E4"), "biases": (8, 11)}
SAMPLES = Samples(DATA, batch_size=2)
PARTS = {"shard_size": 4}
_OF_WORK = {field.name for field in fields(Work)}


def run(data: Samples = SAMPLES, progress: Progress | None = None, **settings: Any) -> Sweep:
    """Sweep over four points in eight shards; settings are fields of `Work`, and what else `sweep` takes."""
    work = Work(**{**PARTS, **{name: settings.pop(name) for name in _OF_WORK & settings.keys()}})
    return sweep(
        small_models.network(), data, **{**GRID, **settings}, work=work, execution=Execution(progress=progress)
    )


def slow(outputs: dict[str, np.ndarray], labels: np.ndarray | None) -> np.ndarray:
    """A metric that takes 5 ms a batch, so that a worker can be lost in the middle."""
    time.sleep(0.005)
    return outputs["y"][:, 0]


def wrong(outputs: dict[str, np.ndarray], labels: np.ndarray | None) -> float:
    """A metric that is none."""
    return 0.0


def deadly(outputs: dict[str, np.ndarray], labels: np.ndarray | None) -> np.ndarray:
    """A metric that ends the process it runs in."""
    os._exit(1)


def first(outputs: dict[str, np.ndarray], labels: np.ndarray | None) -> np.ndarray:
    """The first score."""
    return outputs["y"][:, 0]

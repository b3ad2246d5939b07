"""The user's own metric: one number per sample, larger is better."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.hooks import function_name, load_function

Metric = Callable[[dict[str, NDArray[Any]], NDArray[Any] | None], Any]
"""Called with the outputs by name and the labels [samples] (None without); returns numbers or truths [samples]."""


def load_metric(metric: Metric | str | None) -> Metric | None:
    """Return the function that is meant by "module:function"; a function or None as it is.

    Raises:
        ValueError: There is no such function.
    """
    return load_function(metric) if isinstance(metric, str) else metric


def measure(
    metric: Metric, outputs: dict[str, NDArray[Any]], labels: NDArray[Any] | None, samples: int
) -> NDArray[Any]:
    """Return the metric of each sample of a batch, bool or float64 [samples].

    Raises:
        ValueError: The metric returned something else than a number per sample.
    """
    returned = metric(outputs, labels)
    try:
        values = np.asarray(returned)
    except ValueError:  # lists of different lengths
        values = np.empty((), object)
    if values.dtype.kind not in "biuf" or values.shape != (samples,):
        raise ValueError(
            f"metric {function_name(metric)}: expected a number per sample, [{samples}], "
            f"got {type(returned).__name__} of {values.dtype} {list(values.shape)}"
        )
    return values if values.dtype == bool else values.astype(np.float64)

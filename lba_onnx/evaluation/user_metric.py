"""The user's own metric: one number per sample, larger is better."""

from collections.abc import Callable, Mapping
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
    metric: Metric, outputs: Any, labels: Any, samples: int, origin_of: Callable[[int], str] = "sample {}".format
) -> NDArray[Any]:
    """Return the metric of each sample of a batch, bool or float64 [samples].

    Args:
        metric: The user's metric.
        outputs: What it is called with: the outputs by name.
        labels: And their labels.
        samples: How many samples there are.
        origin_of: Says where a sample of the batch comes from, for messages.

    Raises:
        ValueError: The metric returned something else than a number per sample, or one that is not finite although the
            outputs are.
    """
    returned = metric(outputs, labels)
    try:
        values = np.asarray(returned)
    except Exception:  # lists of different lengths; tensors that have to be moved first
        values = np.empty((), object)
    if values.dtype.kind not in "biuf" or values.shape != (samples,):
        raise ValueError(
            f"metric {function_name(metric)}: expected a number per sample, [{samples}], "
            f"got {type(returned).__name__} of {values.dtype} {list(values.shape)}"
        )
    if values.dtype == bool:
        return values
    is_finite = np.isfinite(values)
    if not is_finite.all() and _are_finite(outputs):
        index = int(is_finite.argmin())
        raise ValueError(
            f"metric {function_name(metric)}: expected a finite number per sample, "
            f"got {values[index]} for {origin_of(index)}"
        )
    return values.astype(np.float64)


def _are_finite(outputs: Any) -> bool:
    """Return whether outputs are arrays by name without infinities and NaN, which a metric could only pass on."""
    if not isinstance(outputs, Mapping) or not all(isinstance(array, np.ndarray) for array in outputs.values()):
        return False
    return all(bool(np.isfinite(array).all()) for array in outputs.values() if array.dtype.kind == "f")

"""How large values of a model get, channel by channel, on samples."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx.data.batches import read_batches
from lba_onnx.data.execution import Execution
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.data.samples import Samples
from lba_onnx.evaluation.outputs import run_by_name
from lba_onnx.rewrite.model_files import OpenModel
from lba_onnx.rewrite.model_writer import runnable
from lba_onnx.session import make_session


@dataclass(frozen=True, eq=False)
class ChannelRange:
    """The smallest and the largest value of each channel, float32 [channels]."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]

    def joined(self, other: "ChannelRange") -> "ChannelRange":
        """Return the range that holds both."""
        return ChannelRange(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def largest(self, offset: NDArray[np.float32] | float = 0.0) -> NDArray[np.float32]:
        """Return the largest magnitude of each channel, an offset subtracted from the values."""
        sizes: NDArray[np.float32] = np.maximum(np.abs(self.low - offset), np.abs(self.high - offset))
        return sizes


def channel_ranges(
    opened: OpenModel, axes: Mapping[str, int], samples: Samples, execution: Execution
) -> dict[str, ChannelRange]:
    """Return the ranges of some values of a model.

    Args:
        opened: The model.
        axes: The values' names, and the axis of each that runs over channels.
        samples: What the model runs on.
        execution: How it runs.

    Raises:
        DataError: The data cannot be read or do not fit the model.
    """
    found: dict[str, ChannelRange] = {}
    with runnable(_showing(opened, list(axes))) as source:
        session = make_session(source, providers=execution.providers)
    for batch in read_batches(samples, describe_inputs(session)):
        for name, values in run_by_name(session, batch, list(axes), "the model").items():
            seen = _range(values, axes[name])
            found[name] = found[name].joined(seen) if name in found else seen
    return found


def _range(values: NDArray[np.float32], axis: int) -> ChannelRange:
    others = tuple(index for index in range(values.ndim) if index != axis % values.ndim)
    return ChannelRange(values.min(others), values.max(others))


def _showing(opened: OpenModel, values: list[str]) -> OpenModel:
    """Return a copy of a model that gives values of it as outputs, too."""
    copy = OpenModel(onnx.ModelProto(), opened.path)
    copy.proto.CopyFrom(opened.proto)
    for value in values:
        copy.proto.graph.output.append(onnx.helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, None))
    return copy

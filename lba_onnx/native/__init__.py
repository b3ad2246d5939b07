"""The one place that knows the C entry points of the native library (custom_ops/include/lba/c_api.h)."""

from lba_onnx.native.gradients import Gradients, conv_gradients, matmul_gradients
from lba_onnx.native.keys import run_key
from lba_onnx.native.library import (
    CPU_PATHS,
    LIBRARY_NAME,
    LOG2_BINS,
    LOG2_OFFSET,
    cpu_path,
    integer_path,
    kinds,
    library_path,
    version,
)
from lba_onnx.native.library import path_counts as path_counts
from lba_onnx.native.observer import ObservedCall, ObservedConv, ObservedMatMul, Observer, observer_close, observer_open
from lba_onnx.native.products import ConvGeometry, conv, matmul
from lba_onnx.native.statistics import (
    LevelStatistics,
    Statistics,
    accumulator_levels,
    statistics_close,
    statistics_forget_largest,
    statistics_open,
    statistics_read,
)
from lba_onnx.native.watched_run import Run, RunProgress
from lba_onnx.native.zero_points import ZeroPoints

__all__ = [
    "CPU_PATHS",
    "LIBRARY_NAME",
    "LOG2_BINS",
    "LOG2_OFFSET",
    "ConvGeometry",
    "Gradients",
    "LevelStatistics",
    "ObservedCall",
    "ObservedConv",
    "ObservedMatMul",
    "Observer",
    "Run",
    "RunProgress",
    "Statistics",
    "ZeroPoints",
    "accumulator_levels",
    "conv",
    "conv_gradients",
    "cpu_path",
    "integer_path",
    "kinds",
    "library_path",
    "matmul",
    "matmul_gradients",
    "observer_close",
    "observer_open",
    "path_counts",
    "run_key",
    "statistics_close",
    "statistics_forget_largest",
    "statistics_open",
    "statistics_read",
    "version",
]

"""Runs ONNX models with low bit-width accumulators, exact to the bit, in stock onnxruntime.

The names below are imported when first used, so that `import lba_onnx` is quick and loads no native code.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lba_onnx.after_import import after_import
from lba_onnx.version import __version__ as __version__

if TYPE_CHECKING:
    from lba_onnx.arithmetic import Accumulator as Accumulator
    from lba_onnx.arithmetic import AccumulatorSpec as AccumulatorSpec
    from lba_onnx.arithmetic import FloatFormat as FloatFormat
    from lba_onnx.calibration import Calibration as Calibration
    from lba_onnx.calibration import calibrate as calibrate
    from lba_onnx.correction import CorrectionReport as CorrectionReport
    from lba_onnx.correction import Tuning as Tuning
    from lba_onnx.correction import correct as correct
    from lba_onnx.costing import ModelCost as ModelCost
    from lba_onnx.costing import cost as cost
    from lba_onnx.data.execution import Execution as Execution
    from lba_onnx.data.samples import Samples as Samples
    from lba_onnx.diagnosis import Diagnosis as Diagnosis
    from lba_onnx.diagnosis import debug as debug
    from lba_onnx.diagnosis import promote_until as promote_until
    from lba_onnx.errors import LbaError as LbaError
    from lba_onnx.evaluation import Comparison as Comparison
    from lba_onnx.evaluation import Evaluation as Evaluation
    from lba_onnx.evaluation import compare as compare
    from lba_onnx.evaluation import evaluate as evaluate
    from lba_onnx.kernels import conv as conv
    from lba_onnx.kernels import matmul as matmul
    from lba_onnx.ops import reference_evaluator as reference_evaluator
    from lba_onnx.post_training import ConvertedModel as ConvertedModel
    from lba_onnx.post_training import convert_with_data as convert_with_data
    from lba_onnx.rewrite import ConversionReport as ConversionReport
    from lba_onnx.rewrite import ModelFile as ModelFile
    from lba_onnx.rewrite import Selection as Selection
    from lba_onnx.rewrite import convert as convert
    from lba_onnx.searching import Search as Search
    from lba_onnx.searching import search as search
    from lba_onnx.session import get_library_path as get_library_path
    from lba_onnx.session import make_session as make_session
    from lba_onnx.session import register_custom_ops as register_custom_ops
    from lba_onnx.sweeping import Sweep as Sweep
    from lba_onnx.sweeping import Work as Work
    from lba_onnx.sweeping import sweep as sweep
    from lba_onnx.transformation import TransformationReport as TransformationReport
    from lba_onnx.transformation import transform as transform

_HOMES = {
    "Accumulator": "arithmetic",
    "AccumulatorSpec": "arithmetic",
    "Calibration": "calibration",
    "Comparison": "evaluation",
    "ConversionReport": "rewrite",
    "ConvertedModel": "post_training",
    "CorrectionReport": "correction",
    "Diagnosis": "diagnosis",
    "Evaluation": "evaluation",
    "Execution": "data.execution",
    "FloatFormat": "arithmetic",
    "LbaError": "errors",
    "ModelCost": "costing",
    "ModelFile": "rewrite",
    "Samples": "data.samples",
    "Search": "searching",
    "Selection": "rewrite",
    "Sweep": "sweeping",
    "TransformationReport": "transformation",
    "Tuning": "correction",
    "Work": "sweeping",
    "calibrate": "calibration",
    "compare": "evaluation",
    "conv": "kernels",
    "convert": "rewrite",
    "convert_with_data": "post_training",
    "correct": "correction",
    "cost": "costing",
    "debug": "diagnosis",
    "evaluate": "evaluation",
    "get_library_path": "session",
    "make_session": "session",
    "matmul": "kernels",
    "promote_until": "diagnosis",
    "reference_evaluator": "ops",
    "register_custom_ops": "session",
    "search": "searching",
    "sweep": "sweeping",
    "transform": "transformation",
}
_MODULES = {"reference"}

__all__ = sorted([*_HOMES, *_MODULES, "__version__"])


def _register_schemas() -> None:
    """Tell onnx of the operators (`lba_onnx.operators.registration`)."""
    importlib.import_module("lba_onnx.operators.registration").register_quietly()


after_import("onnx", _register_schemas)


def __getattr__(name: str) -> Any:
    """Import a public name from its module, or a public module, at first use."""
    if name in _HOMES:
        value = getattr(importlib.import_module(f"lba_onnx.{_HOMES[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"lba_onnx.{name}")
    else:
        raise AttributeError(f"module 'lba_onnx' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

"""PyTorch models with low bit-width accumulators: fine-tuning by the paper's estimators, calibration, export to ONNX.

Needs the extra `torch`: pip install 'lba-onnx[torch]'. The names below are imported when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lba_onnx.torch.calibration import calibrate as calibrate
    from lba_onnx.torch.calibration.batches import Batches as Batches
    from lba_onnx.torch.exporting.check import check_export as check_export
    from lba_onnx.torch.exporting.export import export as export
    from lba_onnx.torch.exporting.export import export_float32 as export_float32
    from lba_onnx.torch.exporting.report import ExportCheck as ExportCheck
    from lba_onnx.torch.layers.config import LbaConfig as LbaConfig
    from lba_onnx.torch.layers.float8 import Float8InputQuantizer as Float8InputQuantizer
    from lba_onnx.torch.layers.float8 import Float8Quantizer as Float8Quantizer
    from lba_onnx.torch.layers.float8_layers import quantize_float8_ as quantize_float8_
    from lba_onnx.torch.layers.modules import LbaConv1d as LbaConv1d
    from lba_onnx.torch.layers.modules import LbaConv2d as LbaConv2d
    from lba_onnx.torch.layers.modules import LbaConv3d as LbaConv3d
    from lba_onnx.torch.layers.modules import LbaLinear as LbaLinear
    from lba_onnx.torch.layers.quantize import quantize_ as quantize_
    from lba_onnx.torch.layers.quantize import set_specs_ as set_specs_
    from lba_onnx.torch.layers.quantize import set_underflow_ as set_underflow_
    from lba_onnx.torch.layers.sites import LbaSite as LbaSite
    from lba_onnx.torch.layers.sites import lba_modules as lba_modules
    from lba_onnx.torch.layers.sites import lba_sites as lba_sites
    from lba_onnx.torch.operators.functional import lba_conv1d as lba_conv1d
    from lba_onnx.torch.operators.functional import lba_conv2d as lba_conv2d
    from lba_onnx.torch.operators.functional import lba_conv3d as lba_conv3d
    from lba_onnx.torch.operators.functional import lba_linear as lba_linear
    from lba_onnx.torch.operators.functional import lba_matmul as lba_matmul
    from lba_onnx.torch.operators.functional import lba_scaled_dot_product_attention as lba_scaled_dot_product_attention
    from lba_onnx.torch.training.callbacks import lightning_dual_stage as lightning_dual_stage
    from lba_onnx.torch.training.callbacks import lightning_gating as lightning_gating
    from lba_onnx.torch.training.callbacks import trainer_dual_stage as trainer_dual_stage
    from lba_onnx.torch.training.callbacks import trainer_gating as trainer_gating
    from lba_onnx.torch.training.dual_stage import DualStage as DualStage
    from lba_onnx.torch.training.monitor import GatedGradientsWarning as GatedGradientsWarning
    from lba_onnx.torch.training.monitor import GatingMonitor as GatingMonitor

_HOMES = {
    "Batches": "calibration.batches",
    "DualStage": "training.dual_stage",
    "ExportCheck": "exporting.report",
    "Float8InputQuantizer": "layers.float8",
    "Float8Quantizer": "layers.float8",
    "GatedGradientsWarning": "training.monitor",
    "GatingMonitor": "training.monitor",
    "LbaConfig": "layers.config",
    "LbaConv1d": "layers.modules",
    "LbaConv2d": "layers.modules",
    "LbaConv3d": "layers.modules",
    "LbaLinear": "layers.modules",
    "LbaSite": "layers.sites",
    "calibrate": "calibration",
    "check_export": "exporting.check",
    "export": "exporting.export",
    "export_float32": "exporting.export",
    "lba_conv1d": "operators.functional",
    "lba_conv2d": "operators.functional",
    "lba_conv3d": "operators.functional",
    "lba_linear": "operators.functional",
    "lba_matmul": "operators.functional",
    "lba_modules": "layers.sites",
    "lba_scaled_dot_product_attention": "operators.functional",
    "lba_sites": "layers.sites",
    "lightning_dual_stage": "training.callbacks",
    "lightning_gating": "training.callbacks",
    "quantize_": "layers.quantize",
    "quantize_float8_": "layers.float8_layers",
    "set_specs_": "layers.quantize",
    "set_underflow_": "layers.quantize",
    "trainer_dual_stage": "training.callbacks",
    "trainer_gating": "training.callbacks",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name from its module at first use.

    Raises:
        ImportError: PyTorch is not installed.
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'lba_onnx.torch' has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f"lba_onnx.torch.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("torch", "onnxscript"):
            raise
        raise ImportError(
            f"lba_onnx.torch.{name} needs the package {error.name}; install it: pip install 'lba-onnx[torch]'"
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

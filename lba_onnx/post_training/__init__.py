"""The whole way without training: calibrated, converted, corrected, and measured beside float32."""

from lba_onnx.post_training.result import ConvertedModel
from lba_onnx.post_training.run import convert_only, convert_with_data

__all__ = ["ConvertedModel", "convert_only", "convert_with_data"]

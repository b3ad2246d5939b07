"""The whole way without training: calibrated, converted, corrected, and measured beside float32."""

from lba_onnx.post_training.converted_model import ConvertedModel
from lba_onnx.post_training.converting import convert_only, convert_with_data

__all__ = ["ConvertedModel", "convert_only", "convert_with_data"]

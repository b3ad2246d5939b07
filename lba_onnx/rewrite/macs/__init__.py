"""How many products of operands a model multiplies and adds: by operator, by node, in one run."""

from lba_onnx.rewrite.macs.execution import Execution, as_replaced
from lba_onnx.rewrite.macs.given_shapes import InputShapes
from lba_onnx.rewrite.macs.inference import infer_executions, infer_macs
from lba_onnx.rewrite.macs.rules import count

__all__ = ["Execution", "InputShapes", "as_replaced", "count", "infer_executions", "infer_macs"]

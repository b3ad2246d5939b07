"""The rewriter: which nodes multiply and accumulate, and their replacement by low-bit-accumulator operators."""

from lba_onnx.rewrite.conversion import convert, converted_nodes, list_candidates
from lba_onnx.rewrite.given_specs import Specs
from lba_onnx.rewrite.model_file import ModelFile
from lba_onnx.rewrite.model_files import ModelSource, load_model
from lba_onnx.rewrite.model_writer import save_model
from lba_onnx.rewrite.report import ConversionReport, LedgerEntry
from lba_onnx.rewrite.selection import Selection

__all__ = [
    "ConversionReport",
    "LedgerEntry",
    "ModelFile",
    "ModelSource",
    "Selection",
    "Specs",
    "convert",
    "converted_nodes",
    "list_candidates",
    "load_model",
    "save_model",
]

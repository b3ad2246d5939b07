"""What an accumulator is: a protocol, a registry of kinds, one grammar for their texts, and the kinds themselves.

    as_spec("M7E4b12/M7E4b10,round=nearest")   ->  an Accumulator: its text, its exact reference, its ranges, what it
                                                   loses by and itself without that, its family for calibration
    parse_family("M7E4,chunk=32")              ->  an AccumulatorFamily: the same with biases still free

Whoever adds a kind adds a module or folder here; nothing outside takes an accumulator apart.
"""

from lba_onnx.arithmetic.accumulator import Accumulator
from lba_onnx.arithmetic.chunked_float.spec import AccumulatorSpec
from lba_onnx.arithmetic.families import FormatFamily
from lba_onnx.arithmetic.family import AccumulatorFamily, Exponents
from lba_onnx.arithmetic.formats import FloatFormat
from lba_onnx.arithmetic.registry import as_spec, parse_accumulator, parse_family

__all__ = [
    "Accumulator",
    "AccumulatorFamily",
    "AccumulatorSpec",
    "Exponents",
    "FloatFormat",
    "FormatFamily",
    "as_spec",
    "parse_accumulator",
    "parse_family",
]

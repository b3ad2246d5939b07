"""A number of the element type of what it meets."""

import numpy as np
import onnx

from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Refused, Source

_FIRST_OPSET_WITH_CAST_LIKE = 15
_FLOATS = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
    onnx.TensorProto.DOUBLE,
}


def scalar(number: float, like: str, source: Source, maker: Maker) -> str:
    """Return the name of a number of the element type of the first two inputs; one of codes does not count.

    Args:
        number: Its value.
        like: A value of that type, for where the type is not known.
        source: The node.
        maker: Gets the number.

    Raises:
        Refused: The type is not known, and the opset has no CastLike.
    """
    types = _FLOATS & (source.site.input_types(0) | source.site.input_types(1))
    if not types and source.site.opset >= _FIRST_OPSET_WITH_CAST_LIKE:
        return maker.add("CastLike", [maker.constant(np.asarray(number, np.float32), "number"), like])
    if len(types) != 1:
        raise Refused("the element type of its inputs is not known")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(types.pop())
    return maker.constant(np.asarray(number, dtype), "number")

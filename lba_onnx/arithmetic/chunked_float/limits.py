"""What the values of chunked floats are at most: the bounds that planners prove with (custom_ops, short_cuts.h)."""

from lba_onnx.arithmetic.bounds import Bound, check_summary, grown_sum
from lba_onnx.arithmetic.chunked_float.fields import ChunkedFloatFields
from lba_onnx.arithmetic.formats import FloatFormat
from lba_onnx.arithmetic.rounding import Rounding


def bounds(spec: ChunkedFloatFields, largest_x: float, largest_w: float, depth: int) -> tuple[Bound, ...]:
    """Return the bounds of products, of the sums of chunks, and of the total."""
    check_summary(largest_x, largest_w, depth)
    largest = float(largest_x) * float(largest_w)
    chunk = min(spec.chunk_size or depth, depth)
    chunks = -(-depth // max(chunk, 1))
    product_growth, growth = (_growth(spec, f) for f in (spec.product_format, spec.accumulator_format))
    sums = (("partial_sum", chunk, chunk), ("total", depth, chunk + chunks))
    limit = spec.accumulator_format.max_value
    return (
        Bound.held("product", largest * product_growth, spec.product_format.max_value),
        *(Bound.held(name, grown_sum(largest, n, steps, product_growth, growth), limit) for name, n, steps in sums),
    )


def _growth(spec: ChunkedFloatFields, number_format: FloatFormat) -> float:
    """Return how many times larger rounding makes a value, at most."""
    return 1.0 if spec.rounding is Rounding.TRUNCATE else 1 + 2.0 ** -(number_format.mantissa_bits + 1)

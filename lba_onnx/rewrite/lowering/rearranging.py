"""Inputs rearranged: constants that nothing else reads at once, all others by nodes.

w of [columns, depth]     ->  an initializer of [depth, columns], in place of w
                          ->  Transpose(w)      where w is no constant, a large one, has other readers, or lies outside
"""

from collections.abc import Sequence

from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Source


def transpose(source: Source, maker: Maker, index: int, axes: Sequence[int]) -> str:
    """Return the name of an input with its axes in another order."""
    if list(axes) == sorted(axes):
        return source.input(index)
    values = source.constant(index) if source.may_replace(index) else None
    if values is None:
        return maker.add("Transpose", [source.input(index)], perm=list(axes))
    return maker.constant(values.transpose(axes), "transposed")

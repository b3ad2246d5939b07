"""Biases that enter the accumulator first, as they do in fused kernels.

    y = Gemm(a, b, c)      ->  y = lba_onnx.LbaGemm(a, b, c, accumulator="M7E4b12/M7E4b10", bias_start=1)

A Gemm whose sums are scaled by an alpha has no such form: what is added to the scaled sums is no start of them.
"""

from collections.abc import Sequence
from dataclasses import replace

import onnx

from lba_onnx.operators import BIAS_INPUT, BIAS_START
from lba_onnx.rewrite.attributes import own_attributes
from lba_onnx.rewrite.candidates import Candidate, converted_products
from lba_onnx.rewrite.twins import schema_of

_ONLY_ALPHA = 1.0


def has_bias(node: onnx.NodeProto) -> bool:
    """Return whether a node that has or is a twin may start from a bias, and has one."""
    is_possible = BIAS_START in schema_of(node).start_attributes
    return is_possible and len(node.input) > BIAS_INPUT and bool(node.input[BIAS_INPUT])


def starts_from_bias(node: onnx.NodeProto) -> bool:
    """Return whether the sums of a twin start from its bias."""
    return has_bias(node) and own_attributes(node).get(BIAS_START.name, BIAS_START.default) == 1


def with_bias_obstacles(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates with the reasons why the sums of some cannot start from their bias."""
    return [
        replace(candidate, obstacle=_obstacle(candidate)) if candidate.obstacle is None else candidate
        for candidate in candidates
    ]


def has_bias_starts(model: onnx.ModelProto) -> bool:
    """Return whether sums of a converted model start from biases."""
    return any(starts_from_bias(product.site.node) for product in converted_products(model))


def start_from_bias(node: onnx.NodeProto) -> None:
    """Let the sums of a twin start from its bias, where it has one."""
    if has_bias(node):
        node.attribute.append(onnx.helper.make_attribute(BIAS_START.name, 1))


def _obstacle(candidate: Candidate) -> str | None:
    alpha = candidate.site.attributes().get("alpha", _ONLY_ALPHA) if has_bias(candidate.site.node) else _ONLY_ALPHA
    if alpha == _ONLY_ALPHA:
        return None
    found = "one that differs between the calls of its function" if alpha is None else f"{alpha:g}"
    return f"its sums cannot start from the bias (bias_start): expected an alpha of 1, got {found}"

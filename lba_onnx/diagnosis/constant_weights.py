"""Whether the constant weights of converted nodes can make sums of codes overflow at all."""

import numpy as np

from lba_onnx.arithmetic.accumulator import ProductOrder
from lba_onnx.rewrite.analysis import walk_sites
from lba_onnx.rewrite.candidates import Candidate, converted_products
from lba_onnx.rewrite.model_files import OpenModel
from lba_onnx.rewrite.twins import schema_of
from lba_onnx.rewrite.values import Values


def overflowing(model: OpenModel) -> dict[str, bool | None]:
    """Tell of each product whether its kernel's sums can overflow; None where nothing tells.

    Args:
        model: A converted model.
    """
    products = converted_products(model.proto)
    if not any(spec is not None and spec.processors for spec in (product.present_spec for product in products)):
        return {product.name: None for product in products}
    values = Values(model.proto, list(walk_sites(model.proto)), model.path)
    return {product.name: _can_overflow(product, values) for product in products}


def _can_overflow(product: Candidate, values: Values) -> bool | None:
    spec, site = product.present_spec, product.site
    if spec is None or not spec.processors:
        return None
    operands = next(own.inputs for own in schema_of(site.node).products if own.name == product.product)
    weights = values.constant(site, site.node.input[operands[-1]])
    if weights is None:
        return None
    if "Conv" not in site.node.op_type:
        matrices = weights if site.attributes().get("transB") else weights.swapaxes(-1, -2)
        return spec.can_overflow(matrices.reshape(-1, matrices.shape[-1]))
    is_depthwise = weights.shape[1] == 1 and site.attributes().get("group", 1) == weights.shape[0]
    channels_last = spec.product_order is ProductOrder.CHANNELS_LAST
    ordered = np.moveaxis(weights, 1, -1) if channels_last else weights
    return spec.can_overflow(ordered.reshape(len(weights), -1), is_depthwise=is_depthwise)

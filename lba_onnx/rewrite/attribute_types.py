"""The types of attributes, by ONNX's schemas and a table for com.microsoft: no runtime loads a node with another one.

Conv "stem", strides=2    ->    ModelError: Conv 'stem': expected strides to be a list of ints, got an int
"""

from collections.abc import Mapping

import onnx

from lba_onnx.errors import ModelError
from lba_onnx.operators import LOWERED, LOWERED_ON_REQUEST, MICROSOFT, OPERATORS, standard_domain

_TYPE = onnx.AttributeProto
_WORDS: Mapping[int, str] = {
    _TYPE.FLOAT: "a float",
    _TYPE.INT: "an int",
    _TYPE.STRING: "a string",
    _TYPE.FLOATS: "a list of floats",
    _TYPE.INTS: "a list of ints",
    _TYPE.STRINGS: "a list of strings",
}
_HEADS = "num_heads", "kv_num_heads", "unidirectional", "do_rotary", "rotary_interleaved", "rotary_embedding_dim"
_SWITCHES = "past_present_share_buffer", "local_window_size", "smooth_softmax", "qk_output", "causal"
_OF_CACHE = "sliding_window_cache", "kv_cache_bit_width"
_OF_CODES = "K", "N", "bits", "block_size", "accuracy_level", "weight_prepacked", "quant_type"
_TRANSPOSED = "transA", "transB", "transBatchA", "transBatchB"
_FACTORS = "alpha", "beta", "scale", "softcap", "mask_filter_value", "clip", "epsilon"
_OF_MICROSOFT: Mapping[str, int] = {
    **dict.fromkeys((*_HEADS, *_SWITCHES, *_OF_CACHE, *_OF_CODES, *_TRANSPOSED), _TYPE.INT),
    **dict.fromkeys(("group", "hidden_size", "input_forget", "axis", "training_mode"), _TYPE.INT),
    **dict.fromkeys(_FACTORS, _TYPE.FLOAT),
    **dict.fromkeys(("strides", "dilations", "kernel_shape", "pads", "qkv_hidden_sizes"), _TYPE.INTS),
    **dict.fromkeys(("activation", "auto_pad", "direction"), _TYPE.STRING),
    **dict.fromkeys(("activation_params",), _TYPE.FLOATS),
    **dict.fromkeys(("activations",), _TYPE.STRINGS),
}
_OF_OPERATOR: Mapping[str, Mapping[str, int]] = {
    "FusedGemm": dict.fromkeys(("activation_alpha", "activation_beta", "activation_gamma"), _TYPE.FLOAT),
    "DynamicQuantizeLSTM": dict.fromkeys(("activation_alpha", "activation_beta"), _TYPE.FLOATS),
}


_CONVERTED = {
    *((schema.replaced_domain, schema.replaces) for schema in OPERATORS.values() if schema.replaces),
    *LOWERED,
    *(key for group in LOWERED_ON_REQUEST.values() for key in group),
}


def check_attribute_types(node: onnx.NodeProto, opset: int) -> None:
    """Check the attributes of a node that has a twin or may be taken apart; of other nodes nothing is known.

    Args:
        node: The node.
        opset: The version of the default domain there.

    Raises:
        ModelError: One has another type than its operator says.
    """
    if (standard_domain(node.domain), node.op_type) not in _CONVERTED:
        return
    expected = _types_of(node, opset)
    for attribute in node.attribute:
        wanted = expected.get(attribute.name, attribute.type)
        if attribute.type not in (wanted, _TYPE.UNDEFINED):
            name = repr(node.name) if node.name else f"with output {next(filter(None, node.output), '')!r}"
            words = (_WORDS.get(each, _TYPE.AttributeType.Name(each)) for each in (wanted, attribute.type))
            raise ModelError("{} {}: expected {} to be {}, got {}".format(node.op_type, name, attribute.name, *words))


def _types_of(node: onnx.NodeProto, opset: int) -> Mapping[str, int]:
    domain = standard_domain(node.domain)
    if domain == MICROSOFT:
        return {**_OF_MICROSOFT, **_OF_OPERATOR.get(node.op_type, {})}
    found: dict[str, int] = {}
    for version in (onnx.defs.onnx_opset_version(), opset):  # attributes of later versions are read, too
        if onnx.defs.has(node.op_type, version, domain):
            attributes = onnx.defs.get_schema(node.op_type, version, domain).attributes
            found.update({name: attribute.type.value for name, attribute in attributes.items()})
    return found

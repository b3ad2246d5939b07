"""A tiny decoder with a KV cache, fed as language models are."""

import numpy as np
import onnx
from onnx import TensorProto, helper
from small_models import model, tensor

VOCABULARY, SIZE, PLACES = 11, 4, 64


def decoder(head_size: int | str = SIZE, vocabulary: int = VOCABULARY, seed: int = 0) -> onnx.ModelProto:
    """Each token's logits come from the sum of all tokens up to it that the mask shows, those in the cache among them.

    input_ids, attention_mask, position_ids, past_key_values.0.key -> logits, present.0.key
    """
    random = np.random.default_rng(seed)
    nodes = [
        helper.make_node("Gather", ["embedding", "input_ids"], ["token"], "embed"),
        helper.make_node("Gather", ["places", "position_ids"], ["place"], "locate"),
        helper.make_node("Add", ["token", "place"], ["placed"], "add"),
        helper.make_node("Shape", ["input_ids"], ["tokens"], "tokens", start=1),
        helper.make_node("Neg", ["tokens"], ["start"], "start"),
        helper.make_node("Slice", ["attention_mask", "start", "end", "one"], ["own"], "own"),
        helper.make_node("Cast", ["own"], ["shown"], "shown", to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["shown", "two"], ["column"], "column"),
        helper.make_node("Mul", ["placed", "column"], ["x"], "mask"),
        helper.make_node("Unsqueeze", ["x", "one"], ["key"], "key"),
        helper.make_node("Concat", ["past_key_values.0.key", "key"], ["present.0.key"], "cache", axis=2),
        helper.make_node("CumSum", ["present.0.key", "two"], ["sums"], "sums"),
        helper.make_node("Slice", ["sums", "start", "end", "two"], ["seen"], "seen"),
        helper.make_node("Squeeze", ["seen", "one"], ["hidden"], "hidden"),
        helper.make_node("MatMul", ["hidden", "head"], ["logits"], "lm_head"),
    ]
    ids, cache = ("batch", "tokens"), ("batch", 1, "past", head_size)
    inputs = [
        tensor("input_ids", *ids, kind=TensorProto.INT64),
        tensor("attention_mask", "batch", "all", kind=TensorProto.INT64),
        tensor("position_ids", *ids, kind=TensorProto.INT64),
        tensor("past_key_values.0.key", *cache),
    ]
    outputs = [tensor("logits", *ids, vocabulary), tensor("present.0.key", "batch", 1, "all", head_size)]
    weights = {
        "embedding": random.standard_normal((VOCABULARY, SIZE)).astype(np.float32),
        "places": random.standard_normal((PLACES, SIZE)).astype(np.float32) / 4,
        "head": random.standard_normal((SIZE, vocabulary)).astype(np.float32) / 2,
        "end": np.array([np.iinfo(np.int64).max]),
        "one": np.array([1]),
        "two": np.array([2]),
    }
    return model(nodes, inputs, outputs, weights)


def token_ids(sequences: int, tokens: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, VOCABULARY, (sequences, tokens))

"""Logits of a language model that reads its tokens in parts, through its KV cache, beside those of one run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument

import lba_onnx
from benchmarks.harness import Row
from lba_onnx.data.batches import read_batches
from lba_onnx.data.inputs import describe_inputs

Feeds = dict[str, Any]
_PAST, _PRESENT = "past_key_values", "present"
TOKENS = 64
PARTS = {"two parts": (40, 24), "a token at a time": (1,) * TOKENS}


def compare_parts(model: Path, ids: NDArray[np.int64]) -> Row:
    """Return, for each way to cut the first 64 tokens, how far the logits are from one run's; {} without a cache.

    An export that does not run on a part of several tokens behind a cache, as MultiHeadAttention's mask of the builder,
    has no such entry.

    Args:
        model: A model with inputs input_ids and past_key_values....
        ids: Tokens of a text, at least 64.
    """
    session = lba_onnx.make_session(model)
    if not any(value.name.startswith(_PAST) for value in session.get_inputs()):
        return {}
    first = _first_feed(session, ids[:TOKENS])
    whole, found = _read(session, first, (TOKENS,)), {}
    for name, parts in PARTS.items():
        try:
            found[name] = _differences(whole, _read(session, first, parts))
        except (Fail, InvalidArgument):
            continue
    return found


def _first_feed(session: Any, ids: NDArray[np.int64]) -> Feeds:
    (batch,) = read_batches(lba_onnx.Samples({"input_ids": ids[np.newaxis]}), describe_inputs(session))
    return batch.feeds


def _read(session: Any, feeds: Feeds, parts: Sequence[int]) -> NDArray[np.floating]:
    """Return the logits of all tokens, [tokens, vocabulary], read in parts of so many."""
    names = [output.name for output in session.get_outputs()]
    cache = {name: value for name, value in feeds.items() if name.startswith(_PAST)}
    logits, start = [], 0
    for tokens in parts:
        part = {"input_ids": feeds["input_ids"][:, start : start + tokens]}
        if "position_ids" in feeds:
            part["position_ids"] = feeds["position_ids"][:, start : start + tokens]
        start += tokens
        mask = {"attention_mask": feeds["attention_mask"][:, :start]}
        outputs = dict(zip(names, session.run(None, part | mask | cache), strict=True))
        cache = {name: outputs[name.replace(_PAST, _PRESENT)] for name in cache}
        logits.append(outputs["logits"][0])
    return np.concatenate(logits)


def _differences(whole: NDArray[np.floating], parts: NDArray[np.floating]) -> Row:
    bits = f"u{whole.itemsize}"
    same = (whole.view(bits) == parts.view(bits)).all(axis=1)
    largest = np.abs(whole.astype(np.float64) - parts.astype(np.float64)).max()
    return {"tokens": len(whole), "tokens_of_the_same_bits": int(same.sum()), "largest_difference": float(largest)}

"""Inputs of a language model that its token ids tell: the mask, the positions, and a KV cache without tokens.

Data often hold `input_ids` alone. A model with more inputs is then fed

    attention_mask                 ones, [samples, tokens] as the ids
    position_ids                   0, 1, 2 ...; where data hold a mask, the number of tokens that it shows before
    past_key_values.0.key, ...     [samples, heads, 0, head size]: nothing has been read yet

What the data hold stays as it is, and data that lack any other input are left as they are.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.arrays import Rows, read_whole
from lba_onnx.data.cache_inputs import is_cache
from lba_onnx.data.inputs import ModelInput
from lba_onnx.errors import DataError

TOKEN_IDS, MASK, POSITIONS = "input_ids", "attention_mask", "position_ids"


def with_language_inputs(arrays: Mapping[str, Any], inputs: Iterable[ModelInput], origin: str) -> dict[str, Any]:
    """Return arrays with the inputs that token ids tell; as they are where one is missing that they do not tell.

    Args:
        arrays: Arrays by name, as data hold them: [samples, tokens], or one axis more.
        inputs: The model's inputs.
        origin: Where the arrays come from, for messages.

    Raises:
        DataError: A cache is missing, and the model does not tell its heads or their size.
    """
    given = dict(arrays)
    missing = [i for i in inputs if i.name not in given]
    if not missing or TOKEN_IDS not in given or not all(map(_is_told, missing)):
        return given
    return given | {i.name: _fill(i, given, origin) for i in missing}


def _is_told(model_input: ModelInput) -> bool:
    if model_input.dtype is None or model_input.shape is None:
        return False
    return model_input.name in (MASK, POSITIONS) or is_cache(model_input.name, model_input.shape)


def _fill(model_input: ModelInput, given: Mapping[str, Rows], origin: str) -> NDArray[Any]:
    ids, dtype = given[TOKEN_IDS], np.dtype(model_input.dtype)
    if is_cache(model_input.name, model_input.shape):
        return np.zeros((*ids.shape[:-1], *_empty_cache(model_input, origin)), dtype)
    if model_input.name == MASK:
        return np.ones(ids.shape, dtype)
    if MASK in given:
        seen = np.cumsum(read_whole(given[MASK]), axis=-1)[..., -ids.shape[-1] :]
        return np.asarray(np.maximum(seen - 1, 0), dtype)
    return np.array(np.broadcast_to(np.arange(ids.shape[-1]), ids.shape), dtype)


def _empty_cache(model_input: ModelInput, origin: str) -> tuple[int, int, int]:
    """Return heads, no tokens, head size."""
    assert model_input.shape is not None, "a cache has a rank"
    _, heads, _, size = model_input.shape
    if heads is None or size is None:
        raise DataError(
            f"{origin}: the model does not tell how large {model_input} is: expected an array of zero tokens in the "
            "data, such as [samples, heads, 0, head size], got none"
        )
    return heads, 0, size

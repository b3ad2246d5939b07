"""ddddocr's readers as entries of the zoo: images of words, one at a time, as captchas show them.

One has convolutions and a bidirectional LSTM in float32; the older one was quantized, dynamically, and is smaller.
"""

import ast
import random
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from models.fetch import fetch, write_to_cache
from models.rapidocr.images import draw_line, style
from models.rapidocr.recipe import decode
from models.reading import Reading
from models.vader_texts import read_vader_texts
from models.zoo import Likeness, Metric, ZooModel

if TYPE_CHECKING:
    from PIL import Image

PACKAGE = ("ddddocr", "1.6.1", "c7c70f4ae2d0335440ae8b272eea48c9f6888ecef46785fe2311f0c97a133935")
INPUT, OUTPUT = "input1", "387"
HEIGHT = 64
CALIBRATION_WORDS, TEST_WORDS, FLOAT32_TEST_WORDS = 16, 400, 200
SHORTEST, LONGEST = 4, 8  # letters of a word
MOST_DEGREES = 6
LINES = 1  # drawn across each word

Feed = dict[str, NDArray[Any]]


def load() -> ZooModel:
    """Returns the quantized reader: image [1, 1, 64, width] -> per step, a score per character [steps, 1, 8210].

    A test sample's label is the number of its word among all words.
    """
    return _load("ddddocr", "common_old.onnx", "CHARSET_OLD", TEST_WORDS)


def load_float32() -> ZooModel:
    """Returns the reader in float32, with inputs, outputs and labels as those of `load`."""
    return _load("ddddocr_float32", "common.onnx", "CHARSET_BETA", FLOAT32_TEST_WORDS)


def _load(name: str, file: str, charset: str, test_words: int) -> ZooModel:
    words = read_words(CALIBRATION_WORDS + test_words)
    feeds: list[Feed] = [{INPUT: _pixels(_draw(word, number))} for number, word in enumerate(words)]
    test = [feed | {"label": np.array([number])} for number, feed in enumerate(feeds)]
    characters = _read_characters(charset)
    reading = Reading(partial(_read, characters), words)
    return ZooModel(
        name=name,
        model_path=_fetch_model(file),
        calibration=feeds[:CALIBRATION_WORDS],
        test=test[CALIBRATION_WORDS:],
        metric=Metric("words right", reading.is_right),
        likeness=Likeness("same text", reading.is_same, is_larger_better=True),
        reading=reading,
    )


def read_words(count: int) -> list[str]:
    """Returns so many different words of newspaper texts, in lower case, fetched if need be."""
    texts = read_vader_texts("nytEditorialSnippets")
    words = dict.fromkeys(word.strip(".,;:'\"!?()").lower() for text in texts for word in text.split())
    wanted = (word for word in words if word.isascii() and word.isalpha() and SHORTEST <= len(word) <= LONGEST)
    return list(wanted)[:count]


def _draw(word: str, number: int) -> "Image.Image":
    """Returns the word tilted, with lines across it."""
    from PIL import Image, ImageDraw

    chance, look = random.Random(number), style(number)
    image = draw_line(word, look)
    tilt = chance.uniform(-MOST_DEGREES, MOST_DEGREES)
    image = image.rotate(tilt, Image.Resampling.BILINEAR, expand=True, fillcolor=look.paper)
    pen = ImageDraw.Draw(image)
    for _ in range(LINES):
        ends = [(x, chance.randrange(image.height)) for x in (0, image.width)]
        pen.line(ends, fill=look.ink)
    return image


def _pixels(image: "Image.Image") -> NDArray[np.float32]:
    from PIL import Image

    size = (int(image.width * HEIGHT / image.height), HEIGHT)
    grey = image.resize(size, Image.Resampling.LANCZOS).convert("L")
    return np.asarray(grey, dtype=np.float32)[np.newaxis, np.newaxis] / np.float32(255)


def _fetch_model(name: str) -> Path:
    """The file declares an output of another shape than it has; the declaration is left out."""
    model = onnx.load(fetch(*PACKAGE, f"ddddocr/{name}"))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return write_to_cache(f"ddddocr_{name}", model.SerializeToString(deterministic=True))


def _read_characters(name: str) -> list[str]:
    """Returns what each class stands for; the package's module of lists is read, not run."""
    module = ast.parse(fetch(*PACKAGE, "ddddocr/charsets.py").read_text(encoding="utf-8"))
    lists = (node for node in module.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name)
    characters: list[str] = ast.literal_eval(next(lists).value)
    return characters


def _read(characters: list[str], outputs: Feed) -> list[str]:
    """Returns what each image says, in lower case, as the words are."""
    return [text.lower() for text in decode(outputs[OUTPUT].transpose(1, 0, 2), characters)]

"""RapidOCR's three networks as entries of the zoo: where text is, whether it is upside down, and what it says.

The shapes of all three are dynamic; the detector and the recognizer get images of differing sizes, one at a time.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from models.fetch import fetch
from models.rapidocr.images import draw_line, draw_page, normalize, read_lines, style
from models.reading import Reading
from models.skimage_data import fetch_skimage_data
from models.zoo import Likeness, Metric, ZooModel, agreement, top1

if TYPE_CHECKING:
    from PIL import Image

PACKAGE = (
    "rapidocr-onnxruntime",
    "1.4.4",
    "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
)
FOLDER = "rapidocr_onnxruntime/models"

# Width and height of the pages that are drawn; the detector wants multiples of 32.
PAGE_SIZES = ((320, 192), (256, 256), (384, 160), (224, 320))
CALIBRATION_PAGES = 8
TEST_PAGES = 10
LINES_A_PAGE = 4
SCANS = ("page.png", "text.png")  # real ones, for the test alone
TEXT_THRESHOLD = 0.3  # a pixel above it counts as text

CALIBRATION_LINES = 16
TURNED_LINES, TEST_LINES = 48, 200  # of the classifier's test, of the recognizer's
LINE_HEIGHT = 48
CLASSIFIED_WIDTH = 192
BLANK = 0

Feed = dict[str, NDArray[Any]]


def load_detector() -> ZooModel:
    """Returns the network that finds text: image [1, 3, height, width] -> per pixel, how likely it is text."""
    lines = read_lines((CALIBRATION_PAGES + TEST_PAGES) * LINES_A_PAGE)
    pages = []
    for number in range(CALIBRATION_PAGES + TEST_PAGES):
        size = PAGE_SIZES[number % len(PAGE_SIZES)]
        pages.append(draw_page(lines[number * LINES_A_PAGE : (number + 1) * LINES_A_PAGE], number, *size))
    feeds = [{"x": normalize(page)[np.newaxis]} for page in [*pages, *(_read_scan(name) for name in SCANS)]]
    return ZooModel(
        name="rapidocr_det",
        model_path=_fetch_model("ch_PP-OCRv4_det_infer.onnx"),
        calibration=feeds[:CALIBRATION_PAGES],
        test=feeds[CALIBRATION_PAGES:],
        metric=None,
        likeness=Likeness("mean overlap of text areas", overlap, is_larger_better=True),
    )


def load_classifier() -> ZooModel:
    """Returns the network that tells upright lines (0) from those upside down (1): [batch, 3, 48, 192]."""
    output = "save_infer_model/scale_0.tmp_1"
    lines = read_lines(CALIBRATION_LINES + TURNED_LINES)
    images = [draw_line(line, style(number)) for number, line in enumerate(lines)]
    labels = np.arange(len(lines)) % 2
    turned = [image.rotate(180) if label else image for image, label in zip(images, labels, strict=True)]
    x = np.stack([_fill(_scale(image, CLASSIFIED_WIDTH), CLASSIFIED_WIDTH) for image in turned])
    return ZooModel(
        name="rapidocr_cls",
        model_path=_fetch_model("ch_ppocr_mobile_v2.0_cls_infer.onnx"),
        calibration={"x": x[:CALIBRATION_LINES]},
        test={"x": x[CALIBRATION_LINES:], "label": labels[CALIBRATION_LINES:]},
        metric=top1(output),
        likeness=agreement(output),
    )


def load_recognizer() -> ZooModel:
    """Returns the network that reads a line: [1, 3, 48, width] -> per step, how likely each character is.

    A test sample's label is the number of its line among all lines.
    """
    model_path = _fetch_model("ch_PP-OCRv4_rec_infer.onnx")
    lines = read_lines(CALIBRATION_LINES + TEST_LINES)
    feeds: list[Feed] = []
    for number, line in enumerate(lines):
        feeds.append({"x": _scale(draw_line(line, style(number)))[np.newaxis]})
        if number >= CALIBRATION_LINES:
            feeds[-1]["label"] = np.array([number])
    characters = read_characters(model_path)
    reading = Reading(lambda outputs: decode(next(iter(outputs.values())), characters), lines)
    return ZooModel(
        name="rapidocr_rec",
        model_path=model_path,
        calibration=feeds[:CALIBRATION_LINES],
        test=feeds[CALIBRATION_LINES:],
        metric=Metric("lines right", reading.is_right),
        likeness=Likeness("same text", reading.is_same, is_larger_better=True),
        reading=reading,
    )


def read_characters(model_path: Path) -> list[str]:
    """Returns what each class of the recognizer stands for; the model's metadata list all but blank and space."""
    metadata = {entry.key: entry.value for entry in onnx.load(model_path).metadata_props}
    return ["", *metadata["character"].splitlines(), " "]


def decode(scores: NDArray[np.float32], characters: list[str]) -> list[str]:
    """Returns the likeliest text per line: a class that repeats counts once, blanks not at all (CTC).

    Spaces before and after the text are left out.

    Args:
        scores: [lines, steps, classes].
        characters: what each class stands for.
    """
    best = scores.argmax(axis=2)
    is_new = np.diff(best, axis=1, prepend=BLANK) != 0
    kept = is_new & (best != BLANK)
    rows = (row[keep] for row, keep in zip(best, kept, strict=True))
    return ["".join(characters[number] for number in row).strip() for row in rows]


def overlap(outputs: Feed, float32: Feed) -> NDArray[np.float64]:
    """Returns the text area that both models found over that which either found, per image; 1 where there is none."""
    masks = (next(iter(values.values())) > TEXT_THRESHOLD for values in (outputs, float32))
    a, b = (mask.reshape(len(mask), -1) for mask in masks)
    union = np.sum(a | b, axis=1)
    return np.where(union == 0, 1.0, np.sum(a & b, axis=1) / np.maximum(union, 1))


def _fetch_model(name: str) -> Path:
    return fetch(*PACKAGE, f"{FOLDER}/{name}")


def _read_scan(name: str) -> "Image.Image":
    """Enlarges to about twice its size, in multiples of 32."""
    from PIL import Image

    with Image.open(fetch_skimage_data(name)) as scan:
        width, height = (round(2 * side / 32) * 32 for side in scan.size)
        return scan.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)


def _scale(image: "Image.Image", most_width: int | None = None) -> NDArray[np.float32]:
    """To the height that the networks read, and no wider than said."""
    from PIL import Image

    width = round(image.width * LINE_HEIGHT / image.height)
    size = (width if most_width is None else min(width, most_width), LINE_HEIGHT)
    return normalize(image.resize(size, Image.Resampling.BILINEAR))


def _fill(pixels: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    return np.pad(pixels, ((0, 0), (0, 0), (0, width - pixels.shape[2])))

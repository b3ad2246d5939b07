"""Images of text, drawn with Pillow's own font; the words are of newspaper texts."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.skimage_data import fetch_skimage_data
from models.vader_texts import read_vader_texts

if TYPE_CHECKING:
    from PIL import Image

SHORTEST, LONGEST = 12, 28  # characters of a line
MARGIN = 6  # pixels
# Ink and paper, as red, green and blue.
COLOURS = (
    ((0, 0, 0), (255, 255, 255)),
    ((20, 30, 90), (240, 235, 220)),
    ((255, 255, 255), (40, 60, 80)),
    ((120, 20, 20), (235, 235, 235)),
)
TEXTURES = ("brick.png", "grass.png", "gravel.png", "coffee.png")


@dataclass(frozen=True)
class Style:
    """How a line looks.

    Attributes:
        size: of the font in pixels.
        ink: colour of the letters.
        paper: colour behind them.
    """

    size: int
    ink: tuple[int, int, int]
    paper: tuple[int, int, int]


def read_lines(count: int) -> list[str]:
    """Returns the beginnings, in whole words, of so many newspaper sentences; plain ASCII, fetched if need be."""
    lines = []
    for text in read_vader_texts("nytEditorialSnippets"):
        line = text[: text.rfind(" ", 0, LONGEST + 1)].strip()
        if len(line) >= SHORTEST and line.isascii() and "  " not in line:
            lines.append(line)
    return lines[:count]


def style(number: int) -> Style:
    """Returns one of twelve styles."""
    ink, paper = COLOURS[number % len(COLOURS)]
    return Style(22 + 6 * (number % 3), ink, paper)


def draw_line(text: str, look: Style) -> "Image.Image":
    """Returns the text on one line with a small margin, RGB."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(look.size)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
    image = Image.new("RGB", (right - left + 2 * MARGIN, bottom - top + 2 * MARGIN), look.paper)
    ImageDraw.Draw(image).text((MARGIN - left, MARGIN - top), text, fill=look.ink, font=font)
    return image


def draw_page(lines: list[str], number: int, width: int, height: int) -> "Image.Image":
    """Returns a photograph out of scikit-image with lines of text pasted on it, RGB."""
    from PIL import Image

    with Image.open(fetch_skimage_data(TEXTURES[number % len(TEXTURES)])) as photograph:
        page = photograph.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    for row, line in enumerate(lines):
        drawn = draw_line(line, style(number + row))
        page.paste(drawn, (8 + 24 * (row % 3), 8 + row * (height - 16) // len(lines)))
    return page


def normalize(image: "Image.Image") -> NDArray[np.float32]:
    """Returns pixels from -1 to 1 in the order blue, green, red, [3, height, width]."""
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)[:, :, ::-1]
    return np.ascontiguousarray(np.transpose(pixels / np.float32(127.5) - np.float32(1), (2, 0, 1)))

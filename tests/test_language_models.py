"""What benchmarks.language_models understands, and that docs/results.md shows what it wrote."""

import json
from pathlib import Path

import pytest

from benchmarks.language_models import RECIPES, Way, render

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("M7E4", Way(False, False, "M7E4", ())),
        ("M7E4 scaled", Way(False, False, "M7E4", ("scale",))),
        ("rotated M5E4,chunk=root3", Way(True, False, "M5E4,chunk=root3", ())),
        ("rotated M7E4,chunk=32 refitted", Way(True, False, "M7E4,chunk=32", ("refit_rows",))),
        ("weights M7E4", Way(False, True, "M7E4", ())),
        ("rotated weights M5E4 refitted", Way(True, True, "M5E4", ("refit_rows",))),
        ("M7E4 corrected", Way(False, False, "M7E4", tuple(RECIPES["corrected"]))),
    ],
)
def test_an_accumulator_says_what_is_done(text, way):
    assert Way.parse(text) == way


@pytest.mark.parametrize("text", ["", "rotated", "M7E4 mended", "M7E4 scaled scaled", "weights rotated M7E4"])
def test_other_texts_are_refused(text):
    with pytest.raises(
        ValueError, match=r"expected \[rotated\] \[weights\] FORMAT \[scaled \| refitted \| corrected\], got"
    ):
        Way.parse(text)


def test_page_shows_the_measured_table():
    rows = json.loads((DOCS / "results_language_models.json").read_text())["results"]
    assert render(rows) in (DOCS / "results.md").read_text()

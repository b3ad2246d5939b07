"""docs/results.md shows what benchmarks.results wrote, and what its text says in short is what was measured."""

import json
from pathlib import Path

from benchmarks.results import render

DOCS = Path(__file__).parent.parent / "docs"
ROWS = json.loads((DOCS / "results.json").read_text())["results"]


def row(model: str, family: str, method: str, variant: str) -> dict:
    keys = (model, family, method, variant)
    return next(r for r in ROWS if (r["model"], r["family"], r["method"], r["variant"]) == keys)


def right(text: str) -> int:
    return int(text.split("/")[0])


def test_page_shows_the_measured_tables():
    assert render(ROWS) in (DOCS / "results.md").read_text()


def test_every_method_was_measured_plain_and_corrected():
    families = {(r["model"], r["family"]) for r in ROWS}
    assert {model for model, family in families if family == "M7E4"} == {r["model"] for r in ROWS}
    for model, family in families:
        for method in ("max", "percentile", "mse", "zero_shot"):
            assert row(model, family, method, "plain")
            assert row(model, family, method, "corrected")


def test_figures_in_short_are_those_of_the_tables():
    text = (DOCS / "results.md").read_text().split("## What the tables show")[0]
    for model, family, method, places in (
        ("rnet", "M7E4", "zero_shot", 4), ("onet", "M7E4", "zero_shot", 4), ("rnet", "M6E3", "percentile", 4),
        ("onet", "M6E3", "percentile", 4), ("minilm", "M7E4", "zero_shot", 4), ("minilm", "M6E4", "max", 4),
    ):  # fmt: skip
        for variant in ("plain", "corrected"):
            figure = f"{row(model, family, method, variant)['likeness']:.{places}f}".lstrip("0")
            assert figure in text, (model, family, method, variant)
    for model, family, method in (
        ("demo", "M6E4", "zero_shot"),
        ("demo", "M5E4", "max"),
        ("mobilenet_v2", "M6E4", "max"),
    ):
        plain, corrected = (right(row(model, family, method, v)["right"]) for v in ("plain", "corrected"))
        assert f"| {plain} | {corrected} |" in text, (model, family, method)


def test_corrected_11_bits_stay_within_half_a_point_or_one_sample():
    """Of every classifier, by the method that suits it."""
    for model in ("demo", "mobilenet_v2", "rnet", "onet", "magika", "rapidocr_cls", "silero_vad"):
        rows = [row(model, "M6E4", method, "corrected") for method in ("max", "mse", "zero_shot")]
        best, float32 = max(right(r["right"]) for r in rows), right(rows[0]["float32_right"])
        assert best >= float32 - max(1, 0.005 * rows[0]["samples"]), model

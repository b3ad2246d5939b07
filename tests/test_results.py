"""docs/results.md shows what benchmarks.results wrote, and what its text says in short is what was measured."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import results_picture
from benchmarks.integers_tables import render as render_integers
from benchmarks.results import METHODS, PHOTOGRAPHS, render, render_rules
from benchmarks.search import render as render_search

DOCS = Path(__file__).parent.parent / "docs"
PICTURE = results_picture.PICTURE_PATH
ROWS = json.loads((DOCS / "results.json").read_text())["results"]
INTEGER_ROWS = json.loads((DOCS / "results_integers.json").read_text())["results"]
_PHOTOGRAPHS = "mobilenet_v2_photographs"
RULE_ROWS = json.loads((DOCS / "results_rules.json").read_text())["results"]


def version(picture: str) -> list[str]:
    return re.findall("Matplotlib v[0-9.]*", picture)


def row(model: str, family: str, method: str, variant: str) -> dict:
    keys = (model, family, method, variant)
    return next(r for r in ROWS if (r["model"], r["family"], r["method"], r["variant"]) == keys)


def right(text: str) -> int:
    return int(text.split("/")[0])


def test_page_shows_the_measured_tables():
    assert render(ROWS) in (DOCS / "results.md").read_text()


def test_page_shows_the_measured_tables_of_texts_molecules_and_speech():
    assert render(json.loads((DOCS / "results_text.json").read_text())["results"]) in (DOCS / "results.md").read_text()


def test_page_shows_the_measured_tables_of_rules():
    text = (DOCS / "results.md").read_text()
    assert render_rules(RULE_ROWS) in text
    found = {(r["model"], r["family"], r["variant"]): right(r["right"]) for r in RULE_ROWS if "right" in r}
    for told, model, family, variant in (
        (919, "demo", "M3E4,round=nearest", "plain"), (95, "demo", "M3E4", "plain"), (926, "demo", "M3E4", "corrected"),
        (933, "demo", "M3E4,round=nearest,product=exact", "plain"), (661, "demo", "M4E4,chunk=16x8", "plain"),
        (781, "demo", "M4E4,chunk=4x4x4", "plain"), (606, "demo", "M4E4,tree=16", "plain"),
        (363, _PHOTOGRAPHS, "M7E4,round=nearest", "plain"), (283, _PHOTOGRAPHS, "M7E4", "plain"),
        (349, _PHOTOGRAPHS, "M5E4", "corrected"), (363, _PHOTOGRAPHS, "M5E4,chunk=16x8", "corrected"),
        (341, _PHOTOGRAPHS, "M4E4,chunk=4x4x4", "corrected"), (291, _PHOTOGRAPHS, "M3E4,chunk=4x4x4", "corrected"),
        (320, _PHOTOGRAPHS, "M4E4,round=nearest", "corrected"), (219, _PHOTOGRAPHS, "M3E4,round=nearest", "corrected"),
        (913, "demo", "M3E4,round=stochastic8", "plain"), (924, "demo", "M3E4,round=stochastic8", "corrected"),
        (186, _PHOTOGRAPHS, "M3E4,round=stochastic8", "corrected"),
    ):  # fmt: skip
        assert found[model, family, variant] == told and f"{told}" in text, (model, family, variant)


def test_page_shows_what_the_correction_was_measured_to_do():
    lines = (DOCS / "results.md").read_text().splitlines()
    rows = json.loads((DOCS / "results_correction.json").read_text())["results"]
    plain = {(r["model"], r["family"]): shown(r) for r in rows if r["variant"] == "plain"}
    corrected = [r for r in rows if r["variant"] == "corrected"]
    assert {r["model"] for r in corrected} == {"demo", "fashion_resnet", PHOTOGRAPHS, "minilm"} and len(corrected) > 30
    for r in corrected:
        low, high = r["right_interval"] if "right" in r else r["likeness_interval"]
        limits = f"{100 * low:.1f} to {100 * high:.1f} %" if "right" in r else f"{cosine(low)} to {cosine(high)}"
        told = f"**{shown(r)}** ({limits}) |"
        start = f"| {right(r['float32_right']) if 'right' in r else 1} | {plain[r['model'], r['family']]} |"
        assert any(f"| `{r['family']}` |" in line and start in line and line.endswith(told) for line in lines), r


def shown(measured: dict) -> str:
    return str(right(measured["right"])) if "right" in measured else cosine(measured["likeness"])


def cosine(value: float) -> str:
    return f"{value:.4f}".lstrip("0")


def test_page_shows_what_corrected_small_networks_lose_of_float32():
    lines = (DOCS / "results.md").read_text().splitlines()
    rows = json.loads((DOCS / "results_correction.json").read_text())["results"]
    small = [r for r in rows if r["model"] in ("demo", "fashion_resnet") and r["variant"] == "corrected"]
    assert len(small) == 22
    for r in small:
        lost, (low, high) = r["difference"]["points"], r["difference"]["interval"]
        assert lost == pytest.approx(100 * (right(r["right"]) - right(r["float32_right"])) / r["samples"])
        told = f"| {lost:+.2f} ({low:+.2f} to {high:+.2f}) |"
        assert any(line.startswith(f"| `{r['family']}` |") and told in line for line in lines), r


def test_picture_is_drawn_from_what_was_measured(tmp_path):
    rows = json.loads((DOCS / "results_correction.json").read_text())["results"]
    lines = results_picture.series(rows, PHOTOGRAPHS)
    assert [(point.bits, round(4.37 * point.right)) for point in lines["and corrected, in levels"]] == [
        (10, 360),
        (9, 349),
        (8, 309),
    ]
    assert [point.bits for point in lines["calibrated"]] == [12, 11, 10, 9]
    results_picture.draw(rows, tmp_path / "picture.svg")
    drawn, shown = (path.read_text() for path in (tmp_path / "picture.svg", PICTURE))
    parts = ["<text[^>]*>([^<]*)<"] if version(drawn) != version(shown) else ["<text[^>]*>([^<]*)<", ' d="([^"]*)"']
    for part in parts:  # another matplotlib puts lines elsewhere
        assert re.findall(part, drawn) == re.findall(part, shown) != []


def test_every_method_was_measured_plain_and_corrected():
    families = {(r["model"], r["family"]) for r in ROWS}
    assert {model for model, family in families if family == "M7E4"} == {r["model"] for r in ROWS}
    for model, family in families:
        methods = ("max",) if model == PHOTOGRAPHS else METHODS
        for method in methods:
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
        ("demo", "M4E4", "max"),
        *((PHOTOGRAPHS, family, "max") for family in ("M7E4", "M6E4", "M5E4", "M4E4")),
    ):
        plain, corrected = (right(row(model, family, method, v)["right"]) for v in ("plain", "corrected"))
        assert f"| {plain} | {corrected} |" in text, (model, family, method)


def test_losses_that_the_text_tells_are_those_measured():
    text = (DOCS / "results.md").read_text()
    for family, points in (("M7E4", "1.1"), ("M6E4", "2.7"), ("M5E4", "10.1"), ("M4E4", "30.7")):
        measured = row(PHOTOGRAPHS, family, "max", "corrected")
        lost = right(measured["float32_right"]) - right(measured["right"])
        assert f"{100 * lost / measured['samples']:.1f}" == points and points in text


def test_every_share_has_its_interval():
    for measured in ROWS:
        if "/" in measured.get("right", ""):
            low, high = measured["right_interval"]
            assert low <= right(measured["right"]) / measured["samples"] <= high
        if measured["likeness_name"] in ("same class", "same text"):
            low, high = measured["likeness_interval"]
            assert low <= measured["likeness"] <= high


def test_max_is_not_the_best_at_few_bits():
    for family in ("M5E4", "M4E4"):
        best = right(row("demo", family, "zero_shot", "plain")["right"])
        assert best > right(row("demo", family, "max", "plain")["right"])


def test_corrected_11_bits_stay_within_half_a_point_or_one_sample():
    """Of every small classifier, by the method that suits it; 20 photographs do not show what MobileNetV2 loses."""
    for model in ("demo", "mobilenet_v2", "rnet", "onet", "magika", "rapidocr_cls", "silero_vad"):
        rows = [row(model, "M6E4", method, "corrected") for method in ("max", "mse", "zero_shot")]
        best, float32 = max(right(r["right"]) for r in rows), right(rows[0]["float32_right"])
        assert best >= float32 - max(1, 0.005 * rows[0]["samples"]), model


def test_page_shows_the_measured_tables_of_integers():
    assert render_integers(INTEGER_ROWS) in (DOCS / "results.md").read_text()


def test_integer_models_equal_onnxruntime_at_32_bits_where_it_multiplies_integers():
    exact = [r for r in INTEGER_ROWS if r["accumulator"] == "onnxruntime with VNNI"]
    assert len(exact) >= 10
    for r in exact:
        if r["form"].startswith("qdq-s8s8"):  # onnxruntime multiplies floats
            assert r["same_bits"] < r["samples"]
        else:
            assert r["same_bits"] == r["samples"], (r["model"], r["form"])


def test_integer_models_of_uint8_activations_equal_onnxruntime_without_vnni_in_pairs():
    pairs = [r for r in INTEGER_ROWS if r["accumulator"] == "onnxruntime without VNNI" and "-u8s8-" in r["form"]]
    assert {r["model"] for r in pairs} >= {"demo", "mobilenet_v2_photographs"}
    for r in pairs:
        assert r["same_bits"] == r["samples"], (r["model"], r["form"])


def test_forms_of_integer_models_that_share_their_scales_share_their_figures():
    measured = {(r["model"], r["form"], r["accumulator"]): r for r in INTEGER_ROWS if "converted" in r}
    alike = 0
    for (model, form, accumulator), r in measured.items():
        other = measured.get((model, f"qdq-u8s8-{form.rsplit('-')[-1]}", accumulator), r)
        if other["samples"] == r["samples"]:
            assert (other["right"], other["likeness"]) == (r["right"], r["likeness"]), (model, form, accumulator)
            alike += other is not r
    assert alike >= 20


def test_page_shows_what_searches_found():
    rows = json.loads((DOCS / "results_search.json").read_text())["results"]
    text = (DOCS / "results.md").read_text()
    assert render_search(rows) in text
    cost, loss = ([r for r in rows if r["kind"] == kind] for kind in ("equal gates", "equal loss"))
    wins, ties, loses = (sum(r["verdict"] == verdict for r in cost) for verdict in ("wins", "ties", "loses"))
    assert f"wins {wins} of {len(cost)} points, ties {ties} and loses {loses}" in text
    saved = sorted(r["saved_percent"] for r in loss)
    enough = sum(percent >= 10 for percent in saved)
    assert (
        f"saves {saved[0]:.1f} to {saved[-1]:.1f} % of the gates, at least 10 % at {enough} of {len(loss)} points"
        in text
    )
    assert all(r["passes"]["all"] <= r["passes"]["bound"] for r in rows)

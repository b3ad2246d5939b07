"""The page in a real browser: no errors, no requests, text that fits, tables that sort, and paper."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Page, find_chromium, open_page

import lba_onnx
from lba_onnx.demo import demo_data_path
from lba_onnx.reporting import Results, Subject, make_report, render

for package in ("jinja2", "matplotlib"):
    pytest.importorskip(package, reason=f"no {package}: pip install 'lba-onnx[report]'")

pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="no Chromium; Debian's is installed by: apt-get install chromium"
)

LONG = "/model/encoder/layer.0/attention/self/a_name_that_goes_on_and_on_without_a_blank/MatMul"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a page with every section."""
    folder = tmp_path_factory.mktemp("page")
    model = folder / "a_model_whose_name_is_longer_than_a_telephone_is_wide_by_far.onnx"
    shutil.copy(demo_data_path() / "fashion_cnn.onnx", model)
    samples = lba_onnx.Samples(demo_data_path() / "fashion_test_1000.npz", max_samples=8)
    loss = {"samples": 9, "mean": 0.5, "interval": [0.4, 0.6]}
    shared = {
        "loss": loss,
        "is_on_front": True,
        "specs": {},
        "against": None,
        "choices": {LONG: "M7E4b12/M7E4b10,round=nearest"},
    }
    points = [{**shared, "cost": 900.0, "uniform": None}, {**shared, "cost": 990.0, "uniform": "M7E4"}]
    search = {"unit": "gates per MAC", "operand_format": "M4E3", "effort": "default", "loss": "KL divergence"}
    search |= {"float32": {"cost": 2688.0}, "samples": {"checked": 64}}
    results = Results({"search": {**search, "points": points, "uniform": []}}, {"search": "search.json"})
    page = folder / "page.html"
    page.write_text(render(make_report(Subject(model, spec="M4E4b8"), results, samples)), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_page(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_renders_without_errors_and_fits(path: Path, browser: Page, width: int, is_dark: bool) -> None:
    browser.open(path, width, is_dark=is_dark)
    assert browser.errors == []
    assert all(url.startswith(("file:", "data:")) for url in browser.requests), browser.requests
    sections = browser.evaluate("[...document.querySelectorAll('section')].map((section) => section.id)")
    assert sections == ["accuracy", "cost", "front", "layers", "spreads", "ledger", "settings"]
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert browser.evaluate(TEXTS_BEYOND) == []
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(18, 21, 24)" if is_dark else "rgb(255, 255, 255)")
    assert browser.evaluate("getComputedStyle(document.querySelector('svg text')).fill") != "rgb(0, 0, 0)"


TEXTS_BEYOND = """
[...document.querySelectorAll('h1, h2, p, li, dt, dd, figcaption, svg text')]
  .filter((element) => element.checkVisibility())
  .filter((element) => {
    const box = element.getBoundingClientRect();
    return box.width && (box.left < -1 || box.right > document.documentElement.clientWidth + 1);
  })
  .map((element) => element.textContent)
"""


@pytest.mark.parametrize("width", [1280, 390])
def test_one_of_each_plot_is_shown_and_no_name_is_taken_twice(path: Path, browser: Page, width: int) -> None:
    browser.open(path, width)
    shown = "[...document.querySelectorAll('svg')].filter((s) => s.checkVisibility()).map((s) => s.classList.value)"
    classes = browser.evaluate(shown)
    assert classes.count("wide" if width == 1280 else "narrow") == 4
    assert classes.count("narrow" if width == 1280 else "wide") == 0
    taken = "(() => { const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);"
    assert browser.evaluate(f"{taken} return ids.length - new Set(ids).size; }})()") == 0


def column(browser: Page, index: int) -> list[str]:
    cells = f"#layers tbody tr td:nth-child({index + 1})"
    return browser.evaluate(f"[...document.querySelectorAll('{cells}')].map((cell) => cell.textContent)")


@pytest.mark.parametrize("by_keyboard", [False, True], ids=["click", "keyboard"])
def test_tables_sort(path: Path, browser: Page, by_keyboard: bool) -> None:
    browser.open(path, 1280)

    def press(index: int) -> str:
        button = f"document.querySelectorAll('#layers th button')[{index}]"
        if by_keyboard:
            browser.evaluate(f"{button}.focus()")
            for kind in ("keyDown", "keyUp"):
                keys = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
                browser.send("Input.dispatchKeyEvent", type=kind, **keys)
        else:
            browser.evaluate(f"{button}.click()")
        return browser.evaluate(f"{button}.closest('th').ariaSort")

    depths = [int(text) for text in column(browser, 2)]
    assert press(2) == "ascending"
    assert [int(text) for text in column(browser, 2)] == sorted(depths)
    assert press(2) == "descending"
    assert [int(text) for text in column(browser, 2)] == sorted(depths, reverse=True)
    assert press(0) == "ascending"
    names = column(browser, 0)
    assert names == sorted(names, key=lambda name: name.replace(".", " ")) and len(set(names)) == 10
    sorts = browser.evaluate("[...document.querySelectorAll('#layers th')].map((th) => th.ariaSort)")
    assert sorts.count("none") == len(sorts) - 1


def test_the_data_are_in_the_page(path: Path, browser: Page) -> None:
    browser.open(path, 1280)
    data = "JSON.parse(document.getElementById('report-data').textContent)"
    assert browser.evaluate(f"[{data}.kind, {data}.schema, {data}.layers.rows.length]") == ["lba_onnx.report", 1, 10]


def test_it_prints(path: Path, browser: Page) -> None:
    browser.open(path, 1280, is_dark=True)
    pdf = browser.pdf()
    assert pdf.startswith(b"%PDF") and len(pdf) > 20_000
    browser.send("Emulation.setEmulatedMedia", media="print")
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.evaluate("document.querySelector('nav').checkVisibility()") is False

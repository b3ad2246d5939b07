"""netron, a viewer of models, in a browser: what it shows of a converted model's node explains itself."""

import time
from collections.abc import Iterator

import pytest
from chromium import Page, find_chromium, open_page
from onnx import parser

import lba_onnx

netron = pytest.importorskip("netron", reason="netron is not installed")
pytestmark = pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium")

MODEL = """<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]>
g (float[N, 2, 4] x) => (float[N, 2, 4] y) <float[4, 4] w = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}> {
  q = MatMul(x, w)
  y = com.microsoft.MultiHeadAttention<num_heads = 2>(q, q, q)
}"""
LOADED = """new Promise((done, fail) => {
  const look = () => document.querySelector(".node-item-type") ? done()
    : performance.now() > 120000 ? fail(document.body.innerText) : setTimeout(look, 50);
  look();
})"""
SHOWN = """(type => {
  const titles = [...document.querySelectorAll(".node-item-type")];
  titles.find(title => title.textContent.startsWith(type)).dispatchEvent(new MouseEvent("click", {bubbles: true}));
  const rows = [...document.querySelectorAll(".sidebar-item")];
  const text = row => row.querySelector(".sidebar-item-value-line")?.textContent;
  return Object.fromEntries(rows.map(row => [row.querySelector("input")?.value, text(row)]));
})"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("netron")
    path = folder / "model_lba.onnx"
    lba_onnx.convert(parser.parse_model(MODEL), "M7E4b10", model_output=path)
    host, port = netron.start(str(path), browse=False)
    address = f"http://{host}:{port}"
    try:
        with open_page(folder) as page:
            page.send("Network.setBlockedURLs", urls=["https://*"])  # it would report its use
            page.send("Network.setCookie", name="consent", value=str(int(time.time() * 1000)), url=address)
            page.open(address, 1200)
            page.evaluate(LOADED)
            yield page
    finally:
        netron.stop((host, port))


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("LbaMatMul", {"accumulator": "M7E4b12/M7E4b10"}),
        (
            "LbaMultiHeadAttention",
            {"accumulator_qk": "M7E4b12/M7E4b10", "accumulator_pv": "M7E4b12/M7E4b10", "num_heads": "2"},
        ),
    ],
)
def test_a_node_shows_its_accumulators_by_name(browser: Page, operator: str, expected: dict[str, str]) -> None:
    shown = browser.evaluate(f"{SHOWN}({operator!r})")
    assert (shown["type"], shown["module"]) == (operator, "lba_onnx")
    assert shown.items() >= expected.items()

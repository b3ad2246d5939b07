"""The site: every page is in its navigation, links are mended, and its reference has every public name.

`mkdocs build --strict`, a step of .ci/run, finds dead links and names that cannot be documented.
"""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
hooks = pytest.importorskip("tools.site_hooks", reason="mkdocs is not installed", exc_type=ImportError)


class Page:
    """A page of docs/, as mkdocs hands it to hooks."""

    def __init__(self, uri: str) -> None:
        self.file = self
        self.src_uri = uri
        self.abs_src_path = str(ROOT / "docs" / uri)
        self.generated_by = self.content_string = None


class Site:
    """A site of these pages."""

    def __init__(self, *uris: str) -> None:
        self._uris = uris

    def get_file_from_path(self, uri: str) -> object:
        return uri if uri in self._uris else None


def mended(text: str, page: str = "tutorials/first_model.md") -> str:
    return hooks.on_page_markdown(text, Page(page), None, Site("models/README.md", "numerics.md"))


def test_every_page_is_in_the_navigation():
    nav = set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")}
    assert pages <= nav
    assert {"reference/lba_onnx.md", "reference/torch.md"} <= nav


def test_links_lead_to_pages_of_the_site():
    assert mended("[m](../../models/README.md#int8-models)") == "[m](../models/README.md#int8-models)"
    assert mended("[n](../numerics.md)") == "[n](../numerics.md)"
    assert mended("[n](numerics.md)", "index.md") == "[n](numerics.md)"


def test_a_link_to_what_is_no_page_becomes_its_text():
    assert mended("see [`the build`](../../pyproject.toml), x[0](y)") == "see `the build`, x[0](y)"


def test_links_elsewhere_stay():
    for link in ("[a](https://example.org/a)", "[b](#here)", "[c](mailto:a@example.org)"):
        assert mended(link) == link


@pytest.mark.parametrize("module", ["lba_onnx", "lba_onnx.torch"])
def test_the_reference_has_every_public_name(module: str):
    names = importlib.import_module(module).__all__
    assert sorted(re.findall(rf"^::: {module}\.(\w+)$", hooks.reference(module), re.MULTILINE)) == sorted(names)

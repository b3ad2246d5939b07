"""The site: every page is in its navigation, links are mended, and its reference has every public name.

`mkdocs build --strict`, a step of .ci/run, finds dead links and names that cannot be documented.
"""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import lba_onnx

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
    assert {f"reference/{module.split('.')[-1]}.md" for module in hooks.public_modules()} <= nav


def test_links_lead_to_pages_of_the_site():
    assert mended("[m](../../models/README.md#int8-models)") == "[m](../models/README.md#int8-models)"
    assert mended("[n](../numerics.md)") == "[n](../numerics.md)"
    assert mended("[n](numerics.md)", "index.md") == "[n](numerics.md)"


def test_a_link_to_what_is_no_page_becomes_its_text():
    assert mended("see [`the build`](../../pyproject.toml), x[0](y)") == "see `the build`, x[0](y)"


def test_links_elsewhere_stay():
    for link in ("[a](https://example.org/a)", "[b](#here)", "[c](mailto:a@example.org)"):
        assert mended(link) == link


def test_every_package_with_public_names_is_in_the_reference_or_internal():
    packages = {module.name for module in pkgutil.iter_modules(lba_onnx.__path__) if module.ispkg}
    public = {module.removeprefix("lba_onnx.") for module in hooks.public_modules()} - {"lba_onnx"}
    nameless = packages - public - set(hooks.INTERNAL)
    assert all(not hasattr(importlib.import_module(f"lba_onnx.{name}"), "__all__") for name in nameless)
    assert {"arithmetic", "calibration", "shipping", "torch"} <= public <= packages
    assert set(hooks.INTERNAL) <= packages


@pytest.mark.parametrize("module", hooks.public_modules())
def test_the_reference_has_every_public_name(module: str):
    page = hooks.reference(module)
    told = re.findall(rf"^(?:::: {module}\.|- \[)(\w+)", page, re.MULTILINE)
    assert sorted(told) == sorted(hooks.public_names(module)) != []


def test_links_of_the_reference_lead_to_the_same_things():
    links = [
        (module, name)
        for module in hooks.public_modules()
        for name in re.findall(r"\(lba_onnx\.md#lba_onnx\.(\w+)\)", hooks.reference(module))
    ]
    assert ("lba_onnx.costing", "cost") in links
    for module, name in links:
        assert getattr(importlib.import_module(module), name) is getattr(lba_onnx, name)

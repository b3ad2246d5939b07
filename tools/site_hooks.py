"""What mkdocs needs besides mkdocs.yml: pages from outside docs/, links that lead there, the reference of public names.

models/README.md, CHANGELOG.md, ...     become pages of the site
[models](../models/README.md)           leads to that page; a link to a file that is no page becomes its text
reference/lba_onnx.md                   made of lba_onnx.__all__; likewise a page for every public package in it
"""

import ast
import importlib
import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

import lba_onnx

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

INTERNAL = ("cli", "native", "text")  # packages of lba_onnx that are no interface: `lba-onnx --help` tells the first
_OUTSIDE = ("CHANGELOG.md", "models/README.md", "models/*/README.md", "examples/**/README.md")
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside docs/, and the reference."""
    for path in sorted(path for pattern in _OUTSIDE for path in ROOT.glob(pattern)):
        uri = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, uri, abs_src_path=str(path), inclusion=InclusionLevel.NOT_IN_NAV))
    for module in public_modules():
        uri = f"reference/{module.split('.')[-1]}.md"
        files.append(File.generated(config, uri, content=reference(module)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links to where their targets are on the site."""
    if page.file.generated_by and page.file.content_string and page.file.abs_src_path is None:
        return markdown
    of_page = Path(page.file.abs_src_path).parent
    mended = _LINK.sub(lambda link: _mended(link, of_page, page.file.src_uri, files), markdown)
    return mended.replace("```text about\n", "```text\n")


def _mended(link: re.Match[str], folder: Path, uri: str, files: Files) -> str:
    text, target, anchor = link.groups()
    real = Path(os.path.normpath(folder / target))
    if not real.is_relative_to(ROOT) or not real.exists():
        return link.group()
    on_site = real.relative_to(DOCS if real.is_relative_to(DOCS) else ROOT).as_posix()
    if files.get_file_from_path(on_site) is None:
        return text
    return f"[{text}]({os.path.relpath(on_site, os.path.dirname(uri) or '.')}{anchor or ''})"


def public_modules() -> list[str]:
    """Return lba_onnx and its packages that have public names, but for the internal ones."""
    packages = [path.parent.name for path in sorted((ROOT / "lba_onnx").glob("*/__init__.py"))]
    modules = [f"lba_onnx.{name}" for name in packages if name not in INTERNAL]
    return ["lba_onnx", *filter(public_names, modules)]


def public_names(module: str) -> list[str]:
    """Return a module's __all__, without importing it where the source has a plain list: lba_onnx.olive needs Olive."""
    source = ROOT.joinpath(*module.split("."), "__init__.py").read_text()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value) if isinstance(node.value, ast.List) else list(_imported(module))
    return []


def _imported(module: str) -> list[str]:
    names: list[str] = importlib.import_module(module).__all__
    return names


def reference(module: str) -> str:
    """Return the page of a module's public names: functions, classes, what is neither, links to what lba_onnx has."""
    names = public_names(module)
    told = [name for name in names if module == f"lba_onnx.{lba_onnx._HOMES.get(name)}"]
    others = [name for name in names if name.isupper() or name in ("reference", "__version__")]
    groups = {
        "Functions": [name for name in names if name[0].islower() and name not in told + others],
        "Classes": [name for name in names if name[0].isupper() and name not in told + others],
        "Others": others,
    }
    lines = [f"# {module}", "", "All public names.", ""]
    for title, members in groups.items():
        lines += [f"## {title}", "", *(f"::: {module}.{name}\n" for name in members)] if members else []
    if told:
        lines += ["## Told in lba_onnx", "", *(f"- [{name}](lba_onnx.md#lba_onnx.{name})" for name in told), ""]
    return "\n".join(lines)

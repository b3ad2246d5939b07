"""What mkdocs needs besides mkdocs.yml: pages from outside docs/, links that lead there, the reference of public names.

models/README.md, CHANGELOG.md, ...     become pages of the site
[models](../models/README.md)           leads to that page; a link to a file that is no page becomes its text
reference/lba_onnx.md                   made of lba_onnx.__all__
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT))

_OUTSIDE = ("CHANGELOG.md", "models/README.md", "models/*/README.md", "examples/**/README.md")
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside docs/, and the reference."""
    for path in sorted(path for pattern in _OUTSIDE for path in ROOT.glob(pattern)):
        uri = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, uri, abs_src_path=str(path), inclusion=InclusionLevel.NOT_IN_NAV))
    for uri, module in (("reference/lba_onnx.md", "lba_onnx"), ("reference/torch.md", "lba_onnx.torch")):
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


def reference(module: str) -> str:
    """Return the page of a module's public names: functions, then classes, then what is neither."""
    names = __import__(module, fromlist=["__all__"]).__all__
    groups = {
        "Functions": [name for name in names if name[0].islower() and name != "reference"],
        "Classes": [name for name in names if name[0].isupper()],
        "Others": [name for name in names if name in ("reference", "__version__")],
    }
    lines = [f"# {module}", "", "All public names.", ""]
    for title, members in groups.items():
        lines += [f"## {title}", "", *(f"::: {module}.{name}\n" for name in members)] if members else []
    return "\n".join(lines)

"""The snippets of README.md and docs/ run as they stand, in a folder that holds the files they name.

docs/numerics.md is a doctest, run by test_reference.py.
"""

import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import lba_onnx

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("models/**/*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


SNIPPETS = [
    pytest.param(snippet, id=f"{page.stem}-{index}")
    for page in PAGES
    for index, snippet in enumerate(blocks(page, "python"))
    if not snippet.startswith(">>>")
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    data = Path(str(files("lba_onnx").joinpath("demo_data")))
    for source, target in (
        ("fashion_cnn.onnx", "model.onnx"),
        ("fashion_calibration_256.npz", "samples.npz"),
        ("fashion_test_1000.npz", "test.npz"),
    ):
        shutil.copy(data / source, tmp_path / target)
    lba_onnx.convert(
        data / "fashion_cnn.onnx", lba_onnx.AccumulatorSpec.parse("M7E4b10"), model_output=tmp_path / "model_lba.onnx"
    )
    shutil.copytree(data, tmp_path / "models" / "demo")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_snippets() -> None:
    assert {str(parameter.id).rsplit("-", 1)[0] for parameter in SNIPPETS} >= {"README", "conversion", "operators"}


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_python_snippet_runs(folder: Path, snippet: str) -> None:
    subprocess.run([sys.executable, "-c", snippet], check=True, cwd=folder)


def test_commands_run(folder: Path) -> None:
    lines = [line.split("#")[0].strip() for block in blocks(README, "sh") for line in block.splitlines()]
    assert len(lines) == 5
    for line in lines:
        done = subprocess.run([sys.executable, "-m", "lba_onnx", *line.split()[1:]], capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!http|#)([^)#]+)[^)]*\)", page.read_text()):
        assert (page.parent / target).exists(), target

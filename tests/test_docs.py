"""The snippets of README.md run as they stand, in a folder that holds the files they name."""

import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    data = Path(str(files("lba_onnx").joinpath("demo_data")))
    for source, target in (
        ("fashion_cnn.onnx", "model.onnx"),
        ("fashion_calibration_256.npz", "samples.npz"),
        ("fashion_test_1000.npz", "test.npz"),
    ):
        shutil.copy(data / source, tmp_path / target)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_snippets_run(folder: Path) -> None:
    snippets = blocks("python")
    assert snippets
    for snippet in snippets:
        subprocess.run([sys.executable, "-c", snippet], check=True, cwd=folder)


def test_commands_run(folder: Path) -> None:
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 5
    for line in lines:
        done = subprocess.run([sys.executable, "-m", "lba_onnx", *line.split()[1:]], capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stderr}"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (Path(__file__).parent.parent / target).exists(), target

"""The snippets of README.md and docs/ run as they stand, in a folder that holds the files they name.

A tutorial, like docs/pytorch.md, starts in an empty folder; its commands and snippets run one after the other, snippets
in one interpreter. What it shows as "text" is what the commands before it printed; as "text about", up to what another
processor may make of it. docs/numerics.md is a doctest, run by test_reference.py.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import lba_onnx
from lba_onnx.calibration.plot import plot_node
from lba_onnx.cli import main
from lba_onnx.demo import demo_data_path
from models.int8 import zoo as int8

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TUTORIALS = sorted(ROOT.glob("docs/tutorials/*.md"))
PAGES = [README, *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("models/**/*.md"))]
PYTORCH = ROOT / "docs/pytorch.md"
DATA = demo_data_path()

INTERPRETER = """
import contextlib, io, json, sys
names = {"__name__": "__main__"}
for line in sys.stdin:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(json.loads(line), names)
    print(json.dumps(printed.getvalue()), flush=True)
"""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def torch_marks(text: str) -> list[pytest.MarkDecorator]:
    """Return what skips a text whose snippets need PyTorch where there is none."""
    missing = [name for name in ("torch", "onnxscript") if find_spec(name) is None]
    if "lba_onnx.torch import" not in text:
        return []
    return [pytest.mark.torch, pytest.mark.skipif(bool(missing), reason=f"needs {' and '.join(missing)}")]


SNIPPETS = [
    pytest.param(snippet, id=f"{page.stem}-{index}", marks=torch_marks(snippet))
    for page in PAGES
    if page not in (*TUTORIALS, PYTORCH)
    for index, snippet in enumerate(blocks(page, "python"))
    if not snippet.startswith(">>>")
]


@pytest.fixture(scope="session")
def int8_model() -> Path:
    return Path(int8.load("demo", "qdq-u8s8-channel").model.model_path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, int8_model: Path) -> Path:
    """Holds a few samples each: that snippets run does not depend on how many."""
    shutil.copy(DATA / "fashion_cnn.onnx", tmp_path / "model.onnx")
    for source, target, count in (
        ("fashion_calibration_256.npz", "samples.npz", 64),
        ("fashion_test_1000.npz", "test.npz", 100),
    ):
        with np.load(DATA / source) as samples:
            np.savez(tmp_path / target, **{name: values[:count] for name, values in samples.items()})
    lba_onnx.convert(tmp_path / "model.onnx", "M7E4b10", model_output=tmp_path / "model_lba.onnx")
    shutil.copy(int8_model, tmp_path / "model_int8.onnx")
    shutil.copytree(DATA, tmp_path / "models" / "demo")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_snippets() -> None:
    assert {str(parameter.id).rsplit("-", 1)[0] for parameter in SNIPPETS} >= {"README", "conversion", "operators"}


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_python_snippet_runs(folder: Path, snippet: str) -> None:
    subprocess.run([sys.executable, "-c", snippet], check=True, cwd=folder)


def test_commands_run(folder: Path) -> None:
    lines = [line.split("#")[0].strip() for block in blocks(README, "sh") for line in block.splitlines()]
    assert len(lines) > 5 and all(line.startswith("lba-onnx ") for line in lines)
    for line in lines:
        output_of(line.split()[1:])


@pytest.mark.parametrize("page", ["cost", "error_theory"])
def test_rows_that_pages_show_are_those_of_the_command(folder: Path, page: str) -> None:
    """The first command is the one whose output stands below, but for what `...` leaves out."""
    path = ROOT / f"docs/{page}.md"
    command = blocks(path, "sh")[0].splitlines()[0].split("#")[0].split()
    printed = {" ".join(line.split()) for line in output_of(command[1:]).splitlines()}
    shown = {" ".join(line.split()) for line in blocks(path, "text")[0].splitlines()} - {"..."}
    assert len(shown) >= 4 and shown <= printed, shown - printed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!http|#)([^)#]+)[^)]*\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("method", ["max", "percentile"])
def test_figures_of_the_calibration_page_are_those_of_today(tmp_path: Path, method: str) -> None:
    calibration = lba_onnx.calibrate(DATA / "fashion_cnn.onnx", DATA / "fashion_calibration_256.npz", "M6E3", method)
    plot_node(calibration, "block2.first.conv", plot := tmp_path / "plot.svg")
    found = [re.findall("<text[^>]*>([^<]*:[^<]*)<", path.read_text()) for path in (plot, figure(method))]
    assert found[0] == found[1] and len(found[0]) == 6


def figure(method: str) -> Path:
    return ROOT / f"docs/images/calibration_{method}.svg"


SESSIONS = [
    *(pytest.param(page, id=page.stem, marks=[pytest.mark.slow, *torch_marks(page.read_text())]) for page in TUTORIALS),
    pytest.param(PYTORCH, id=PYTORCH.stem, marks=torch_marks(PYTORCH.read_text())),
]


@pytest.mark.parametrize("page", SESSIONS)
def test_page_runs_and_prints_what_it_shows(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    printed = ""
    with interpreter(tmp_path) as run_python:
        for language, block in re.findall(r"```(python|sh|text|text about)\n(.*?)```", page.read_text(), re.DOTALL):
            if language.startswith("text"):
                missing = [line for line in block.splitlines() if not is_shown(line, printed, language == "text about")]
                assert not missing, printed
            elif language == "python":
                printed = run_python(block)
            else:
                printed = "".join(map(output_of, commands_of(block)))


@contextmanager
def interpreter(folder: Path) -> Iterator[Callable[[str], str]]:
    """Yield a function that runs a snippet, after those before it in the same process, and returns what it prints."""
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [sys.executable, "-c", INTERPRETER],
            cwd=folder,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        ) as process,
    ):
        assert process.stdin is not None and process.stdout is not None
        requests, answers = process.stdin, process.stdout

        def run_python(snippet: str) -> str:
            requests.write(json.dumps(snippet) + "\n")
            requests.flush()
            answer = answers.readline()
            if not answer:
                process.wait()
                errors.seek(0)
                pytest.fail(f"{snippet}\n{errors.read()}")
            return str(json.loads(answer))

        yield run_python


def commands_of(block: str) -> list[list[str]]:
    lines = block.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines]


def output_of(arguments: list[str]) -> str:
    """Return what `lba-onnx` prints in this folder."""
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, f"{arguments}: {done.output}"
    return done.stdout


def is_shown(shown: str, printed: str, is_about: bool = False) -> bool:
    """Return whether a printed line has the words of a shown one in this order; others, as at "...", may be between."""
    return shown == "..." or any(has_words(line, shown, is_about) for line in printed.splitlines())


def has_words(line: str, shown: str, is_about: bool) -> bool:
    words = iter(re.sub("[│┃━┏┓┗┛┡┩]", " ", line).split())
    is_equal = is_near if is_about else str.__eq__
    return all(any(is_equal(word, found) for found in words) for word in shown.split() if word != "...")


def is_near(shown: str, found: str) -> bool:
    """Return whether two words are equal, decimal numbers in them up to 2 % or 0.45.

    Corrected weights are fitted to outputs of float32 layers, which may round otherwise on another processor; that
    moves up to two of 500 images to another class.
    """
    number = r"[+-]?\d+\.\d+"
    if re.sub(number, "#", shown) != re.sub(number, "#", found):
        return False
    pairs = zip(re.findall(number, shown), re.findall(number, found), strict=True)
    return all(float(a) == pytest.approx(float(b), rel=0.02, abs=0.45) for a, b in pairs)


def test_shown_lines_have_to_be_printed() -> None:
    printed = "│ M4E3 │ on │ 65.60 │ 61.33 to 69.63 │\nfirst: 3 (0.15 %)"
    for shown in ("M4E3 on 65.60 61.33 to 69.63", "M4E3  65.60", "M4E3 ... 61.33", "...", "first: (0.15 %)"):
        assert is_shown(shown, printed), shown
    for shown in ("M4E4 on", "M4E3 65.61", "on M4E3", "M4E3 first:", "first: 4", "first: (0.16 %)"):
        assert not is_shown(shown, printed), shown
    assert is_shown("M4E3 65.20", printed, is_about=True)
    for shown in ("M4E3 66.95", "M4E4 65.60", "first: 4", "first: (0.61 %)"):
        assert not is_shown(shown, printed, is_about=True), shown

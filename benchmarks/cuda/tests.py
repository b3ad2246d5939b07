"""Runs the tests marked gpu in a process of their own and counts what came of them."""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.cuda.report import Column, Row

TESTS = Path(__file__).parents[2] / "tests"
COLUMNS = (
    Column("case", "tests"),
    Column("passed", "passed", "d"),
    Column("failed", "failed", "d"),
    Column("skipped", "skipped", "d"),
    Column("note", "note"),
)
# The plain settings: a machine with a GPU need not have the plugins that pyproject.toml's name.
_OPTIONS = (
    "-m", "gpu", "-q", "-p", "no:cacheprovider", "--override-ini=addopts=", "-W", "ignore::pytest.PytestConfigWarning",
)  # fmt: skip
_LONGEST_MESSAGE = 2000


def find_files() -> list[Path]:
    """The files with these tests; the one that takes longest is the last."""
    return sorted(TESTS.glob("test_gpu_*.py"), key=lambda path: (path.stem.endswith("sanitizer"), path.name))


def run_tests(files: list[Path], deadline: float) -> list[Row]:
    """Counts of each file, and what its failed and skipped tests say; a file that hangs takes no other along.

    Args:
        files: Files of tests.
        deadline: When to stop, by time.monotonic().
    """
    return [row for file in files for row in _run_file(file, deadline - time.monotonic())]


def _run_file(file: Path, seconds: float) -> list[Row]:
    if seconds <= 0:
        return [{"case": file.stem, "note": "no time left"}]
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [sys.executable, "-m", "pytest", str(file), *_OPTIONS, f"--junitxml={results}"]
        try:
            done = subprocess.run(
                command, cwd=TESTS.parent, capture_output=True, text=True, timeout=seconds, check=False
            )
            output = done.stdout + done.stderr
        except subprocess.TimeoutExpired as error:
            output = f"stopped after {seconds:.0f} s: {(error.stdout or b'').decode(errors='replace')}"
        if not results.exists():
            note = " ".join(output.split())[-_LONGEST_MESSAGE:]
            return [{"case": file.stem, "passed": 0, "failed": 1, "skipped": 0, "note": note}]
        counts, notes = _read(results)
        return [{"case": file.stem, **counts}, *notes]


def _read(results: Path) -> tuple[Row, list[Row]]:
    counts: Counter[str] = Counter(passed=0, failed=0, skipped=0)
    told: Counter[tuple[str, str, str]] = Counter()
    for case in ElementTree.parse(results).iter("testcase"):
        outcome, message = _outcome(case)
        counts[outcome] += 1
        if outcome != "passed":
            name = (
                f"{case.get('classname')}::{case.get('name')}"
                if outcome == "failed"
                else case.get("classname") or str(case.get("name"))
            )
            told[(outcome, name, message)] += 1
    notes = [
        {"case": f"  {name}", outcome: count, "note": message[-_LONGEST_MESSAGE:]}
        for (outcome, name, message), count in told.items()
    ]
    return dict(counts), notes


def _outcome(case: ElementTree.Element) -> tuple[str, str]:
    for child in case:
        if child.tag in ("failure", "error"):
            return "failed", " ".join((child.text or child.get("message") or "").split())
        if child.tag == "skipped":
            is_whole_file = child.get("message") == "collection skipped"
            return "skipped", str(child.text if is_whole_file else child.get("message"))
    return "passed", ""

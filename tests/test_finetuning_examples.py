"""Every fine-tuning experiment runs, repeats nothing, and docs/finetuning.md shows what was measured."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="needs PyTorch")

from examples.finetuning import data, experiment, fashion_cnn, mlp, page, text_classifier, transformer  # noqa: E402
from examples.finetuning.data import DataSet, Split  # noqa: E402
from examples.finetuning.store import Store, read_rows  # noqa: E402
from examples.finetuning.tables import cross_table, mean_and_spread  # noqa: E402

DEMO = Path(__file__).parent.parent / "models" / "demo" / "fashion_test_1000.npz"


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small data without downloads: the demo's images, and texts of random word pieces."""
    with np.load(DEMO) as file:
        images, labels = (torch.from_numpy(file[name]) for name in ("image", "label"))
    small = DataSet(Split(images[:64], labels[:64]), Split(images[64:96], labels[64:96]))
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 40, (96, 6), generator=generator)
    texts = DataSet(*(Split(part, (part[:, 0] > 20).long()) for part in (tokens[:64], tokens[64:])))
    readers = {"MNIST": lambda: small, "Fashion-MNIST": lambda: small, "texts": lambda: texts}
    monkeypatch.setattr(data, "READERS", readers)
    for name in ("estimators", "dual_stage", "cnn", "float8", "transformer", "mlp", "fashion_cnn"):
        monkeypatch.setattr(f"examples.finetuning.{name}.READERS", readers)
    yield
    mlp._trained_once.cache_clear()
    transformer.trained_classifier.cache_clear()


@pytest.fixture
def small_networks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One epoch of float32 training, and a narrow transformer with random weights."""
    monkeypatch.setenv("LBA_ONNX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fashion_cnn, "FLOAT32_EPOCHS", 1)
    monkeypatch.setattr("models.demo.train.BATCH", 32)
    monkeypatch.setattr("examples.finetuning.cnn.BATCH", 32)
    for name, value in {"PIECES": 40, "POSITIONS": 8, "WIDTH": 16, "INNER_WIDTH": 24, "HEADS": 2}.items():
        monkeypatch.setattr(text_classifier, name, value)
    monkeypatch.setattr(
        transformer,
        "make_text_classifier",
        lambda layers, classes, seed: text_classifier.TextClassifier(layers, classes),
    )


def run(name: str, monkeypatch: pytest.MonkeyPatch, path: Path, *options: str) -> list[dict]:
    monkeypatch.setattr(sys, "argv", [name, "--seeds", "0", "--epochs", "2", "--json_path", str(path), *options])
    threads = torch.get_num_threads()
    experiment.main(page.EXPERIMENTS[name], None)
    torch.set_num_threads(threads)
    return read_rows(path)


@pytest.mark.parametrize(
    ("name", "select", "count"),
    [
        ("estimators", "MNIST 256*b8", 9),
        ("dual_stage", "from float32 M4E3b6", 3),
        ("cnn", "M4E3", 4),
        ("float8", "", 5),
        ("transformer", "", 5),
    ],
)
def test_experiment_runs_and_repeats_nothing(
    name: str,
    select: str,
    count: int,
    small_networks: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "results.json"
    rows = run(name, monkeypatch, path, "--select", select)
    assert len(rows) == count and all(0 <= row["accuracy"] <= 100 for row in rows)
    for row in rows:
        assert row.get("differing_values", 0) == 0
    printed = capsys.readouterr().out
    assert "| --- |" in printed and ": there" not in printed
    assert run(name, monkeypatch, path, "--select", select) == rows
    assert capsys.readouterr().out.count(": there") == len(rows)


def test_other_epochs_are_other_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    run("dual_stage", monkeypatch, path, "--select", "M7E4b5*one stage")
    run("dual_stage", monkeypatch, path, "--select", "M7E4b5*one stage", "--epochs", "1")
    assert [row["epochs"] for row in read_rows(path)] == [2, 1]


def test_unknown_case_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a pattern of cases such as 'float32 zero-shot', got 'M9E9'"):
        experiment.select(page.EXPERIMENTS["cnn"].cases, "M9E9", None)


def test_cases_of_an_experiment_differ_and_are_read_back_from_json() -> None:
    for described in page.EXPERIMENTS.values():
        keys = [json.dumps(vars(case)) for case in described.cases]
        assert len(set(keys)) == len(keys)
        assert [json.loads(key) for key in keys] == [vars(case) for case in described.cases]


def test_store_replaces_the_row_of_the_same_settings(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    for accuracy in (1.0, 2.0):
        Store("e", {}, path).add({"case": "a", "seed": 0}, {"accuracy": accuracy})
    other = Store("e", {}, path)
    other.add({"case": "a", "seed": 1}, {"accuracy": 3.0})
    assert [row["accuracy"] for row in other.rows] == [2.0, 3.0]
    assert other.holds({"case": "a", "seed": 1}) and not other.holds({"case": "b", "seed": 1})


def test_table_shows_mean_and_sample_deviation_over_seeds() -> None:
    rows = [{"line": "a", "column": "x", "accuracy": value} for value in (90.0, 91.0, 95.0)]
    rows.append({"line": "b", "column": "y", "accuracy": 50.0})
    table = cross_table(rows, "", lambda row: row["line"], lambda row: row["column"])
    assert table.splitlines()[2:] == ["| a | 92.0 ± 2.6 |  |", "| b |  | 50.0 |"]
    assert mean_and_spread([]) == ""


def test_rows_are_shown_in_the_order_of_the_cases() -> None:
    described = page.EXPERIMENTS["float8"]
    rows = [{**vars(case), "seed": seed, "accuracy": 90.0 + seed} for seed in (1, 0) for case in described.cases]
    assert experiment.show(described, rows) == experiment.show(described, rows[::-1])


def test_page_shows_the_measured_tables() -> None:
    text = page.PAGE.read_text()
    assert page.fill(text, dict(page.read_tables())) == text


def test_page_refuses_a_table_without_a_place() -> None:
    with pytest.raises(ValueError, match="one place for the table 'other', got 0"):
        page.fill(page.PAGE.read_text(), {"other": ""})


def test_committed_results_are_those_of_the_cases() -> None:
    for name, described in page.EXPERIMENTS.items():
        keys = [vars(case) for case in described.cases]
        for row in read_rows(page.RESULTS / f"{name}.json"):
            assert any(key.items() <= row.items() for key in keys), row

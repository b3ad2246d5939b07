"""What a sweep finds, in this process, and what it writes."""

import csv
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import small_models
import sweep_models

from lba_onnx import AccumulatorSpec, ModelFile, Samples, Selection, calibrate, compare, convert
from lba_onnx.errors import DataError, LbaError, ModelError
from lba_onnx.rewrite.model_hash import model_hash
from lba_onnx.sweeping import GridPoint, job, parts, sweep
from lba_onnx.sweeping.grid import make_grid
from lba_onnx.sweeping.models import convert_packed, pack
from lba_onnx.sweeping.plot import plot_sweep

MODEL = small_models.network()
CALIBRATION = {"x": small_models.images(24, seed=2)}


def test_grid_has_all_combinations_and_the_rule_of_the_product_bias():
    grid = make_grid(["M7E4", "M7E4,chunk=none", "M5E4"], [8, "max"])
    assert len(set(grid)) == 6
    assert grid[:3] == (GridPoint("M7E4", 8), GridPoint("M7E4", "max"), GridPoint("M7E4,chunk=none", 8))
    assert str(grid[0].spec) == "M7E4b10/M7E4b8"
    assert grid[1].spec is None
    assert str(grid[2].spec) == "M7E4b8/M7E4b8,chunk=none"


def test_grid_takes_options_in_texts_and_whole_accumulators():
    grid = make_grid(["M7E4,chunk=8", "M7E4b12/M7E4b10,round=nearest"], [8, 9])
    assert [str(point) for point in grid] == ["M7E4,chunk=8 b8", "M7E4,chunk=8 b9", "M7E4b12/M7E4b10,round=nearest"]
    assert grid[2].bias is None and str(grid[2].spec) == "M7E4b12/M7E4b10,round=nearest"


@pytest.mark.parametrize(
    "axes",
    [(["M7E"], [8]), ([], [8]), (["M7E4"], []), (["M7E4"], [500]), (["M7E4,chunk=0"], ["max"])],
)
def test_grid_refuses_what_is_no_arithmetic(axes):
    with pytest.raises(ValueError, match="expected|bias"):
        make_grid(*axes)


def test_points_are_what_convert_and_compare_find():
    result = sweep_models.run(biases=(8, "max"), calibration_data=CALIBRATION, metric=sweep_models.first)
    for point in result.points:
        specs = point.grid.spec or calibrate(MODEL, CALIBRATION, point.grid.text).specs
        converted, _ = convert(MODEL, specs)
        assert point.comparison == compare(
            MODEL, converted, Samples(sweep_models.DATA, batch_size=2), metric=sweep_models.first
        )
        assert point.comparison.reference == result.float32
    assert len({str(point.comparison) for point in result.points}) == 4  # they are not all alike


def test_shards_change_nothing():
    whole = sweep_models.run(shard_size=1000)
    assert whole == sweep_models.run(shard_size=1) == sweep_models.run(shard_size=7)
    assert whole.samples == sweep_models.IMAGES


def test_data_may_come_from_an_iterator_and_labels_apart():
    images, labels = sweep_models.DATA["x"], sweep_models.DATA["label"]
    feeds = ({"x": images[i : i + 2]} for i in range(0, len(images), 2))
    given = sweep_models.run(Samples(feeds, labels, batch_size=2))
    assert given == sweep_models.run()
    assert given.float32.top1 is not None


def test_preprocess_and_max_samples_and_selection_are_passed_on():
    def halve(feeds):
        return {"x": feeds["x"] / 2}

    def first_point(preprocess=None, **settings):
        samples = replace(sweep_models.SAMPLES, max_samples=6, preprocess=preprocess)
        return sweep_models.run(samples, families="M5E4", biases=8, **settings).points[0].comparison

    selection = Selection(nodes_to_exclude=["conv1"])
    converted, _ = convert(MODEL, AccumulatorSpec.parse("M5E4b8"), selection=selection)
    data = {"x": sweep_models.DATA["x"][:6] / 2, "label": sweep_models.DATA["label"][:6]}
    found = first_point(halve, selection=selection)
    assert found == compare(MODEL, converted, Samples(data, batch_size=2))
    assert found != first_point(halve) and found != first_point(selection=selection)


def test_reference_may_be_another_model():
    other, _ = convert(MODEL, AccumulatorSpec.parse("M7E4b8"))
    point = sweep_models.run(families="M7E4", biases=8, reference=other).points[0]
    assert point.comparison.agreement.percent == 100
    assert point.comparison.outputs[0].sqnr_db == np.inf
    other.graph.node[-1].output[0] = other.graph.output[0].name = "z"
    with pytest.raises(ModelError, match="expected the outputs of the reference, z, got y"):
        sweep_models.run(reference=other)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"biases": "max"}, "expected data to calibrate on, for the biases 'max', got none"),
        ({"biases": "best"}, "expected a method out of max.*got 'best'"),
        ({"biases": "best", "calibration_data": CALIBRATION}, "expected a method out of max.*got 'best'"),
        ({"workers": 0}, "expected workers of at least 1, got 0"),
        ({"workers": 1, "scheduler": "tcp://x"}, "expected workers on this machine or a scheduler, got both"),
        ({"shard_size": 0}, "expected shard_size of at least 1, got 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises((ValueError, DataError), match=message):
        sweep_models.run(**settings)


def test_calibration_data_that_can_be_read_once_only_is_refused():
    feeds = [{"x": CALIBRATION["x"]}]
    with pytest.raises(DataError):
        sweep_models.run(biases="max", calibration_data=iter(feeds))


def test_worker_with_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(parts, "package_version", lambda: "9.9")
    with pytest.raises(LbaError, match="expected lba-onnx .* on every worker.* one has 9.9"):
        sweep_models.run()


def test_large_model_travels_as_a_path(tmp_path):
    path = tmp_path / "model.onnx"
    nothing = Selection(nodes_to_exclude=[".*"])
    _, report = convert(MODEL, "M7E4b8", selection=nothing, model_output=ModelFile(path, use_external_data_format=True))
    assert not report.converted and list(tmp_path.glob("model.onnx.lba-*.data"))
    assert isinstance(pack(path), bytes)
    assert pack(path, max_bytes=0) == str(path)
    (tmp_path / "converted").mkdir()
    converted = convert_packed(str(path), AccumulatorSpec.parse("M7E4b8"), Selection(), tmp_path / "converted")
    assert isinstance(converted, Path)


def test_a_job_knows_a_large_model_by_its_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "pack", lambda model: pack(model, max_bytes=0))
    digests = []
    for folder, change in (("first", 0), ("moved", 0), ("changed", 1)):
        path = tmp_path / folder / "model.onnx"
        path.parent.mkdir()
        onnx.save_model(
            small_models.network(), path, save_as_external_data=True, location="weights.bin", size_threshold=0
        )
        weights = bytearray((path.parent / "weights.bin").read_bytes())
        weights[-1] ^= change
        (path.parent / "weights.bin").write_bytes(weights)
        made = job.make_job(path, None, Selection(), False, None, ["CPUExecutionProvider"])
        assert made.model == str(path) and made.model_sha256 == made.reference_sha256 == model_hash(path)
        digests.append(made.digest)
    assert digests[0] == digests[1] != digests[2]


def test_interrupted_sweep_goes_on_where_it_was(tmp_path, monkeypatch):
    journal = tmp_path / "journal"
    ran = count_parts(monkeypatch)

    def interrupt(done, total):
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep_models.run(journal_path=journal, progress=interrupt)
    assert len(ran) == 5
    with journal.open("a") as file:
        file.write('{"key": "cut sho')
    assert sweep_models.run(journal_path=journal) == sweep_models.run()
    assert len(ran) == 32 + 32
    sweep_models.run(journal_path=journal)
    assert len(ran) == 32 + 32


def test_journal_of_something_else_plays_no_part(tmp_path, monkeypatch):
    journal = tmp_path / "journal"
    sweep_models.run(journal_path=journal)
    ran = count_parts(monkeypatch)
    images = sweep_models.DATA["x"].copy()
    images[-1] += 1
    changed = sweep_models.run(Samples({**sweep_models.DATA, "x": images}, batch_size=2), journal_path=journal)
    assert len(ran) == 4  # the last shard of four points
    assert changed.data_sha256 != sweep_models.run().data_sha256
    families = [f"{family},underflow=off" for family in sweep_models.GRID["families"]]
    selection = Selection(nodes_to_exclude=["conv1"])
    for settings in ({"selection": selection}, {"metric": sweep_models.first}, {"families": families}):
        ran.clear()
        sweep_models.run(journal_path=journal, **settings)
        assert len(ran) == 32


@pytest.mark.parametrize("content", [b"[]\n", b'{"some": "settings"}', b"\x08\x09 a model\n of somebody", b"a\nb"])
def test_file_that_is_no_journal_is_refused_and_left_as_it_is(tmp_path, content):
    journal = tmp_path / "journal"
    journal.write_bytes(content)
    with pytest.raises(DataError, match="journal: expected what an unfinished sweep has left"):
        sweep_models.run(journal_path=journal)
    assert journal.read_bytes() == content


@pytest.mark.parametrize("is_converted", [True, False])
def test_model_without_nodes_to_convert_is_refused(is_converted):
    without = convert(MODEL, AccumulatorSpec.parse("M7E4b10"))[0] if is_converted else small_models.model(
        [small_models.helper.make_node("Relu", ["x"], ["y"])],
        [small_models.tensor("x", "batch", 1, 8, 8)], [small_models.tensor("y", "batch", 1, 8, 8)],
    )  # fmt: skip
    with pytest.raises(ModelError, match="expected at least one MatMul, Gemm or Conv to convert, got none"):
        sweep(without, {"x": small_models.images(2)}, biases=10)


def count_parts(monkeypatch) -> list[int]:
    ran, run_part = [], parts.run_part

    def counted(*arguments):
        ran.append(1)
        return run_part(*arguments)

    monkeypatch.setattr("lba_onnx.sweeping.pools.run_part", counted)
    return ran


def test_json_and_csv_hold_the_figures(tmp_path):
    result = sweep_models.run(families=("M7E4", "M7E4,chunk=none", "M5E4", "M5E4,chunk=none"))
    result.save(tmp_path / "sweep.json")
    value = json.loads((tmp_path / "sweep.json").read_text())
    assert value["kind"] == "lba_onnx.sweep" and value["samples"] == sweep_models.IMAGES
    result.save_csv(tmp_path / "sweep.csv")
    with (tmp_path / "sweep.csv").open(newline="") as file:
        float32, *rows = csv.DictReader(file)
    assert float32["text"] == "float32" and float(float32["top1"]) == result.float32.top1.percent
    assert len(rows) == len(value["points"]) == 8
    for row, entry, point in zip(rows, value["points"], result.points, strict=True):
        comparison = point.comparison
        assert entry["comparison"] == comparison.to_json()
        assert (row["family"], row["bias"], row["accumulator_format"]) == (
            entry["family"], str(entry["bias"]), entry["accumulator_format"])  # fmt: skip
        assert row["chunk_size"] == ("none" if entry["chunk_size"] is None else "16")
        assert float(row["top1_low"]) == comparison.candidate.top1.interval[0]
        assert float(row["agreement"]) == comparison.agreement.percent
        assert float(row["sqnr_db"]) == comparison.outputs[0].sqnr_db


@pytest.mark.parametrize("over", [None, "mantissa_bits", "exponent_bias", "chunk_size"])
def test_plot_is_a_figure_with_a_line_per_setting(tmp_path, over):
    result = sweep_models.run(biases=(8, 10, 11))
    plot_sweep(result, tmp_path / "plot.svg", over)
    first = (tmp_path / "plot.svg").read_text()
    plot_sweep(result, tmp_path / "plot.svg", over)
    assert (tmp_path / "plot.svg").read_text() == first
    families = ("M7E4", "M5E4")
    labels = {None: families, "exponent_bias": families, "mantissa_bits": ("bias 8", "bias 10", "bias 11"),
              "chunk_size": ("M7E4, bias 8", "M5E4, bias 11")}  # fmt: skip
    for text in (*labels[over], "float32", "top-1 %", "SQNR dB of y"):
        assert f">{text}</text>" in first
    plot_sweep(result, tmp_path / "plot.png", over)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_plot_without_labels_shows_agreement_or_the_metric(tmp_path):
    images = {"x": sweep_models.DATA["x"]}
    for metric, label in ((None, "same top-1 as float32 %"), (sweep_models.first, "sweep_models:first")):
        result = sweep(MODEL, images, metric=metric, biases=8)
        plot_sweep(result, tmp_path / "plot.svg")
        assert f">{label}</text>" in (tmp_path / "plot.svg").read_text()


def test_missing_extras_are_named(tmp_path, monkeypatch):
    result = sweep_models.run()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(LbaError, match=re.escape("pip install 'lba-onnx[report]'")):
        plot_sweep(result, tmp_path / "plot.svg")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(LbaError, match=re.escape("pip install 'lba-onnx[dask]'")):
        sweep_models.run(scheduler="tcp://127.0.0.1:9")


def test_plot_refuses_other_files_and_axes(tmp_path):
    result = sweep_models.run()
    with pytest.raises(ValueError, match="expected a file .png or .svg"):
        plot_sweep(result, tmp_path / "plot.txt")
    with pytest.raises(ValueError, match="expected to plot over mantissa_bits, .* got 'x'"):
        plot_sweep(result, tmp_path / "plot.svg", "x")
    assert list(tmp_path.iterdir()) == []

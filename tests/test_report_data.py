"""The data of a report: what is measured and what is fed gives the same sections; without data it says "expected"."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner
from small_models import images, network

import lba_onnx
from lba_onnx.cli import main
from lba_onnx.costing import load_table, unit_cost
from lba_onnx.demo import demo_data_path
from lba_onnx.errors import DataError
from lba_onnx.evaluation import MeanEstimate
from lba_onnx.reporting import Report, Results, Subject, make_report, making, measuring, render
from lba_onnx.reporting.from_cost import cost_section
from lba_onnx.reporting.from_points import front_of_search, front_of_sweep
from lba_onnx.reporting.highlights import front_sentence
from lba_onnx.reporting.sweep_prices import SweepPrices
from lba_onnx.rewrite import external_data, model_files, model_writer
from lba_onnx.rewrite.model_hash import model_hash
from lba_onnx.searching.passes import Passes
from lba_onnx.searching.search_result import Against, Search, SearchPoint, Settings

for package in ("jinja2", "matplotlib"):
    pytest.importorskip(package, reason=f"no {package}: pip install 'lba-onnx[report]'")

SPEC = "M7E4b10,chunk=16"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the demo's network, converted and not, and its data."""
    folder = tmp_path_factory.mktemp("report")
    shutil.copy(demo_data_path() / "fashion_cnn.onnx", folder / "model.onnx")
    shutil.copy(demo_data_path() / "fashion_test_1000.npz", folder / "test.npz")
    lba_onnx.convert(folder / "model.onnx", SPEC, model_output=folder / "lba.onnx")
    return folder


@pytest.fixture(scope="module")
def samples(folder: Path) -> lba_onnx.Samples:
    return lba_onnx.Samples(folder / "test.npz", max_samples=16)


@pytest.fixture(scope="module")
def measured(folder: Path, samples: lba_onnx.Samples) -> Report:
    return make_report(Subject(folder / "lba.onnx", folder / "model.onnx"), data=samples)


def test_what_is_measured_fills_all_sections_but_the_front(measured: Report) -> None:
    assert set(measured.absent) == {"front"}
    assert measured.ledger.converted_macs == measured.ledger.macs > 0
    assert measured.accuracy is not None and measured.accuracy.samples == 16
    assert [figure.name for figure in measured.accuracy.figures] == ["top-1", "top-5"]
    assert measured.cost is not None and measured.cost.over_float32 == pytest.approx(0.388, abs=0.001)
    assert len(measured.settings["data_sha256"]) == len(measured.settings["library_sha256"]) == 64
    assert len(measured.spreads) == len(measured.layers.rows) == 10
    for layer in measured.layers.rows:
        assert layer.nonzero is not None and 0 < layer.nonzero <= 1
        assert abs(layer.expected_sqnr_db - layer.own_sqnr_db) < 6, layer


def test_layers_come_worst_first_as_debug_ranks_them(measured: Report) -> None:
    alone = [layer.output_sqnr_db for layer in measured.layers.rows]
    assert alone == sorted(alone) and measured.layers.rows[0].cause


def test_what_is_fed_is_what_is_measured(folder: Path, samples: lba_onnx.Samples, measured: Report) -> None:
    values = {
        "compare": lba_onnx.compare(folder / "model.onnx", folder / "lba.onnx", samples).to_json(),
        "debug": lba_onnx.debug(folder / "lba.onnx", samples, folder / "model.onnx").to_json(),
        "cost": lba_onnx.cost(folder / "lba.onnx").to_json(),
    }
    for name, value in values.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    results = Results.read({name: folder / f"{name}.json" for name in values})
    fed = make_report(Subject(folder / "lba.onnx", folder / "model.onnx"), results)
    assert (fed.accuracy, fed.cost, fed.layers.sentences) == (
        measured.accuracy,
        measured.cost,
        measured.layers.sentences,
    )
    assert [layer.own_sqnr_db for layer in fed.layers.rows] == [layer.own_sqnr_db for layer in measured.layers.rows]
    assert fed.sources["compare"] == str(folder / "compare.json")


def command_json(folder: Path, name: str, *arguments: str) -> Path:
    """Return the file of what a command prints with --json."""
    told = CliRunner().invoke(main, [*arguments, "--json", "--quiet"])
    assert told.exit_code == 0, told.output
    path = folder / f"{name}.json"
    path.write_text(told.stdout)
    return path


def test_what_is_fed_is_not_measured_again(folder: Path, samples: lba_onnx.Samples, monkeypatch) -> None:
    names = ("compare", "debug", "cost")
    values = {
        "compare": lba_onnx.compare(folder / "model.onnx", folder / "lba.onnx", samples),
        "debug": lba_onnx.debug(folder / "lba.onnx", samples, folder / "model.onnx", samples_alone=0),
        "cost": lba_onnx.cost(folder / "lba.onnx"),
    }
    results = Results({name: values[name].to_json() for name in names}, dict.fromkeys(names, "a file"))
    for name in names:
        monkeypatch.delattr(making if name == "cost" else measuring, name)
    report = make_report(Subject(folder / "lba.onnx", folder / "model.onnx"), results, samples)
    assert set(report.absent) == {"front"} and dict(report.sources) == dict.fromkeys(names, "a file")
    assert all(layer.output_sqnr_db is None and layer.own_sqnr_db for layer in report.layers.rows)
    assert len(report.spreads) == 10


def test_results_of_another_model_are_refused(folder: Path) -> None:
    model, own, other = folder / "model.onnx", folder / "lba.onnx", folder / "other.onnx"
    lba_onnx.convert(model, "M5E4b10", model_output=other)
    data = ["--data_path", str(folder / "test.npz"), "--max_samples", "8"]
    of_other = [
        command_json(folder, "compare", "compare", "-r", str(model), "-i", str(other), *data),
        command_json(folder, "debug", "debug", "-i", str(other), "--reference_path", str(model), *data),
        command_json(folder, "evaluate", "evaluate", "-i", str(other), *data),
        command_json(folder, "cost", "cost", "-i", str(other)),
    ]
    for path in of_other:
        results = Results.read({path.stem: path})
        assert make_report(Subject(other, model), results).sources[path.stem] == str(path)
        whose = f"{own}" if path.stem != "cost" else f"{own} \\(SHA-256 .{{12}}\\.\\.\\.\\) or {model}"
        with pytest.raises(DataError, match=f"{path}: expected a result of {whose} .*, got one of another model"):
            make_report(Subject(own, model), results)


def test_a_calibration_of_another_model_is_refused(folder: Path) -> None:
    model, path = folder / "model.onnx", folder / "calibration.json"
    found = lba_onnx.calibrate(model, lba_onnx.Samples(folder / "test.npz", max_samples=8), "M5E4")
    assert found.model_sha256 == model_hash(model)
    found.save(path)
    own = folder / "calibrated.onnx"
    lba_onnx.convert(model, path, model_output=own)
    assert make_report(Subject(own, model), Results.read({"calibration": path})).spreads
    replace(found, model_sha256="0" * 64).save(path)
    message = f"{path}: expected a result of {own} .* or {model} .*, got one of another model"
    with pytest.raises(DataError, match=message):
        make_report(Subject(own, model), Results.read({"calibration": path}))


def test_results_are_held_against_each_other_without_a_reference(folder: Path) -> None:
    model, own = folder / "model.onnx", folder / "lba.onnx"
    data = ["--data_path", str(folder / "test.npz"), "--max_samples", "8"]
    compared = command_json(folder, "compare", "compare", "-r", str(model), "-i", str(own), *data)
    sweep = folder / "sweep.json"
    lba_onnx.sweep(model, lba_onnx.Samples(folder / "test.npz", max_samples=8), families=["M7E4"], biases=[10]).save(
        sweep
    )
    results = Results.read({"compare": compared, "sweep": sweep})
    assert make_report(Subject(own), results).fronts
    value = json.loads(sweep.read_text())
    sweep.write_text(json.dumps({**value, "model_sha256": "0" * 64}))
    with pytest.raises(DataError, match=rf"sweep.json: expected a result of the reference of {compared} .*\(0{{12}}"):
        make_report(Subject(own), Results.read({"compare": compared, "sweep": sweep}))


def test_weights_beyond_2_gb_stay_where_they_lie(folder: Path, samples: lba_onnx.Samples, monkeypatch) -> None:
    """Such a model is the same, with a smaller bound."""
    large = folder / "large.onnx"
    onnx.save_model(onnx.load(folder / "model.onnx"), large, save_as_external_data=True, location="weights.bin")
    monkeypatch.setattr(model_files, "MAX_PROTOBUF_BYTES", model_writer._SPARE_BYTES + (1 << 15))
    monkeypatch.setattr(external_data, "_copy_range", lambda source, target: pytest.fail("copied"))
    report = make_report(Subject(large, spec=SPEC), data=samples)
    assert report.layers.is_measured and len(report.spreads) == 10


def test_without_data_it_tells_what_is_expected(folder: Path) -> None:
    report = make_report(Subject(folder / "model.onnx", spec=SPEC))
    assert report.accuracy is None and not report.layers.is_measured and not report.spreads
    assert {"accuracy", "layers", "spreads", "front"} == set(report.absent)
    assert all(layer.expected_sqnr_db and layer.own_sqnr_db is None for layer in report.layers.rows)
    assert report.reference is not None and report.ledger.converted_macs == report.ledger.macs
    assert {row.op_type for row in report.ledger.rows} == {"Conv", "Gemm"}
    assert report.settings["converted for this report to"] == SPEC


def test_of_a_model_that_is_not_converted_it_says_so(folder: Path) -> None:
    report = make_report(Subject(folder / "model.onnx"))
    assert report.layers.rows == () and report.ledger.converted_macs == 0
    assert report.absent["layers"] == "nothing is converted; --spec converts the model for the report"
    assert {row.reason for row in report.ledger.rows} == {"can be converted"}


def test_a_calibration_tells_how_values_are_spread(folder: Path) -> None:
    calibration = lba_onnx.calibrate(
        folder / "model.onnx", lba_onnx.Samples(folder / "test.npz", max_samples=16), "M7E4"
    )
    calibration.save(folder / "calibration.json")
    report = make_report(
        Subject(folder / "model.onnx", spec=calibration), Results.read({"calibration": folder / "calibration.json"})
    )
    assert [found.node for found in report.spreads] == list(calibration.nodes)
    products, sums = report.spreads[0].spreads
    seen = calibration.nodes[report.spreads[0].node].range
    assert (products.largest, sums.largest) == (seen.max_abs_product, seen.max_abs_sum)
    assert sum(share for _, share in products.bins) == pytest.approx(1)
    assert products.most - products.least == 15
    assert report.settings["calibration: data_sha256"] == calibration.data_sha256
    assert {layer.nonzero for layer in report.layers.rows} != {None}


def estimate(percent: float) -> dict:
    return {"percent": percent, "interval": [percent - 1, percent + 1], "hits": 1, "samples": 2}


def point(text: str, agreement: float) -> dict:
    alone = {"samples": 9, "top1": None, "top5": None, "metric": None, "metric_name": None}
    nothing = dict.fromkeys(("top1_difference", "top5_difference", "metric_difference"))
    comparison = {"reference": alone, "candidate": alone, **nothing, "agreement": estimate(agreement), "outputs": []}
    return {"text": text, "bias": 10, "accumulator": f"{text}b10/{text}b10", "comparison": comparison}


SWEPT = [point("M7E4", 99.0), point("M4E4", 90.0), point("M5E4", 80.0)]


def test_points_of_a_sweep_are_marked_where_no_cheaper_one_loses_less() -> None:
    made = network()
    prices = SweepPrices(made, cost_section(lba_onnx.cost(made).to_json()), load_table())
    front = front_of_sweep({"samples": 9, "points": SWEPT}, prices)
    assert [found.label for found in front.points] == ["M4E4, bias 10", "M5E4, bias 10", "M7E4, bias 10"]
    assert [found.is_on_front for found in front.points] == [True, False, True]
    assert (front.points[0].loss.value, front.points[0].loss.low, front.points[0].loss.high) == (10, 9, 11)
    assert front.float32_cost == pytest.approx(unit_cost("fp32-fma", "M4E3", 1).gates)
    assert (front.operand_format, front.effort) == ("M4E3", None)
    assert front_of_sweep({"samples": 9, "points": []}, prices) is None
    assert front_of_sweep({"samples": 9, "points": SWEPT}, None) is None


def front_of(folder: Path, sweep: dict, **settings) -> list[float]:
    (folder / "sweep.json").write_text(json.dumps(sweep))
    feeds = {"sweep": folder / "sweep.json", "cost": settings.pop("cost", None)}
    (front,) = make_report(Subject(**settings), Results.read(feeds)).fronts
    return [found.cost for found in front.points]


def test_points_of_a_sweep_cost_what_cost_says_of_each(tmp_path: Path) -> None:
    """Of the float32 model, and of one converted in part; by a table of one's own; with products excluded."""
    model, own = tmp_path / "model.onnx", tmp_path / "own.onnx"
    onnx.save(network(), model)
    lba_onnx.convert(model, {"conv1": SPEC}, model_output=own)
    sweep = {"samples": 9, "points": SWEPT}

    def costs(**settings) -> list[float]:
        each = (lba_onnx.cost(model, point["accumulator"], **settings).totals for point in SWEPT)
        return sorted(totals.gate_macs / totals.macs for totals in each)

    assert front_of(tmp_path, sweep, path=model) == pytest.approx(costs())
    assert front_of(tmp_path, sweep, path=own, reference=model) == pytest.approx(costs())
    assert front_of(tmp_path, sweep, path=model, spec=SPEC, operand_format="int8") == pytest.approx(
        costs(operand_format="int8")
    )
    without = lba_onnx.Selection(nodes_to_exclude=["classifier"])
    excluding = {**sweep, "selection": without.described()}
    assert front_of(tmp_path, excluding, path=model) == pytest.approx(costs(selection=without))

    by_depth = {**SWEPT[0], "text": "M7E4,chunk=root2", "accumulator": None}
    calibrated = lba_onnx.calibrate(model, {"x": images(2)}, family="M7E4,chunk=root2")
    totals = lba_onnx.cost(model, calibrated.specs).totals
    found = front_of(tmp_path, {**sweep, "points": [by_depth]}, path=model)
    assert found == pytest.approx([totals.gate_macs / totals.macs])

    table = tmp_path / "my.json"
    table.write_text(json.dumps({"name": "mine", "cells": {"gates": {"FA": 18}}}))
    priced = tmp_path / "cost.json"
    priced.write_text(json.dumps(lba_onnx.cost(model, cost_table=table).to_json()))
    for cost in (None, priced):
        found = front_of(tmp_path, sweep, path=model, cost=cost, cost_table=table)
        assert found == pytest.approx(costs(cost_table=table))
    with pytest.raises(DataError, match=r"cost.json: expected costs by the table 'paper.*got 'mine'.*--cost_table"):
        front_of(tmp_path, sweep, path=model, cost=priced)


def test_points_of_a_search_are_mixed_and_uniform(measured: Report, folder: Path, samples: lba_onnx.Samples) -> None:
    comparison = lba_onnx.compare(folder / "model.onnx", folder / "lba.onnx", samples)
    loss = MeanEstimate(9, 0.5, (0.4, 0.6))
    shared = {
        "granted_loss": None,
        "over_float32": 0.4,
        "specs": {"a": "M4E4b8"},
        "predicted_loss": 0.1,
        "measured_loss": 0.1,
        "tried": 1,
    }
    shared |= {"recipe": None, "loss": loss, "comparison": comparison}
    mixture, against = (
        {"a": "M4E4", "b": "M7E4", "c": "M4E4"},
        Against("M4E4", 800.0, MeanEstimate(9, -1.0, (-2, -0.5))),
    )
    mixed = SearchPoint(budget=900.0, cost=900.0, choices=mixture, against=against, **shared)
    uniform = SearchPoint(budget=None, cost=800.0, choices={"a": "M4E4"}, uniform="M4E4", is_on_front=False, **shared)
    operands, made_by = ({"int8": "given"}, ("float32",)), ("quick", "dynamic", ("M4E4", "M7E4"))
    settings = Settings("gates", "gates per MAC", *operands, "table", "KL divergence", *made_by)
    counts = {"seen": 64, "chosen_by": 64, "checked": 64}
    passes = Passes(1.0, 2.0, 3.0, 4.0, 5.0, 60, 7)
    told = (settings, (), (mixed,), (uniform,), comparison.reference, 2688.0, counts, passes, "", "", {})
    front = front_of_search(json.loads(json.dumps(Search(*told).to_json())))
    assert [(found.label, found.is_uniform, found.is_on_front, found.against) for found in front.points] == [
        ("M4E4", True, False, ""),
        ("2 of M4E4, 1 of M7E4", False, True, "wins"),
    ]
    assert (front.samples, front.loss_name, front.float32_cost) == (64, "KL divergence", 2688)
    assert "Beside the best accumulator for all at the same budget or loss: 1 wins." in front_sentence(front, None)
    assert front.cost_label == "gates per MAC, operands int8"
    told = front_sentence(front, measured.cost)
    assert "corrected, with effort quick" in told and "of operands int8, not of M4E3 as above" in told
    assert "not of" not in front_sentence(front, replace(measured.cost, operand_format="int8"))
    quantized = replace(front, operand_format=None, effort=None)
    assert quantized.cost_label.endswith("operands as the model says") and "not corrected" in front_sentence(
        quantized, None
    )


def test_nothing_that_is_given_is_dropped(tmp_path: Path) -> None:
    """A search and a sweep are both shown; of two results for one section both are named."""
    model = tmp_path / "model.onnx"
    onnx.save(network(), model)
    points = [{"loss": {"samples": 9, "mean": 0.5, "interval": None}, "uniform": "M7E4", "is_on_front": True}]
    points = [{**points[0], "cost": 900.0, "specs": {}, "choices": {}, "against": None}]
    search = {"unit": "gates per MAC", "operand_format": "M4E3", "effort": None, "loss": "KL", "samples": {}}
    search |= {"float32": {"cost": 2688.0}, "points": points, "uniform": []}
    values = {"sweep": {"samples": 9, "points": SWEPT}, "search": search}
    report = make_report(Subject(model), Results(values, {name: f"{name}.json" for name in values}))
    assert [front.source for front in report.fronts] == ["search", "sweep"]
    page = render(report)
    assert all(text in page for text in ("By a search", "By a sweep", "search.json", "sweep.json"))
    both = Results({"compare": {}, "evaluate": {}}, {"compare": "a.json", "evaluate": "b.json"})
    with pytest.raises(DataError, match=r"compare or evaluate.*got a\.json of compare and b\.json of evaluate"):
        make_report(Subject(model), both)


@pytest.mark.parametrize("name", ["compare", "evaluate", "debug", "cost", "calibration", "sweep", "search"])
def test_a_result_of_something_else_is_named(folder: Path, name: str) -> None:
    path = folder / "other.json"
    path.write_text('{"reference": 3, "nodes": [], "points": 7, "layers": {}, "totals": {"macs": 1}}')
    with pytest.raises(DataError, match=r"other\.json: expected what `lba-onnx .*got something else"):
        make_report(Subject(folder / "lba.onnx"), Results.read({name: path}))


def test_what_a_result_of_something_else_lacks_is_told_in_words(folder: Path) -> None:
    path = folder / "compared.json"
    path.write_text('{"reference": "a.onnx", "outputs": {}}')
    with pytest.raises(
        DataError, match=r"compared\.json: expected what `lba-onnx search.*got something else: it has no '\w+'$"
    ):
        make_report(Subject(folder / "lba.onnx"), Results.read({"search": path}))


def test_the_command_writes_a_page_and_prints_the_data(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    run = CliRunner().invoke(main, ["report", "-i", str(folder / "lba.onnx"), "-o", str(page), "--json"])
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert told["kind"] == "lba_onnx.report" and told["layers"]["samples"] is None
    assert "Layers, as expected" in page.read_text() and "Nothing was measured" in page.read_text()


def test_a_page_does_not_take_the_place_of_a_result(folder: Path) -> None:
    path = folder / "compare.json"
    path.write_text("{}")
    arguments = ["report", "-i", str(folder / "lba.onnx"), "--compare", str(path), "-o", str(path)]
    run = CliRunner().invoke(main, arguments)
    assert run.exit_code == 1 and "compare.json" in run.stderr and path.read_text() == "{}"


def test_names_of_a_model_are_text_in_the_page(folder: Path, tmp_path: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    model.graph.node[0].name = "</script><script>alert(1)</script>$x_1$\x1b"
    path = tmp_path / "hostile.onnx"
    onnx.save(model, path)
    page = tmp_path / "page.html"
    run = CliRunner().invoke(main, ["report", "-i", str(path), "--spec", SPEC, "-o", str(page)])
    assert run.exit_code == 0, run.output
    assert "<script>alert" not in page.read_text() and "\x1b" not in page.read_text()


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_what_is_not_installed_is_told_before_any_work(folder: Path, monkeypatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    run = CliRunner().invoke(main, ["report", "-i", str(folder / "missing.onnx"), "-o", str(folder / "page.html")])
    assert run.exit_code == 1 and "pip install 'lba-onnx[report]'" in run.stderr

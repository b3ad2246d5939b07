"""A whole search on a small network: points within their budgets, groups, fixed products, resuming, written models."""

import json
from dataclasses import replace
from unittest import mock

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from integer_models import operator_case
from small_models import images, network

import lba_onnx
from lba_onnx.arithmetic import as_spec
from lba_onnx.cli import main
from lba_onnx.costing import UnpricedError, unit_cost
from lba_onnx.data.execution import Execution
from lba_onnx.errors import DataError, OutputError, SelectionError
from lba_onnx.rewrite import external_data, model_files, model_writer
from lba_onnx.rewrite.model_hash import model_hash
from lba_onnx.searching import BudgetError, front, searching
from lba_onnx.searching.choices import Choice
from lba_onnx.searching.front import Found, describe
from lba_onnx.searching.prices import Pricing, price_choices
from lba_onnx.searching.search_result import TIES
from lba_onnx.searching.text import search_text

CHOICES = ("M4E4", "M5E4", "M7E4")
DATA = {"x": images(48)}
QUICK = {"effort": "quick", "sensitivity_samples": 12, "solver": "dynamic"}


def search(choices=CHOICES, model=None, data=DATA, **settings):
    return lba_onnx.search(network() if model is None else model, data, choices, **{**QUICK, **settings})


@pytest.fixture(scope="module")
def found():
    return search(budgets=["M5E4", "35%"], losses=["M5E4"])


@pytest.fixture(scope="module")
def whole():
    return search(budgets=["M5E4"])


def test_points_are_within_their_budgets_and_cost_what_cost_says(found):
    assert [point.budget is None for point in found.points].count(True) == 1
    for point in found.points:
        assert point.budget is None or point.cost <= point.budget * (1 + 1e-9)
        priced = lba_onnx.cost(network(), point.specs, data={"x": images(1)}).totals
        assert point.cost == pytest.approx(priced.gate_macs / priced.macs)
        assert point.over_float32 == pytest.approx(priced.over_float32)


def test_a_point_is_no_worse_than_its_rival_on_what_was_seen(found):
    uniform = {point.uniform: point for point in found.uniform}
    assert list(uniform) == list(CHOICES)
    for point in found.points:
        rival = uniform[point.against.choice]
        if point.budget is not None:
            assert rival.cost <= point.budget * (1 + 1e-9) and point.measured_loss <= rival.measured_loss
        else:
            assert point.granted_loss == uniform["M5E4"].measured_loss >= point.measured_loss
            assert point.cost <= rival.cost <= uniform["M5E4"].cost
        beaten_by = [other for other in (*found.points, *found.uniform) if other.cost <= point.cost]
        assert point.is_on_front and point.measured_loss == min(other.measured_loss for other in beaten_by)
        difference = point.against.loss_difference
        assert difference.mean == pytest.approx(point.loss.mean - rival.loss.mean)
        assert point.specs != rival.specs or (difference.mean == 0 and point.against.verdict == TIES)


def test_neighbours_are_better_within_a_budget_and_cheaper_within_a_loss(monkeypatch):
    """Of a loss that is granted they are looked for in the problem turned around: there costs are what is made less."""
    asked, look = [], front.neighbours

    def looked(problem, solution, room, count):
        found = look(problem, solution, room, count)
        assert problem.fits(solution, room) and len(found) <= count
        assert all(problem.fits(other, room) and problem.loss(other) < problem.loss(solution) for other in found)
        asked.append((problem.most, len(found)))
        return found

    monkeypatch.setattr(front, "neighbours", looked)
    found = search(budgets=["M5E4", "37%"], losses=["M4E4", 0.05], effort=None)
    dearest = sum(max(product.costs) for product in found.products)
    assert {most < dearest / 2 for most, count in asked if count} == {True, False}  # sums of losses, and of gates


@pytest.mark.parametrize(("over", "told"), [(1.054, "5.4 % dearer"), (1, "0.0 % cheaper"), (0.9, "10.0 % cheaper")])
def test_the_text_says_what_is_cheaper_and_what_dearer(found, over, told):
    point = found.points[0]
    dearer = replace(point, cost=over * point.against.cost)
    table, *_ = search_text(replace(found, points=(dearer,), uniform=()))
    assert f", {told}" in str(table)


def test_the_interval_of_a_loss_holds_no_gain(found):
    """Few samples with most of the loss: Student's interval alone would begin below 0."""
    losses = np.array([0.0, 0.0, 0.0, 0.1])
    explorer, solution = mock.MagicMock(), (0, 0, 0)
    explorer.plan.cost.return_value = explorer.plan.prices.float32 = 1.0
    point = describe(explorer, Found(solution, None, 1, None), {solution: mock.Mock(losses=losses)})
    assert point.loss.mean == pytest.approx(0.025) and point.loss.interval[0] == 0 < point.loss.interval[1]
    differing = Found(solution, None, 1, "M7E4")
    other = explorer.uniform["M7E4"]
    against = describe(explorer, differing, {solution: mock.Mock(losses=losses), other: mock.Mock(losses=losses[::-1])})
    assert against.against.loss_difference.interval[0] < 0


def test_the_result_is_json_that_tells_all(found, tmp_path):
    found.save(tmp_path / "search.json")
    value = json.loads((tmp_path / "search.json").read_text())
    assert (value["kind"], value["schema"], value["choices"]) == ("lba_onnx.search", 1, list(CHOICES))
    assert value["samples"] == {"seen": 12, "chosen_by": 12, "checked": 12} and value["loss"] == "KL divergence"
    assert [product["node"] for product in value["products"]] == ["conv1", "depthwise", "classifier"]
    for product in value["products"]:
        assert len(product["losses"]) == len(product["costs"]) == len(product["specs"]) == 3
        assert product["costs"] == sorted(product["costs"])
    assert value["float32"]["evaluation"]["samples"] == 12
    point = value["points"][0]
    assert point["against"]["verdict"] in ("wins", "ties", "loses") and point["comparison"]["outputs"]
    parts = [value["passes"][part] for part in ("calibration", "sensitivity", "correction", "trial")]
    assert min(parts) > 0 and value["passes"]["all"] == sum(parts) <= value["passes"]["bound"] == 13 * 3 + 30 * 3


@pytest.mark.parametrize(("batch_size", "seen", "chosen_by"), [(16, 18, 18), (7, 18, 18), (5, 20, 16), (36, 18, 18)])
def test_as_many_samples_are_seen_as_choose(batch_size, seen, chosen_by):
    found = search(["M7E4"], data=lba_onnx.Samples(DATA, batch_size=batch_size), sensitivity_samples=40, effort=None)
    assert found.samples == {"seen": seen, "chosen_by": chosen_by, "checked": 12}


def test_a_front_without_budgets_runs_from_the_cheapest_on():
    found = search(points=4)
    costs = [point.cost for point in found.points]
    assert costs == sorted(costs) and costs[0] == found.uniform[0].cost and 2 <= len(costs) <= 4
    losses = [point.measured_loss for point in found.front]
    assert losses == sorted(losses, reverse=True) and len(losses) >= 2


def test_products_that_share_and_products_that_are_fixed():
    found = search(budgets=["60%"], share=["conv1|depthwise"], fix={"classifier": "M10E5"})
    (point,) = found.points
    assert point.choices["conv1"] == point.choices["depthwise"] and point.choices["classifier"] == "M10E5"
    assert [product.group for product in found.products] == [0, 0, 1]
    assert [product.is_fixed for product in found.products] == [False, False, True]
    assert all(other.choices["classifier"] == "M10E5" for other in found.uniform)


def test_float32_is_a_choice_and_what_is_not_selected_is_paid_for():
    selection = lba_onnx.Selection(nodes_to_exclude=["conv1"])
    found = search(("M4E4", "float32"), budgets=["100%"], selection=selection, quantity="bits")
    (point,) = found.points
    assert point.choices == {"depthwise": "float32", "classifier": "float32"} and point.cost == 32
    assert point.specs == {} and point.loss.mean == 0
    (cheapest,) = found.uniform
    assert cheapest.cost == pytest.approx((32 * 4608 + 9 * (1152 + 1280)) / 7040)


def test_bits_are_those_of_the_mean_register():
    """A chain has one, chunks two of the same width, lanes one each, slices one each and one for all."""
    bits = {"M7E4b10,chunk=none": 12, "M7E4b10": 12, "M7E4b10,chunk=32,lanes=4": 12, "M7E4b10,tree=16": 12}
    bits |= {"bf16-fma": 16, "splitk4(fp16-fma)": 24, "kulisch": 32, "fp32-fma": 32, "float32": 32}
    macs = {"conv1": 4608, "depthwise": 1152, "classifier": 1280}
    specs = {text: None if text == "float32" else as_spec(text) for text in bits}
    choices = [Choice(text, dict.fromkeys(["depthwise", "classifier"], spec)) for text, spec in specs.items()]
    pricing = Pricing.of("bits", "M4E3", None, lba_onnx.Selection())
    prices = price_choices(network(), choices, {"x": images(1)}, pricing)
    exact = bits["kulisch"]
    for node, costs in prices.costs.items():
        bits["kulisch"] = exact - (3 if node == "depthwise" else 0)  # 9 products take 4 bits, 128 take 7
        assert costs == pytest.approx([width * macs[node] / 7040 for width in bits.values()])
    assert prices.float32 == 32 and prices.left == pytest.approx(32 * 4608 / 7040)


def test_energy_of_the_operands_and_the_table_that_are_given(tmp_path):
    """Worked by hand from a table in which all that is needed was measured, of these operands alone."""
    energies, float16 = {"M4E4b10": 0.25, "M10E5b15,chunk=none": 1.5, "fp32-fma": 2.0}, "M10E5b15,chunk=none"
    entries = [{"accumulator": text, "operands": "M10E5", "gates": 9, "pj": pj} for text, pj in energies.items()]
    (tmp_path / "my.json").write_text(json.dumps({"name": "mine", "measured": entries}))
    goal = {"quantity": "energy", "operand_format": "M10E5", "cost_table": tmp_path / "my.json", "budgets": [1.9]}
    selection = lba_onnx.Selection(nodes_to_exclude=["conv1"])
    found = search(("M4E4b10", float16, "float32"), **goal, selection=selection, effort=None)
    left, depthwise, classifier = 2.0 * 4608, 1152, 1280
    assert [point.cost for point in found.uniform] == pytest.approx(
        [(left + each * (depthwise + classifier)) / 7040 for each in (0.25, 1.5)]
    )
    for product, macs in zip(found.products, (depthwise, classifier), strict=True):
        assert product.costs == pytest.approx([each * macs / 7040 for each in (0.25, 1.5, 2.0)])
    (point,) = found.points
    chosen = [energies.get(point.choices[product.node], 2.0) * product.macs for product in found.products]
    assert point.cost == pytest.approx((left + sum(chosen)) / 7040) and point.cost <= 1.9
    assert point.over_float32 == pytest.approx(point.cost / 2)
    told = (found.settings.unit, found.settings.operand_format, found.settings.cost_table)
    assert told == ("pJ per MAC", "M10E5", "mine")


def test_no_loss_at_all_can_be_granted():
    found = search(("M4E4", "float32"), losses=[0.0], effort=None)
    (point,) = found.points
    assert set(point.choices.values()) == {"float32"} and point.measured_loss == 0


def test_integers_are_not_corrected():
    case = operator_case("QLinearConv", "uint8", "int8")
    (weights,) = (tensor for tensor in case.model.graph.initializer if tensor.name == "w")
    halved = onnx.numpy_helper.to_array(weights) // 2  # of these onnxruntime's sums are exact on every processor
    weights.CopyFrom(onnx.numpy_helper.from_array(halved, "w"))
    data = [{name: np.roll(codes, i, -1) for name, codes in case.feeds.items()} for i in range(12)]
    found = search(("int10-wrap", "int20-wrap"), case.model, data, effort="default", budgets=["int20-wrap"])
    (point,) = found.points
    assert point.recipe is None and set(point.choices.values()) == {"int20-wrap"} and point.loss.mean == 0


def test_written_models_are_the_points(tmp_path):
    found = search(budgets=["M5E4"], losses=["M4E4"], write=3, model_output=tmp_path / "best.onnx")
    paths = [point.model_path for point in found.points]
    assert sorted(tmp_path.iterdir()) == sorted(tmp_path / f"best_{n + 1}.onnx" for n, p in enumerate(paths) if p)
    assert all(paths)
    for point in found.points:
        written = onnx.load(point.model_path)
        compared = lba_onnx.compare(network(), written, DATA)
        assert compared.samples == 48
        specs = {node.node: node.spec for node in lba_onnx.cost(written).nodes}
        assert specs == dict(point.specs)


def test_models_are_not_written_over_what_is_read(tmp_path):
    onnx.save(network(), tmp_path / "best_2.onnx")
    with pytest.raises(OutputError, match=r"best_2.onnx: expected a file for the searched model alone"):
        search(model=tmp_path / "best_2.onnx", points=2, write=1, model_output=tmp_path / "best.onnx")


class Stop(Exception):
    pass


def stop_at(calls):
    """Returns a progress callback that stops at the n-th product or model."""
    count = [0]

    def interrupt(done, total):
        if total == 3 or total is None:  # products, then models
            count[0] += 1
            if count[0] == calls:
                raise Stop

    return interrupt


@pytest.mark.parametrize("calls", [2, 5])
def test_an_interrupted_search_goes_on_to_the_same_result(tmp_path, whole, calls):
    path = tmp_path / "progress"
    settings = {"budgets": ["M5E4"], "resume_path": path}
    with pytest.raises(Stop):
        search(**settings, execution=Execution(progress=stop_at(calls)))
    with path.open("a") as file:
        file.write('{"key": "sensitivity cla')  # cut short
    found = search(**settings)
    assert not path.exists()
    told, wanted = found.to_json(), whole.to_json()
    assert told.pop("passes")["models"] == wanted.pop("passes")["models"]  # the rest of a pass runs again
    assert told == wanted


def test_progress_of_another_search_is_refused(tmp_path):
    path = tmp_path / "progress"
    path.write_text('{"kind": "lba_onnx.search_progress", "schema": 2, "settings": {"choices": ["M9E4"]}}\n')
    with pytest.raises(DataError, match="expected the settings of the interrupted run, got others: .*choices"):
        search(resume_path=path)
    path.write_text("{}\n")
    with pytest.raises(DataError, match="expected the progress of a search"):
        search(resume_path=path)


@pytest.mark.parametrize("settings", [{"batch_size": 5}, {"max_samples": 40}])
def test_progress_on_other_parts_of_the_data_is_refused(tmp_path, settings):
    """Batches decide which samples are seen and which choose: the same data, cut otherwise, are other parts."""
    stopped = {"resume_path": tmp_path / "progress", "effort": None, "sensitivity_samples": 40}
    with pytest.raises(Stop):
        search(**stopped, data=lba_onnx.Samples(DATA, batch_size=16), execution=Execution(progress=stop_at(2)))
    with pytest.raises(DataError, match="expected the settings of the interrupted run, got others: .*batches"):
        search(**stopped, data=lba_onnx.Samples(DATA, **settings))


@pytest.mark.parametrize("wrong", [{"choices": ["M7E44"]}, {"choices": ["M7E4", "M7E44"]}, {"choices": ["float32"]}])
def test_a_search_that_found_nothing_leaves_nothing(tmp_path, wrong):
    with pytest.raises((ValueError, lba_onnx.LbaError)):
        search(**wrong, resume_path=tmp_path / "progress")
    assert not list(tmp_path.iterdir())


REFUSED = [
    (
        {"budgets": [10]},
        BudgetError,
        r"expected a budget of at least 8[0-9.]+ gates per MAC \(3[0-9.]+% of float32\), got",
    ),
    ({"budgets": ["many"]}, ValueError, "budget: expected a number above 0, a share such as 40%, or one of M4E4"),
    ({"losses": ["few"]}, ValueError, "loss: expected a number from 0 on, or one of M4E4, M5E4, M7E4, got 'few'"),
    ({"quantity": "area"}, ValueError, "expected a quantity out of gates, energy, bits, got 'area'"),
    ({"effort": "much"}, ValueError, "expected an effort out of"),
    ({"write": 2}, ValueError, "expected a model_output"),
    ({"choices": ["M7E4", "M7E4"]}, ValueError, "expected each choice once, got 'M7E4' again"),
    ({"choices": ["float32"]}, lba_onnx.LbaError, "expected a product that takes one of float32"),
    ({"choices": ["nonsense"]}, ValueError, "nonsense"),
    ({"fix": {"conv9": "M7E4"}}, SelectionError, "fix: no product matches 'conv9'; there are conv1, depthwise"),
    ({"share": ["("]}, SelectionError, r"share: '\(' is no product and no regular expression"),
    (
        {"share": [".*"], "fix": {"conv1": "M7E4", "classifier": "M4E4"}},
        SelectionError,
        "share a choice, but M4E4 and M7E4 are fixed",
    ),
    ({"data": {"x": images(6)}}, DataError, "expected at least 8 samples"),
]


@pytest.mark.parametrize(("settings", "error", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_cannot_be_is_one_clear_error_before_much_is_measured(monkeypatch, settings, error, message):
    monkeypatch.delattr(searching, "measure_sensitivities")
    with pytest.raises(error, match=message):
        search(**settings)


def test_a_loss_that_no_model_reaches_is_refused():
    with pytest.raises(BudgetError, match="expected a loss of at least .* to be granted, got 0"):
        search(losses=[0], effort=None)


def test_a_choice_without_a_price_is_named(monkeypatch):
    def price(spec, *rest):
        if "M7" in str(spec):
            raise UnpricedError(f"{spec}: its kind tells no datapath")
        return unit_cost(spec, *rest)

    monkeypatch.setattr("lba_onnx.costing.costing.unit_cost", price)
    with pytest.raises(UnpricedError, match="node 'conv1': M7E4.* its kind tells no datapath"):
        search(["M7E4"])


def test_command_prints_points_and_writes_json_and_models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    onnx.save(network(), "model.onnx")
    np.savez("data.npz", x=images(40))
    arguments = [
        *(
            "search",
            "-i",
            "model.onnx",
            "-o",
            "found.json",
            "--data_path",
            "data.npz",
            "--choices",
            "M4E4,M7E4,chunk=8",
        ),
        *("--budget", "60%", "--fix", "conv1=M7E4,chunk=8", "--effort", "quick", "--write", "1"),
    ]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.npz", "found.json", "found_1.onnx", "model.onnx"]
    assert "3 products, gates per MAC, operands M4E3" in done.stdout and "wrote found.json" in done.stdout
    assert "the model does not say its operands are M4E3, its tensors are float32" in done.stdout
    value = json.loads((tmp_path / "found.json").read_text())
    assert value["choices"] == ["M4E4", "M7E4,chunk=8"] and value["points"][0]["choices"]["conv1"] == "M7E4,chunk=8"
    printed = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
    assert printed["points"] == value["points"]
    converted = CliRunner().invoke(main, [*CONVERT, "--point", "1"])
    assert converted.exit_code == 0, converted.output
    specs = {node.node: node.spec for node in lba_onnx.cost(onnx.load("lba.onnx")).nodes}
    assert specs == value["points"][0]["specs"]
    (entry,) = (e.value for e in onnx.load("lba.onnx").metadata_props if value["data_sha256"] in e.value)
    assert '"search"' in entry
    wrong = CliRunner().invoke(main, [*arguments, "--fix", "conv1"])
    assert wrong.exit_code == 1 and "expected NODE=CHOICE, got 'conv1'" in wrong.stderr


CONVERT = ["convert", "-i", "model.onnx", "-o", "lba.onnx", "--search_path", "found.json"]
NO_POINTS = [
    ({"points": [{"specs": {}}] * 3}, [], "expected the number of one of its 3 points, got none"),
    ({"points": [{"specs": {}}] * 3}, ["--point", "4"], "expected the number of a point, 1 to 3, got 4"),
    (
        {"points": [{"specs": {"conv1": "M7E4b10"}}, {"specs": {"conv1": "M7"}}]},
        ["--point", "2"],
        "point 2: expected acc",
    ),
    ({"points": [7]}, [], "point 1: expected accumulators of nodes in 'specs'"),
    ({"points": {}}, [], "expected a list 'points' with at least one, got dict"),
    ({"kind": "lba_onnx.calibration"}, [], "expected a search (kind 'lba_onnx.search', schema 1), got kind"),
    ({}, ["--spec", "M7E4b10"], "expected one of --spec, --calibration_path, --search_path and"),
    ({}, ["--family", "M7E4"], "--family plays no part with --search_path"),
]


@pytest.mark.parametrize(("entries", "options", "message"), NO_POINTS)
def test_what_is_no_point_of_a_search_is_refused(tmp_path, monkeypatch, entries, options, message):
    monkeypatch.chdir(tmp_path)
    onnx.save(network(), "model.onnx")
    (tmp_path / "found.json").write_text(json.dumps({"kind": "lba_onnx.search", "schema": 1, **entries}))
    refused = CliRunner().invoke(main, [*CONVERT, *options])
    assert refused.exit_code == 1 and message in refused.stderr and not (tmp_path / "lba.onnx").exists()


@pytest.mark.parametrize("is_large", [False, True])
def test_models_with_external_data_are_searched_beside_it(tmp_path, monkeypatch, whole, is_large):
    """Models beyond 2 GB are the same, with a smaller bound: no model that is tried has a copy of the weights."""
    path, copies = tmp_path / "model.onnx", []
    onnx.save_model(network(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    if is_large:
        monkeypatch.setattr(model_files, "MAX_PROTOBUF_BYTES", model_writer._SPARE_BYTES + 64)
    monkeypatch.setattr(external_data, "_copy_range", lambda source, target: copies.append(source))
    found = search(model=path, budgets=["M5E4"], write=1, model_output=tmp_path / "best.onnx")
    assert not copies and found.model_sha256 == model_hash(path)
    (point,) = found.points
    (expected,) = whole.points
    assert point.specs == expected.specs and point.loss.mean == pytest.approx(expected.loss.mean)
    assert [p.losses for p in found.products] == [pytest.approx(p.losses) for p in whole.products]
    compared = lba_onnx.compare(path, point.model_path, DATA)
    assert compared.samples == 48 and sorted(file.name for file in tmp_path.iterdir())[0] == "best_1.onnx"

"""What is multiplied: as the model tells, else as the user says, else as a named accumulator has it, else M4E3."""

import onnx
import pytest
from click.testing import CliRunner
from nbits_models import draw
from small_models import images, network

import lba_onnx
from lba_onnx.arithmetic import as_spec
from lba_onnx.arithmetic.chunked_float.named import NAMED, OPERANDS
from lba_onnx.cli import main
from lba_onnx.costing import load_table, unit_cost
from lba_onnx.costing.text import cost_text
from lba_onnx.reporting import Subject, make_report
from lba_onnx.reporting.from_cost import cost_section
from lba_onnx.reporting.from_points import front_of_sweep
from lba_onnx.reporting.highlights import highlights
from lba_onnx.reporting.sweep_prices import SweepPrices
from lba_onnx.searching.choices import Choice
from lba_onnx.searching.prices import Pricing, price_choices

PRESCRIBED = {
    "fp32-fma": "M23E8",
    "fp16-fma": "M10E5",
    "fp16-mul-add": "M10E5",
    "bf16-fma": "M7E8",
    "wang2018": "M2E5",
    "hfp8": "M2E5",
    "dlfloat16": "M9E6",
    "splitk4(fp16-fma)": "M10E5",
}


@pytest.mark.parametrize(("name", "operands"), PRESCRIBED.items())
def test_a_named_accumulator_says_what_it_multiplies(name, operands):
    """By its name, by what that means, and in a converted model, which holds the latter."""
    converted, _ = lba_onnx.convert(network(), name)
    found = [lba_onnx.cost(network(), name), lba_onnx.cost(network(), str(as_spec(name))), lba_onnx.cost(converted)]
    for each in found:
        assert {(node.operands, node.assumed_by) for node in each.nodes} == {(operands, "accumulator")}
        assert each.operand_sources == {operands: "accumulator"} and each.totals == found[0].totals
        assert each.nodes[2].unit == unit_cost(name, operands, 128)
        assert each.nodes[2].float32 == unit_cost("fp32-fma", operands, 1)
    told = "\n".join(map(str, cost_text(found[0])))
    assert f"operands {operands} as the accumulator has them" in told


def test_every_name_says_it_but_those_of_several():
    assert set(NAMED) - set(OPERANDS) == {"hfp8", "fp12-sr"} and set(PRESCRIBED) >= set(OPERANDS)


@pytest.mark.parametrize("spec", ["M7E4b10", "fp16-fma,chunk=32", "fp12-sr", "kulisch"])
def test_others_do_not(spec):
    found = lba_onnx.cost(network(), spec)
    assert found.operand_sources == {"M4E3": "default"} and found.operand_format == "M4E3"
    assert "operands M4E3 by default" in "\n".join(map(str, cost_text(found)))


def test_what_the_user_says_counts_more_and_what_the_model_tells_most():
    assert lba_onnx.cost(network(), "fp16-fma", operand_format="M4E3").operand_sources == {"M4E3": "given"}
    case = draw(1, bits=4)
    made = case.model(dimensions=case.a.shape)
    for settings, operands in (({}, "M10E5*int4"), ({"operand_format": "M4E3"}, "M4E3*int4")):
        (node,) = lba_onnx.cost(made, "fp16-fma", **settings).nodes
        assert (node.operands, node.told_operands) == (operands, (None, "int4"))


def test_each_node_has_those_of_its_own_accumulator():
    found = lba_onnx.cost(network(), {"conv1": "fp16-fma", "classifier": "M7E4b10"})
    assert [node.operands for node in found.nodes] == ["M10E5", "M4E3", "M4E3"]
    assert found.operand_format == "M10E5 and M4E3"
    assert found.operand_sources == {"M10E5": "accumulator", "M4E3": "default"}
    told = "\n".join(map(str, cost_text(found)))
    assert "operands M10E5 as the accumulator has them and M4E3 by default, table" in told


def test_a_search_prices_each_choice_with_its_own():
    texts = ("M7E4b10", "fp16-fma")
    choices = [Choice(text, dict.fromkeys(["classifier"], as_spec(text))) for text in texts]
    for given, formats in ((None, ("M4E3", "M10E5")), ("int8", ("int8", "int8"))):
        pricing = Pricing.of("gates", given, None, lba_onnx.Selection())
        prices = price_choices(network(), choices, {"x": images(1)}, pricing)
        gates = [unit_cost(text, operands, 128).gates for text, operands in zip(texts, formats, strict=True)]
        assert prices.costs["classifier"] == pytest.approx([each * 1280 / 7040 for each in gates])
        assert list(prices.operand_sources) == list(dict.fromkeys(formats))
        assert prices.float32 == pytest.approx(unit_cost("fp32-fma", formats[0], 1).gates)


@pytest.mark.parametrize(("given", "own", "other"), [(None, "M10E5", "M4E3"), ("int8", "int8", "int8")])
def test_a_report_and_the_points_of_its_sweep_have_them_too(tmp_path, given, own, other):
    """Whatever the report's own model has, a point of the sweep has what it prescribes."""
    onnx.save(network(), tmp_path / "m.onnx")
    report = make_report(Subject(tmp_path / "m.onnx", spec="fp16-fma", operand_format=given))
    (saved,) = [highlight for highlight in highlights(report) if highlight.section == "cost"]
    assert saved.note.endswith(f"operands {own}" + ("" if given else " as the accumulator has them"))
    cost = cost_section(lba_onnx.cost(network(), "fp16-fma", operand_format=given).to_json())
    agreement = {"percent": 90.0, "interval": [89.0, 91.0], "hits": 1, "samples": 2}
    alone = {"samples": 9, "top1": None, "top5": None, "metric": None, "metric_name": None}
    nothing = dict.fromkeys(("top1_difference", "top5_difference", "metric_difference"))
    comparison = {"reference": alone, "candidate": alone, **nothing, "agreement": agreement, "outputs": []}
    points = [
        {"text": text, "bias": None, "accumulator": text, "comparison": comparison} for text in ("M7E4b10", "fp16-fma")
    ]
    front = front_of_sweep({"samples": 9, "points": points}, SweepPrices(network(), cost, load_table()))
    found = {point.label: point.cost for point in front.points}
    for text, operands in (("M7E4b10", other), ("fp16-fma", own)):
        totals = lba_onnx.cost(network(), text, operand_format=operands).totals
        assert found[text] == pytest.approx(totals.gate_macs / totals.macs)
    assert front.operand_format == " and ".join(dict.fromkeys((other, own)))
    assert front.float32_cost == pytest.approx(unit_cost("fp32-fma", other, 1).gates)


def test_the_command_takes_the_default_from_the_accumulator(tmp_path):
    onnx.save(network(), tmp_path / "m.onnx")
    arguments = ["cost", "-i", str(tmp_path / "m.onnx"), "--spec", "bf16-fma"]
    assert "operands M7E8 as the accumulator has them" in CliRunner().invoke(main, arguments).stdout
    told = CliRunner().invoke(main, [*arguments, "--operand_format", "float8e4m3"]).stdout
    assert "operands M3E4, table" in told

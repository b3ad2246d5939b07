"""The share of MACs that is converted: in words, in JSON, in tables, as a warning, on the command line."""

import json
import logging

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper
from small_models import images, model, network, tensor

import lba_onnx
from lba_onnx.cli import main
from lba_onnx.rewrite import Selection, convert, list_candidates
from lba_onnx.rewrite.mac_share import MacShare, mac_text, percent_text

CONV1, DEPTHWISE, CLASSIFIER = 8 * 64 * 9, 8 * 16 * 9, 10 * 128
TOTAL = CONV1 + DEPTHWISE + CLASSIFIER  # 4608, 1152, 1280


def unknown_network() -> onnx.ModelProto:
    """A MatMul of a fixed shape, and one whose rows nobody knows."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"], "known"),
        helper.make_node("MatMul", ["u", "w"], ["z"], "unknown"),
    ]
    inputs, outputs = [tensor("x", 2, 5), tensor("u", 1, "rows", 5)], [tensor("y", 2, 5), tensor("z", 1, "rows", 5)]
    return model(nodes, inputs, outputs, {"w": np.eye(5, dtype=np.float32)})


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 MAC"),
        (999, "999 MAC"),
        (1000, "1.00 kMAC"),
        (9994, "9.99 kMAC"),
        (9996, "10.0 kMAC"),
        (99_960, "100 kMAC"),
        (300_774_272, "301 MMAC"),
        (999_600, "1.00 MMAC"),
        (1_620_000_000, "1.62 GMAC"),
        (27 * 2**40, "29.7 TMAC"),
        (10**18, "1000 PMAC"),
    ],
)
def test_counts_have_three_digits(count, text) -> None:
    assert mac_text(count) == text


@pytest.mark.parametrize(
    ("part", "total", "text"),
    [(0, 7, "0 %"), (7, 7, "100 %"), (1, 10**6, "0.1 %"), (10**6 - 1, 10**6, "99.9 %"), (993, 1000, "99.3 %")],
)
def test_only_all_is_a_hundred_percent_and_only_nothing_none(part, total, text) -> None:
    assert percent_text(part, total) == text


def test_a_share_of_nothing_is_none() -> None:
    assert MacShare(0, 0, ("a",)).share is None and str(MacShare(0, 0, ("a",))) == ""
    assert not MacShare(0, 0, ()).is_small and not MacShare(100, 95, ()).is_small and MacShare(100, 94, ()).is_small


def test_a_conversion_tells_its_share() -> None:
    _, report = convert(network(), "M7E4b10")
    assert report.macs == MacShare(TOTAL, TOTAL, ())
    assert report.summary() == "3 of 3 nodes converted (Conv 2, Gemm 1), 100 % of 7.04 kMAC"
    _, report = convert(network(), "M7E4b10", selection=Selection(op_types_to_convert=["Conv"]))
    text = "2 of 3 nodes converted (Conv 2), 81.8 % of 7.04 kMAC, 1 left (Gemm 1)"
    assert report.summary() == text
    assert list_candidates(network()).summary() == "3 of 3 nodes convertible (Conv 2, Gemm 1), 100 % of 7.04 kMAC"


def test_what_was_converted_before_counts() -> None:
    first, _ = convert(network(), "M7E4b10", selection=Selection(op_types_to_convert=["Conv"]))
    second, report = convert(first, "M10E5b15")
    assert report.macs == MacShare(TOTAL, TOTAL, ()) and report.warning() is None
    assert list_candidates(second).macs == report.macs


def test_a_share_of_what_is_known_says_so() -> None:
    _, report = convert(unknown_network(), "M7E4b10")
    assert report.macs == MacShare(50, 50, ("unknown",))
    assert report.summary() == "2 of 2 nodes converted (MatMul 2), 100 % of the 50 MAC that are known (1 unknown)"
    assert report.to_json()["macs"] == {"total": 50, "converted": 50, "share": 1.0, "unknown": ["unknown"]}
    assert [entry["macs"] for entry in report.to_json()["nodes"]] == [50, None]


def test_the_table_has_macs_and_shares_where_any_is_known() -> None:
    lines = str(list_candidates(network()).table()).splitlines()
    rows = [line.rsplit(maxsplit=4)[1:] for line in lines[3:]]
    assert lines[1].split()[-2:] == ["MACs", "share"]
    assert rows == [["4.61", "k", "65.5", "%"], ["1.15", "k", "16.4", "%"], ["1.28", "k", "18.2", "%"]]
    assert "unknown" in str(list_candidates(unknown_network()).table()).splitlines()[-1]
    nodes = [helper.make_node("MatMul", ["x", "x"], ["y"], "one")]
    nothing = list_candidates(model(nodes, [tensor("x", "a", "b")], [tensor("y", "a", "b")]))
    assert "MACs" not in str(nothing.table()) and nothing.summary() == "1 of 1 nodes convertible (MatMul 1)"


def test_less_than_expected_is_a_warning_with_the_largest_nodes_left(caplog) -> None:
    convert(network(), "M7E4b10")
    convert(network(), "M7E4b10", selection=Selection(nodes_to_exclude=[".*"]))  # nothing, which the summary says
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING):
        convert(network(), "M7E4b10", selection=Selection(nodes_to_convert=["depthwise"]))
    (record,) = caplog.records
    assert record.getMessage() == (
        "only 16.4 % of 7.04 kMAC are converted; left: conv1 (Conv, 65.5 %), classifier (Gemm, 18.2 %)"
    )


def test_a_warning_names_three_nodes() -> None:
    nodes = [helper.make_node("MatMul", [f"h{i}", "w"], [f"h{i + 1}"], f"n{i}") for i in range(6)]
    source = model(nodes, [tensor("h0", 2, 5)], [tensor("h6", 2, 5)], {"w": np.eye(5, dtype=np.float32)})
    _, report = convert(source, "M7E4b10", selection=Selection(nodes_to_convert=["n1"]))
    named = ", ".join(f"n{i} (MatMul, 16.7 %)" for i in (0, 2, 3))
    assert report.warning() == f"only 16.7 % of 300 MAC are converted; left: {named} and 2 more"


def test_a_conversion_with_data_counts_in_a_run() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("NonZero", ["x"], ["places"]),  # nobody infers how many
        helper.make_node("Cast", ["places"], ["floats"], to=onnx.TensorProto.FLOAT),
        helper.make_node("MatMul", ["floats", "floats_t"], ["square"], "square"),
        helper.make_node("Transpose", ["floats"], ["floats_t"]),
        helper.make_node("MatMul", ["x", "w"], ["y"], "plain"),
    ]
    nodes[3], nodes[4] = nodes[4], nodes[3]
    outputs = [tensor("y", "batch", 5), tensor("square", 2, 2)]
    source = model(nodes, [tensor("x", "batch", 5)], outputs, {"w": np.eye(5, dtype=np.float32)})
    assert {entry.node: entry.macs for entry in list_candidates(source)} == {"square": None, "plain": None}
    samples = np.ones((4, 5), np.float32)
    found = lba_onnx.convert_with_data(source, {"x": samples}, "M7E4b10", with_correction=False)
    assert {entry.node: entry.macs for entry in found.conversion} == {"square": 2 * 5 * 2, "plain": 25}
    assert ", 100 % of 45 MAC" in found.summary()


def run(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def files(tmp_path):
    onnx.save_model(network(), tmp_path / "model.onnx")
    onnx.save_model(unknown_network(), tmp_path / "open.onnx")
    np.savez(tmp_path / "data.npz", x=images(8))
    np.savez(tmp_path / "open.npz", x=np.ones((2, 5), np.float32), u=np.ones((2, 3, 5), np.float32))
    return tmp_path


def test_inspect_tells_shares(files) -> None:
    title = run("inspect", "-i", files / "model.onnx").splitlines()[0]
    assert title == "3 nodes multiply and accumulate: 3 can be converted (100 % of 7.04 kMAC), 0 are converted"
    out = files / "out.onnx"
    result = CliRunner().invoke(
        main, ["convert", "-i", str(files / "model.onnx"), "-o", str(out), "--spec", "M7E4b10",
               "--nodes_to_exclude", "classifier"]
    )  # fmt: skip
    assert result.stderr.startswith("warning: only 81.8 % of 7.04 kMAC are converted; left: classifier (Gemm, 18.2 %)")
    title = run("inspect", "-i", out).splitlines()[0]
    shares = "1 can be converted (18.2 % of 7.04 kMAC), 2 are converted (81.8 % of 7.04 kMAC)"
    assert title == f"3 nodes multiply and accumulate: {shares}"


def test_inspect_takes_shapes_and_data(files) -> None:
    command = "inspect", "-i", files / "open.onnx", "--json"
    macs = {"known": 50, "unknown": 75}

    def found(*arguments: object) -> dict[str, int | None]:
        ledger = json.loads(run(*command, *arguments))["ledger"]
        return {node["node"]: node["macs"] for node in ledger["nodes"]}

    assert found() == {"known": 50, "unknown": None}
    for text in ("u:1x3x5", "u:1,3,5", "u:[1,3,5]"):
        assert found("--input_shapes", text) == macs
    assert found("--input_shapes", "u:1x3x5", "--input_shapes", "x:2x5") == macs
    model_path, data_path = files / "model.onnx", files / "data.npz"
    ledger = json.loads(run("inspect", "-i", model_path, "--data_path", data_path, "--json"))["ledger"]
    assert ledger["macs"] == {"total": TOTAL, "converted": 0, "share": 0.0, "unknown": []}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input_shapes", "u"], "expected NAME:SIZExSIZE..., such as image:1x3x224x224, got 'u'"),
        (["--input_shapes", "u:1x-1"], "expected NAME:SIZExSIZE"),
        (["--input_shapes", "v:1"], "input_shapes: expected some of the inputs x, u, got 'v'"),
        (["--input_shapes", "x:3x5"], "input_shapes: expected 'x' as 2x5, got 3x5"),
        (["--input_shapes", "x:2x5", "--data_path", "open.npz"], "--input_shapes plays no part with --data_path"),
    ],
)
def test_wrong_shapes_are_one_line(files, arguments, message, monkeypatch) -> None:
    monkeypatch.chdir(files)
    result = CliRunner().invoke(main, ["inspect", "-i", "open.onnx", *arguments])
    assert result.exit_code == 1 and message in result.stderr and len(result.stderr.splitlines()) == 1


def test_inspect_says_how_to_learn_what_is_unknown(files) -> None:
    nodes = [helper.make_node("MatMul", ["x", "x"], ["y"], "one")]
    onnx.save_model(model(nodes, [tensor("x", "a", "b")], [tensor("y", "a", "b")]), files / "nothing.onnx")
    assert "--input_shapes" in run("inspect", "-i", files / "nothing.onnx").splitlines()[-1]


@pytest.mark.parametrize(
    ("op_type", "weights", "attributes"),
    [
        ("MoE", {"up": np.zeros((4, 16, 8), np.float32), "down": np.zeros((4, 8, 16), np.float32)}, {}),
        (
            "QMoE",
            {
                **{"up": np.zeros((4, 16, 4), np.uint8), "up_scales": np.ones((4, 16), np.float32)},
                **{"down": np.zeros((4, 8, 8), np.uint8), "down_scales": np.ones((4, 8), np.float32)},
            },
            {"expert_weight_bits": 4},
        ),
    ],
)
def test_experts_that_data_choose_have_a_share(op_type, weights, attributes) -> None:
    """Two experts of four are chosen for each of six rows; a MatMul of 8 x 8 is beside them."""
    names = ["up", "", "down"] if op_type == "MoE" else ["up", "up_scales", "", "down", "down_scales"]
    nodes = [
        helper.make_node(op_type, ["x", "r", *names], ["y"], "experts", domain="com.microsoft", k=2, **attributes),
        helper.make_node("MatMul", ["x", "w"], ["z"], "head"),
    ]
    inputs, outputs = [tensor("x", 6, 8), tensor("r", 6, 4)], [tensor("z", 6, 8)]
    tensors = [onnx.numpy_helper.from_array(v, n) for n, v in {**weights, "w": np.eye(8, dtype=np.float32)}.items()]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    proto = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, tensors), opset_imports=opsets)
    _, report = convert(proto, "M7E4b10")
    assert {entry.node: entry.macs for entry in report.entries} == {"experts": 6 * 2 * 2 * 8 * 16, "head": 6 * 64}
    assert report.macs.share == 6 * 64 / (6 * 2 * 2 * 8 * 16 + 6 * 64) and "experts" in report.warning()

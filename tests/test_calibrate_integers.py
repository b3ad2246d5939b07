"""Calibration of integer models: the least bits that hold what the samples make, and those that a loss allows."""

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from integer_models import make_model, operator_case, run
from onnx import helper

from lba_onnx import Samples, compare, convert
from lba_onnx.calibration import Calibration, calibrate
from lba_onnx.calibration.methods import LeastBits
from lba_onnx.cli import main
from lba_onnx.data.split import is_kept_apart
from lba_onnx.errors import DataError
from lba_onnx.evaluation.condition import Condition
from lba_onnx.rewrite.specs import read_specs


def magnitude_bits(values: np.ndarray) -> int:
    return int(np.frexp(np.abs(values).max())[1]) + 1


def centered(case) -> tuple[np.ndarray, np.ndarray]:
    sums = case.sums
    x, w = (sums[name].astype(np.int64) for name in ("x", "w"))
    return x - sums["x_zero_point"].astype(np.int64), w - sums["w_zero_point"].astype(np.int64)


def chain(count: int = 3):
    """Products of codes one behind the other, whose sums are of very different sizes."""
    rng = np.random.default_rng(3)
    weights = {f"w{i}": rng.integers(-100 >> 2 * i, (100 >> 2 * i) + 1, (48, 48)).astype(np.int8) for i in range(count)}
    scales = {f"s{i}": np.float32(2.0 ** (-9 + 2 * i)) for i in range(count)}
    shared = {"one": np.float32(1), "zero": np.uint8(128), "none": np.int8(0)}
    nodes = [
        helper.make_node(
            "QLinearMatMul",
            [f"x{i}", "one", "zero", f"w{i}", f"s{i}", "none", "one", "zero"],
            [f"x{i + 1}"],
            f"node{i}",
        )
        for i in range(count)
    ]
    model = make_model(nodes, {"x0": (np.uint8, ["n", 48])}, {**weights, **scales, **shared}, (f"x{count}", np.uint8))
    return model, {"x0": rng.integers(0, 256, (64, 48)).astype(np.uint8)}


@pytest.mark.parametrize(("family", "is_on_the_way"), [("int", False), ("int-wrap", False), ("int-saturate", True)])
def test_least_bits_hold_results_or_all_on_their_way(family, is_on_the_way):
    case = operator_case("QLinearMatMul", "uint8", "int8")
    found = calibrate(case.model, case.feeds, family)
    x, w = centered(case)
    way = np.cumsum(x[:, np.newaxis, :] * w.T[np.newaxis], axis=2)
    bits = magnitude_bits(way if is_on_the_way else way[..., -1])
    overflow = "saturate" if is_on_the_way else "wrap"
    assert {name: str(spec) for name, spec in found.specs.items()} == {"node": f"int{bits}-{overflow}"}
    assert found.family == f"int-{overflow}" and not found.notes and not found.warnings
    narrow, wide = (run(convert(case.model, spec)[0], case.feeds) for spec in (found, "int32-wrap"))
    np.testing.assert_array_equal(narrow, wide)
    event = "wrap" if overflow == "wrap" else "saturation"
    assert found.nodes["node"].rates.shares == {"product_overflow": 0.0, f"total_{event}": 0.0}


def test_convolutions_and_operators_of_floats_behind_are_calibrated_alike():
    for op_type in ("QLinearConv", "ConvInteger", "MatMulIntegerToFloat", "QGemm"):
        case = operator_case(op_type, "int8", "int8")
        specs = calibrate(case.model, case.feeds, "int-wrap").specs
        narrow, wide = (run(convert(case.model, spec)[0], case.feeds) for spec in (specs, "int32-wrap"))
        np.testing.assert_array_equal(narrow, wide)


def test_a_calibration_survives_its_file(tmp_path):
    model, feeds = chain()
    found = calibrate(model, feeds, "int-wrap", LeastBits(loss="sqnr>=20"))
    found.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == found
    assert found.provenance["loss"] == "sqnr>=20" and found.verdict.condition == "sqnr>=20"
    assert str(found.verdict).startswith("sqnr>=20 holds: ")
    assert calibrate(model, feeds, "int-wrap", LeastBits(loss="sqnr>=20")) == found


def with_silence(feeds, silences_apart: bool):
    """Return samples of which those kept apart, or all others, have only zeros, and the samples that have more."""
    is_apart = np.array([is_kept_apart(i, every=2) for i in range(len(feeds["x0"]))])
    is_silent = is_apart == silences_apart
    return {"x0": np.where(is_silent[:, None], np.uint8(128), feeds["x0"])}, {"x0": feeds["x0"][~is_silent]}


def is_held(model, feeds, loss: str, specs) -> bool:
    wanted = Condition.parse(loss)
    wide, narrow = (convert(model, of)[0] for of in ("int32-wrap", specs))
    return wanted.holds(wanted.value(compare(wide, narrow, Samples(feeds))))


@pytest.mark.parametrize(("family", "loss"), [("int-wrap", "sqnr>=14"), ("int-saturate", "sqnr>=25")])
def test_no_bit_can_be_taken_from_what_a_loss_allows(family, loss):
    model, feeds = chain()
    feeds, searched = with_silence(feeds, silences_apart=True)
    plain = calibrate(model, feeds, family).specs
    found = calibrate(model, feeds, family, LeastBits(loss=loss, trials=100))
    assert is_held(model, searched, loss, found.specs)
    widths = {name: spec.widths[0].bits for name, spec in found.specs.items()}
    assert all(widths[name] <= spec.widths[0].bits for name, spec in plain.items()) and found.specs != plain
    for name, bits in widths.items():
        assert not is_held(model, searched, loss, {**found.specs, name: found.specs[name].with_widths([bits - 1])})
    narrowed = [name for name in plain if found.specs[name] != plain[name]]
    assert set(found.notes) == set(narrowed) and all("bits" in note for note in found.notes.values())


def test_what_is_chosen_holds_on_samples_that_the_search_has_not_met():
    model, feeds = chain()
    feeds, apart = with_silence(feeds, silences_apart=False)
    found = calibrate(model, feeds, "int-wrap", LeastBits(loss="sqnr>=20", trials=100))
    assert found.verdict.samples == len(apart["x0"]) == 32
    assert is_held(model, apart, "sqnr>=20", found.specs)
    narrowest = {name: spec.with_widths([4]) for name, spec in found.specs.items()}  # silence fits everywhere
    assert not is_held(model, apart, "sqnr>=20", narrowest)


def test_trials_bound_the_search_and_still_leave_what_holds():
    model, feeds = chain()
    for trials in (2, 5, 9):
        found = calibrate(model, feeds, "int-wrap", LeastBits(loss="sqnr>=25", trials=trials))
        assert found.verdict.evaluations <= trials and found.verdict.scores["least_bits"] >= 25


def test_one_width_for_the_model():
    model, feeds = chain()
    found = calibrate(model, feeds, "int-wrap", LeastBits(loss="sqnr>=20", granularity="model"))
    assert len(set(found.specs.values())) == 1


def test_a_share_of_sums_may_overflow():
    case = operator_case("MatMulInteger", "uint8", "int8")
    least = {p: calibrate(case.model, case.feeds, "int-wrap", "percentile").specs["node"].widths[0].bits for p in (1,)}
    assert least[1] <= calibrate(case.model, case.feeds, "int-wrap").specs["node"].widths[0].bits


def test_a_loss_that_cannot_be_had_is_refused():
    model, feeds = chain()
    with pytest.raises(DataError, match="cosine>=2 does not hold even where no sum overflows: 1"):
        calibrate(model, feeds, "int-wrap", LeastBits(loss="cosine>=2"))
    with pytest.raises(DataError, match="expected labels and an output \\[samples, classes\\] to tell top1 from"):
        calibrate(model, feeds, "int-wrap", LeastBits(loss="top1>=90"))
    with pytest.raises(ValueError, match="expected a condition such as 'sqnr>=20'"):
        LeastBits(loss="good")


@pytest.mark.parametrize(
    ("family", "method", "problem"),
    [
        ("int-wrap", "mse", "expected a method that chooses the bits of integers for int-wrap, got 'mse'"),
        ("int-wrap", "zero_shot", "expected a method that chooses the bits of integers for int-wrap, got 'zero_shot'"),
        ("M7E4", "least_bits", "expected a method that chooses the biases of floats for M7E4, got 'least_bits'"),
        ("int16-wrap", "max", "expected int or int-wrap or int-saturate, whose bits are free, got 'int16-wrap'"),
    ],
)
def test_other_methods_and_families_are_refused(family, method, problem):
    model, feeds = chain(1)
    with pytest.raises(ValueError, match=problem):
        calibrate(model, feeds, family, method)


def test_command_writes_what_convert_reads(tmp_path):
    model, feeds = chain()
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    np.savez(tmp_path / "samples.npz", **feeds)
    arguments = f"calibrate -i {path} -o {tmp_path}/c.json --calibration_data_path {tmp_path}/samples.npz"
    result = CliRunner().invoke(main, [*arguments.split(), "--family", "int-wrap", "--loss", "sqnr>=20", "--quiet"])
    assert result.exit_code == 0, result.output
    assert "int-wrap, method least_bits, 64 samples" in result.output and "sqnr>=20 holds" in result.output
    arguments = f"convert -i {path} -o {tmp_path}/lba.onnx --calibration_path {tmp_path}/c.json --quiet"
    result = CliRunner().invoke(main, arguments.split())
    assert result.exit_code == 0, result.output
    assert read_specs(onnx.load(tmp_path / "lba.onnx")) == Calibration.load(tmp_path / "c.json").specs

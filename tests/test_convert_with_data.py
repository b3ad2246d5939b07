"""One call, and `lba-onnx convert`: calibrated, converted, corrected, and measured on samples that nothing has seen.

A user converted MobileNetV2 at M5E4 without correction: 0 of 500 images were right, and not a word was said. Another
read "62 % swamped" beside a model that was as good as float32.
"""

import json
import logging

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper
from small_models import images, matmul_model, model, network, tensor

import lba_onnx
from lba_onnx import post_training
from lba_onnx.cli import main
from lba_onnx.data.batches import read_batches
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.data.reading import Part, count_samples, read_samples
from lba_onnx.demo import demo_data_path
from lba_onnx.errors import DataError
from lba_onnx.evaluation.closeness import BROKEN, CLOSE, UNKNOWN
from lba_onnx.session import make_session

MODEL = demo_data_path() / "fashion_cnn.onnx"
IMAGES = np.load(demo_data_path() / "fashion_calibration_256.npz")["image"]


def seen(batches) -> list[float]:
    return [float(x) for batch in batches for x in batch.feeds["x"][: batch.samples, 0]]


def part_of(data, is_to_check: bool) -> Part:
    return Part.of_samples(lba_onnx.Samples(data, batch_size=4), is_to_check)


def numbered(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.float32)[:, np.newaxis] * np.ones((1, 3), np.float32)


@pytest.mark.parametrize("batch", ["batch", 4])
@pytest.mark.parametrize("count", [8, 30, 67])
def test_two_parts_are_all_of_the_data(batch, count):
    inputs = describe_inputs(make_session(matmul_model(np.eye(3, dtype=np.float32), batch)))
    both = [part_of({"x": numbered(count)}, is_to_check) for is_to_check in (True, False)]
    parts = [seen(read_samples(part, inputs)) for part in both]
    assert sorted(parts[0] + parts[1]) == list(range(count))
    assert abs(len(parts[0]) - count / 4) <= 1
    assert [count_samples(part) for part in both] == [len(part) for part in parts]
    assert parts[0] == sorted(parts[0])


def test_a_part_is_limited_before_and_after_it_is_cut():
    inputs = describe_inputs(make_session(matmul_model(np.eye(3, dtype=np.float32))))
    part = Part(data={"x": numbered(40)}, batch_size=8, max_samples=20, is_to_check=False)
    whole = seen(read_samples(part, inputs))
    assert max(whole) < 20 and len(whole) == count_samples(part)
    assert seen(read_samples(part.up_to(5), inputs)) == whole[:5]
    assert count_samples(part.up_to(5)) == 5 == count_samples(part.up_to(5).up_to(7))


def test_feeds_without_an_axis_for_samples_are_parted_whole():
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "mm")]
    made = model(nodes, [tensor("x", 1, 3)], [tensor("y", 1, 3)], {"w": np.eye(3, dtype=np.float32)})
    inputs = describe_inputs(make_session(made))
    feeds = [{"x": row[np.newaxis]} for row in numbered(12)]
    parts = [seen(read_samples(part_of(feeds, is_to_check), inputs)) for is_to_check in (True, False)]
    assert sorted(parts[0] + parts[1]) == list(range(12)) and len(parts[0]) == 3


def watched(monkeypatch) -> dict[str, list[bytes]]:
    """Notes the samples that each step reads."""
    used: dict[str, list[bytes]] = {}
    inputs = describe_inputs(make_session(MODEL))

    def watch(step: str, function):
        def run(*arguments, **settings):
            data = arguments[2] if step == "measure" else arguments[1]
            batches = list(data if step == "measure" else read_samples(data, inputs))
            used[step] = [row.tobytes() for batch in batches for row in batch.feeds["image"][: batch.samples]]
            rest = arguments[3:] if step == "measure" else arguments[2:]
            first = arguments[:2] if step == "measure" else arguments[:1]
            return function(*first, batches if step == "measure" else data, *rest, **settings)

        return run

    for step in ("calibrate", "correct", "measure"):
        monkeypatch.setattr(post_training.converting, step, watch(step, getattr(post_training.converting, step)))
    return used


def test_no_step_has_seen_what_is_measured_with(monkeypatch):
    used = watched(monkeypatch)
    result = lba_onnx.convert_with_data(MODEL, {"image": IMAGES}, "M6E4")
    assert len(used["measure"]) == result.verdict.samples == 64
    assert len(used["calibrate"]) == len(used["correct"]) == 192  # of which `correct` takes 96
    assert result.correction.samples + result.correction.held_out_samples == 96
    assert not set(used["measure"]) & {*used["calibrate"], *used["correct"]}


def test_result_holds_every_step():
    result = lba_onnx.convert_with_data(MODEL, {"image": IMAGES}, "M5E4")
    assert result.calibration.family == "M5E4" and result.calibration.samples == 192
    assert result.correction.recipe == "refit"
    assert len(result.conversion.converted) == 10
    assert result.verdict.status == CLOSE
    assert result.before_correction.status != CLOSE
    line = result.verdict_line()
    assert line.startswith("close to float32: same top-1 in ") and "before the correction: same top-1 in" in line
    assert "Next" not in line and "swamped" not in result.summary()
    value = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert value["verdict"]["summary"] == str(result.verdict)
    measured = result.verdict.comparison
    expected = lba_onnx.compare(MODEL, result.model, {"image": IMAGES})  # other samples, the same figures' kind
    assert measured.outputs[0].name == expected.outputs[0].name


def test_a_destroyed_model_is_not_silent(caplog):
    with caplog.at_level(logging.WARNING, "lba_onnx"):
        result = lba_onnx.convert_with_data(MODEL, {"image": IMAGES}, "M2E3", with_correction=False)
    assert result.verdict.status == BROKEN
    assert "the model does not work at this format: same top-1 in" in caplog.text
    assert "Next: correct it" in caplog.text
    assert any(cause.startswith("node ") for cause in result.causes())


def test_a_good_model_has_no_warning_about_events(caplog):
    """Three exponent bits lose half of some layers' sums; the classes are the same all the same."""
    with caplog.at_level(logging.WARNING, "lba_onnx"):
        result = lba_onnx.convert_with_data(MODEL, {"image": IMAGES}, "M8E3", method="percentile")
    assert any("lose at least" in warning for warning in result.calibration.warnings.values())
    assert result.verdict.status == CLOSE, str(result.verdict)
    assert caplog.text == "" and result.causes() == [] and "lose at least" not in result.summary()


def test_a_limit_that_leaves_too_few_holds_for_all_steps(monkeypatch):
    used = watched(monkeypatch)
    result = lba_onnx.convert_with_data(MODEL, lba_onnx.Samples({"image": IMAGES}, max_samples=5), "M6E4")
    assert result.calibration.samples == 5 and result.verdict.status == UNKNOWN
    assert len(used["calibrate"]) == len(used["correct"]) == 5


@pytest.mark.parametrize("count", [1, 7])
def test_too_few_samples_all_serve_to_fit(count):
    result = lba_onnx.convert_with_data(network(), {"x": images(count)})
    assert result.calibration.samples == count
    assert result.verdict.status == UNKNOWN
    assert "not measured: fewer than 8 samples" in result.summary()


def test_few_samples_are_called_few():
    result = lba_onnx.convert_with_data(network(), {"x": images(40)}, "M10E5")
    assert "not measured well, on 10 samples" in result.summary()


def test_at_most_512_samples_are_measured_with():
    w = np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32)
    x = np.random.default_rng(1).standard_normal((3000, 3)).astype(np.float32)
    assert (
        lba_onnx.convert_with_data(matmul_model(w), lba_onnx.Samples({"x": x}, batch_size=100)).verdict.samples == 512
    )


@pytest.mark.parametrize("form", ["generator", "reader"])
def test_data_that_can_be_read_once_give_the_same(form):
    class Reader:
        def __init__(self):
            self.feeds = iter([{"x": row[np.newaxis], "label": [0]} for row in images(40)])

        def get_next(self):
            return next(self.feeds, None)

    once = Reader() if form == "reader" else iter([{"x": row[np.newaxis], "label": [0]} for row in images(40)])
    feeds = [{"x": row[np.newaxis], "label": [0]} for row in images(40)]
    first, second = (lba_onnx.convert_with_data(network(), data) for data in (once, feeds))
    assert first.model.SerializeToString() == second.model.SerializeToString()
    assert first.verdict == second.verdict and first.verdict.comparison.reference.top1.samples == 10


def test_objects_in_data_that_can_be_read_once_are_refused():
    with pytest.raises(DataError, match="feed 0: x: expected an array of numbers, got object"):
        lba_onnx.convert_with_data(network(), iter([{"x": np.array([None])}]))


def test_a_given_spec_is_not_calibrated():
    spec = lba_onnx.AccumulatorSpec.parse("M9E5b20")
    result = lba_onnx.convert_with_data(network(), {"x": images(40)}, spec)
    assert result.calibration is None and set(result.conversion.specs.values()) == {spec}
    with pytest.raises(ValueError, match="method: expected a family such as M7E4 to calibrate"):
        lba_onnx.convert_with_data(network(), {"x": images(40)}, spec, method="mse")
    with pytest.raises(TypeError, match="mehtod"):
        lba_onnx.convert_with_data(network(), {"x": images(40)}, mehtod="mse")


def test_a_given_calibration_is_kept_in_the_model():
    calibration = lba_onnx.calibrate(network(), {"x": images(40)}, "M8E5")
    result = lba_onnx.convert_with_data(network(), {"x": images(40)}, calibration)
    metadata = {entry.key: entry.value for entry in result.model.metadata_props}
    assert json.loads(metadata["lba_onnx.provenance"])["data_sha256"] == calibration.data_sha256


def external_model(folder) -> str:
    path = folder / "model.onnx"
    onnx.save_model(network(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return str(path)


@pytest.mark.parametrize("with_correction", [True, False])
def test_external_data_go_all_the_way(tmp_path, with_correction):
    source, data = external_model(tmp_path), {"x": images(64)}
    inline = lba_onnx.convert_with_data(network(), data, with_correction=with_correction)
    in_memory = lba_onnx.convert_with_data(source, data, with_correction=with_correction)
    target = tmp_path / "out" / "converted.onnx"
    target.parent.mkdir()
    written = lba_onnx.convert_with_data(source, data, with_correction=with_correction, model_output=target)
    saved = target.parent / "saved.onnx"
    written.save(saved)
    expected = make_session(inline.model).run(None, {"x": images(5)})[0]
    for candidate in (in_memory.model, target, saved):
        np.testing.assert_array_equal(make_session(candidate).run(None, {"x": images(5)})[0], expected)
    assert written.verdict == inline.verdict
    assert not [path for path in tmp_path.rglob(".*")]


def test_output_of_nan_in_float32_is_not_measured():
    w = np.full((3, 3), 1e38, np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"], "mm"), helper.make_node("Sub", ["h", "h"], ["y"])]
    made = model(nodes, [tensor("x", "batch", 3)], [tensor("y", "batch", 3)], {"w": w})
    x = np.full((40, 3), 1e4, np.float32)
    result = lba_onnx.convert_with_data(made, {"x": x}, with_correction=False)
    assert "not measured: " in result.summary() and "float32's own output y holds NaN" in result.summary()


def test_shapes_that_depend_on_values_are_not_measured():
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"], "mm"), helper.make_node("NonZero", ["h"], ["y"])]
    shape = helper.make_tensor_value_info("y", onnx.TensorProto.INT64, [2, None])
    w = np.array([[1e-6, 1], [1, 1]], np.float32)
    made = model(nodes, [tensor("x", "batch", 2)], [shape], {"w": w})
    x = np.tile(np.array([[1, 0]], np.float32), (40, 1))
    result = lba_onnx.convert_with_data(made, {"x": x}, "M4E3", with_correction=False)
    assert "not measured: " in result.summary() and "expected the reference's shape" in result.summary()


def test_command_prints_what_the_call_finds(tmp_path):
    np.savez(tmp_path / "data.npz", image=IMAGES)
    options = ["convert", "-i", MODEL, "-o", tmp_path / "out.onnx", "--calibration_data_path", tmp_path / "data.npz"]
    result = CliRunner().invoke(main, [*map(str, options), "--family", "M5E4", "--quiet"])
    assert result.exit_code == 0, result.output
    expected = lba_onnx.convert_with_data(MODEL, {"image": IMAGES}, "M5E4").verdict_line()
    assert expected in result.stdout.replace("\n", " ") and result.stderr == ""
    assert "swamped" not in result.stdout


def test_command_warns_of_a_model_that_does_not_work(tmp_path):
    np.savez(tmp_path / "data.npz", image=IMAGES)
    options = ["convert", "-i", MODEL, "-o", tmp_path / "out.onnx", "--calibration_data_path", tmp_path / "data.npz"]
    result = CliRunner().invoke(main, [*map(str, options), "--family", "M2E3", "--no_correct", "--json", "--quiet"])
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("warning: the model does not work at this format")
    assert json.loads(result.stdout)["verdict"]["status"] == BROKEN


def test_command_without_data_says_that_nothing_was_measured(tmp_path):
    options = ["convert", "-i", MODEL, "-o", tmp_path / "out.onnx", "--spec", "M7E4b10"]
    result = CliRunner().invoke(main, [*map(str, options)])
    assert "not measured: there were no data to measure with" in result.stdout


def test_batches_are_those_of_the_data_where_there_is_no_part():
    inputs = describe_inputs(make_session(matmul_model(np.eye(3, dtype=np.float32))))
    samples = lba_onnx.Samples({"x": numbered(20)}, batch_size=8, max_samples=10)
    assert seen(read_batches(samples, inputs)) == seen(read_samples(samples, inputs))
    assert count_samples(samples) == 10

"""Calibration end to end: what the nodes saw, and the specs that follow."""

import dataclasses
import gc
import weakref

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import branching_model, function_model, images, loop_model, matmul_model, model, network, tensor

from lba_onnx import Execution, Samples, Selection, native
from lba_onnx.arithmetic.families import FormatFamily
from lba_onnx.calibration import Calibration, calibrate
from lba_onnx.calibration.calibrating import calibrate_families
from lba_onnx.calibration.data_pass import DataPass
from lba_onnx.calibration.methods import Max, Percentile, ZeroShot
from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.errors import DataError, ModelError, SelectionError
from lba_onnx.rewrite import model_files
from lba_onnx.rewrite.model_hash import model_hash


def integers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(np.float32)


def exact_ranges(x: np.ndarray, w: np.ndarray, chunk_size: int | None) -> tuple[float, float, float]:
    """The largest product, prefix sum and running total of x @ w; exact for small integers."""
    products = x[:, :, np.newaxis].astype(np.float64) * w
    size = chunk_size or products.shape[1]
    chunks = [products[:, start : start + size] for start in range(0, products.shape[1], size)]
    prefix_sums = max(np.abs(np.cumsum(chunk, axis=1)).max() for chunk in chunks)
    totals = np.cumsum([chunk.sum(axis=1) for chunk in chunks], axis=0)
    return np.abs(products).max(), prefix_sums, np.abs(totals).max()


def largest(seen: NodeRange) -> tuple[float, float, float]:
    return tuple(level.max_abs for level in seen.levels)


@pytest.mark.parametrize("chunk_size", [1, 4, 16, None])
def test_ranges_are_those_of_the_exact_products_and_sums(chunk_size):
    x, w = integers(50, 37), integers(37, 5, seed=1)
    result = calibrate(matmul_model(w), Samples({"x": x}, batch_size=7), f"M7E4,chunk={chunk_size or 'none'}")
    node = result.nodes["matmul"]
    assert node.range.outputs == 250
    assert largest(node.range) == exact_ranges(x, w, chunk_size)
    assert node.spec.product_format.max_value > node.range.max_abs_product
    assert node.spec.accumulator_format.max_value > node.range.max_abs_sum
    assert node.spec.chunk_size == chunk_size
    assert node.note == ""


def test_nothing_seen_overflows_and_a_narrower_range_would():
    result = calibrate(network(), {"x": images(40)})
    assert list(result.nodes) == ["conv1", "depthwise", "classifier"]
    for node in result.nodes.values():
        product, accumulator = node.spec.product_format, node.spec.accumulator_format
        assert product.max_value > node.range.max_abs_product >= product.max_value / 2 * (1 - 2**-9)
        assert accumulator.max_value > node.range.max_abs_sum >= accumulator.max_value / 2 * (1 - 2**-9)


@pytest.mark.parametrize("batch_size", [1, 7, 40])
def test_result_does_not_depend_on_the_batch_size(batch_size):
    expected = calibrate(network(), {"x": images(40)})
    result = calibrate(network(), Samples({"x": images(40)}, batch_size=batch_size))
    assert (result.specs, result.data_sha256) == (expected.specs, expected.data_sha256)
    assert all(largest(result.nodes[name].range) == largest(node.range) for name, node in expected.nodes.items())


@pytest.mark.parametrize("form", ["path", "bytes", "proto"])
def test_model_may_be_a_path_bytes_or_proto(tmp_path, form):
    proto = network()
    onnx.save(proto, tmp_path / "m.onnx")
    model = {"path": tmp_path / "m.onnx", "bytes": proto.SerializeToString(), "proto": proto}[form]
    assert calibrate(model, {"x": images(4)}).samples == 4
    assert proto == network()


def test_model_too_large_for_one_message_goes_through_a_temporary_file(tmp_path, monkeypatch):
    onnx.save_model(
        matmul_model(integers(40, 40)),
        tmp_path / "m.onnx",
        save_as_external_data=True,
        location="m.data",
        size_threshold=0,
    )
    in_memory = calibrate(matmul_model(integers(40, 40)), {"x": integers(20, 40)})
    expected = dataclasses.replace(in_memory, model_sha256=model_hash(tmp_path / "m.onnx"))
    monkeypatch.setattr(model_files, "MAX_PROTOBUF_BYTES", 4000)
    assert calibrate(tmp_path / "m.onnx", {"x": integers(20, 40)}) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.data", "m.onnx"]


def test_branch_that_is_not_taken_gets_the_default_spec_and_a_note():
    result = calibrate(branching_model(), {"x": np.ones((8, 2), np.float32)})
    assert str(result.specs["then_matmul"]) == "M7E4b15/M7E4b15"
    assert str(result.specs["else_matmul"]) == "M7E4b12/M7E4b10"
    assert result.nodes["else_matmul"].range is None
    assert set(result.notes) == {"else_matmul"}


def test_zeros_get_the_default_spec_and_a_note():
    result = calibrate(matmul_model(integers(4, 4)), {"x": np.zeros((3, 4), np.float32)})
    assert str(result.specs["matmul"]) == "M7E4b12/M7E4b10"
    assert "zeros" in result.notes["matmul"]


def test_executions_in_a_loop_count_together():
    node = calibrate(loop_model(5), [{"x": np.ones((1, 2), np.float32)}] * 3).nodes["loop_matmul"]
    assert (node.range.outputs, largest(node.range)) == (3 * 5 * 2, (32.0, 32.0, 32.0))


def test_calls_of_a_function_count_together():
    node = calibrate(function_model(), {"x": np.ones((3, 2), np.float32)}).nodes["inner_matmul"]
    assert (node.range.outputs, largest(node.range)) == (2 * 3 * 2, (4.0, 4.0, 4.0))


def test_ranges_beyond_the_family_are_noted():
    result = calibrate(matmul_model(np.full((1, 1), 2.0**90, np.float32)), {"x": np.full((1, 1), 2.0**80, np.float32)})
    assert "saturate" in result.notes["matmul"]


def test_selection_is_passed_on():
    result = calibrate(
        network(), {"x": images(4)}, selection=Selection(nodes_to_exclude=["conv.*"], op_types_to_convert=["Conv"])
    )
    assert list(result.nodes) == ["depthwise"]
    with pytest.raises(SelectionError, match="conv9"):
        calibrate(network(), {"x": images(4)}, selection=Selection(nodes_to_exclude=["conv9"]))


def test_progress_ends_at_the_number_of_samples():
    calls = []
    calibrate(network(), {"x": images(40)}, execution=Execution(progress=lambda *call: calls.append(call)))
    assert calls == [(16, 40), (32, 40), (40, 40)]


@pytest.mark.parametrize("method", ["max", "mse"])
def test_families_share_a_pass_of_the_data_where_they_share_the_order_of_sums(method, monkeypatch):
    families, passes = ["M4E4", "M5E5,chunk=none", "M3E3", "M7E4,chunk=none,round=nearest"], []
    run = DataPass.run
    monkeypatch.setattr(DataPass, "run", lambda *given: passes.append(given) or run(*given))
    found = dict(calibrate_families(network(), {"x": images(40)}, families, method))
    assert len(passes) == 2 and sorted(found) == sorted(families)
    for text in families:
        assert found[text].to_json() == calibrate(network(), {"x": images(40)}, text, method).to_json()


def test_hash_tells_data_apart():
    hashes = {calibrate(network(), {"x": images(4, seed)}).data_sha256 for seed in (1, 1, 2)}
    assert len(hashes) == 2


def test_samples_are_not_kept():
    alive = []

    def feeds():
        for _ in range(6):
            batch = images(2)
            alive.append(weakref.ref(batch))
            yield {"x": batch}
            del batch
            gc.collect()
            assert sum(reference() is not None for reference in alive) <= 2

    assert calibrate(network(), feeds()).samples == 12


def test_result_file_holds_everything(tmp_path):
    result = calibrate(network(), {"x": images(4)}, "M6E3,chunk=32,underflow=off")
    result.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == result
    assert {str(spec)[:4] for spec in result.specs.values()} == {"M6E3"}
    assert all(spec.chunk_size == 32 and not spec.underflow for spec in result.specs.values())


def test_model_without_candidates_is_refused():
    with pytest.raises(ModelError, match=r"expected at least one MatMul.* \(3 left: operator type not in"):
        calibrate(network(), {"x": images(4)}, selection=Selection(op_types_to_convert=["MatMul"]))


def test_infinities_that_the_model_makes_do_not_count():
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["square"]),
        helper.make_node("MatMul", ["square", "w"], ["y"], "matmul"),
    ]
    squares = model(nodes, [tensor("x", "batch", 4)], [tensor("y", "batch", 4)], {"w": integers(4, 4)})
    x = np.ones((2, 4), np.float32)
    expected = calibrate(squares, {"x": x}).specs
    x = np.concatenate([x, np.full((1, 4), 1e30, np.float32)])
    assert calibrate(squares, {"x": x}).specs == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"family": "M7E4b10"}, "without a bias"),
        ({"method": "best"}, "expected a method out of max, percentile, mse, zero_shot, least_bits, got 'best'"),
        ({"method": Percentile}, "expected a method out of max, percentile, mse, zero_shot, least_bits, got <class"),
        ({"method": "mse", "metric": "no_such_module_here:f"}, "cannot import no_such_module_here"),
        ({"family": "M7E4,chunk=0"}, "chunk"),
    ],
)
def test_what_is_not_as_described_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        calibrate(network(), {"x": images(4)}, **settings)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Max(granularity="channel"), "expected a granularity out of layer, model, got 'channel'"),
        (lambda: Percentile(0.0), "expected a percentile above 0 and at most 100, got 0.0"),
        (lambda: ZeroShot(evaluations=0), "evaluations of at least 1"),
        (lambda: ZeroShot(layer_evaluations=-1), "layer_evaluations of at least 0"),
        (lambda: ZeroShot(granularity="model", layer_evaluations=2), "expected granularity 'layer'"),
    ],
)
def test_method_refuses_settings_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("family", [7, FormatFamily.parse("M7E4")])
def test_family_that_is_no_text_is_refused_with_the_form_of_one(family):
    with pytest.raises(TypeError, match="text such as 'M7E4' or 'M7E4,chunk=32,underflow=off', got "):
        calibrate(network(), {"x": images(4)}, family)


@pytest.mark.parametrize("old", ["chunk_size", "underflow", "percentile", "granularity", "batch_size", "providers"])
def test_settings_are_no_arguments(old):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{old}'"):
        calibrate(network(), {"x": images(4)}, **{old: 1})


def test_run_is_closed_whatever_happens(monkeypatch):
    opened, closed = [], []
    open_run, close_run = native.statistics_open, native.statistics_close
    monkeypatch.setattr(native, "statistics_open", lambda run, f: (opened.append(run), open_run(run, f)))
    monkeypatch.setattr(native, "statistics_close", lambda run: (closed.append(run), close_run(run)))
    with pytest.raises(DataError):
        calibrate(network(), {"y": images(4)})
    assert opened == closed and len(opened) == 1
    calibrate(network(), {"x": images(4)})
    assert opened == closed and len(opened) == 3

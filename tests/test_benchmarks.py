"""Benchmarks run and check bits before they time; layers of real networks, made small, give the reference's bits."""

import json
import shutil
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from language_models import decoder, token_ids
from residual_models import pre_norm

import lba_onnx
from benchmarks import (
    conv,
    gradients,
    harness,
    kinds,
    language_models,
    layer_shapes,
    library,
    lowered,
    matmul,
    models,
    node_checks,
    numpy_loop,
    statistics_mode,
)
from benchmarks.checks import CheckFailed, check_bits, conv_patches
from benchmarks.layer_shapes import ConvLayer, MatMulLayer, read_layers
from benchmarks.memory import build_chain
from benchmarks.node_checks import check_nodes
from benchmarks.nodes import open_session
from benchmarks.transformations import main as measure_transformations
from benchmarks.variants import VARIANTS, significant_bits
from lba_onnx import AccumulatorSpec, kernels, reference
from lba_onnx.arithmetic import as_spec
from lba_onnx.arithmetic.rounding import Rounding
from lba_onnx.reference import gradients as reference_gradients

EFFORT = harness.Effort(rounds=1, sample_seconds=0)
SPEC = AccumulatorSpec.parse("M7E4b10")
SMALL_CHANNELS, SMALL_SIZE, SMALL_GEMM = 24, 9, 40


def shrink(layer: layer_shapes.Layer) -> layer_shapes.Layer:
    """The layer with smaller sizes and the same kernel, stride, padding and kind."""
    if isinstance(layer, MatMulLayer):
        rows, depth, columns = (min(size, SMALL_GEMM + size % 7) for size in (layer.rows, layer.depth, layer.columns))
        return MatMulLayer(1, min(layer.batch, 2), rows, depth, columns)
    channels, out_channels = (min(size, SMALL_CHANNELS) for size in (layer.channels, layer.out_channels))
    height, width = (min(size, SMALL_SIZE + size % 5) for size in (layer.height, layer.width))
    group = channels if layer.group > 1 else 1
    return replace(
        layer, channels=channels, out_channels=out_channels, height=height, width=width, group=group, repeats=1
    )


SMALL_LAYERS = sorted({shrink(layer) for name in layer_shapes.NAMES for layer in read_layers(name)}, key=str)


@pytest.mark.parametrize("layer", SMALL_LAYERS, ids=str)
def test_small_layer_of_a_network_equals_reference(layer: layer_shapes.Layer) -> None:
    rng = np.random.default_rng(3)
    if isinstance(layer, MatMulLayer):
        a = rng.standard_normal((layer.batch, layer.rows, layer.depth), np.float32)
        b = rng.standard_normal((layer.batch, layer.depth, layer.columns), np.float32)
        np.testing.assert_array_equal(kernels.matmul(a, b, SPEC), reference.matmul(a, b, SPEC))
        return
    x, w = rng.standard_normal(layer.x_shape, np.float32), rng.standard_normal(layer.w_shape, np.float32)
    np.testing.assert_array_equal(
        kernels.conv(x, w, SPEC, **layer.attributes), reference.conv(x, w, SPEC, **layer.attributes)
    )


@pytest.mark.parametrize(
    ("name", "convolutions", "giga_multiplies"),
    [("resnet50", 53, 4.09), ("mobilenet_v2", 52, 0.30), ("bert_base", 0, 11.2)],
)
def test_shapes_add_up_to_the_network(name: str, convolutions: int, giga_multiplies: float) -> None:
    layers = read_layers(name)
    assert sum(layer.repeats for layer in layers if isinstance(layer, ConvLayer)) == convolutions
    multiplies = sum(layer.repeats * layer.multiplies for layer in layers)
    assert multiplies / 1e9 == pytest.approx(giga_multiplies, abs=0.05)


def test_conv_patches_times_filters_is_the_convolution() -> None:
    rng = np.random.default_rng(4)
    x, w = rng.standard_normal((1, 6, 7, 8), np.float32), rng.standard_normal((4, 3, 3, 2), np.float32)
    attributes = {"strides": [2, 1], "pads": [1, 0, 2, 1], "dilations": [1, 2], "group": 2}
    patches = conv_patches(x, w.shape, attributes)
    y = reference.matmul(patches, w.reshape(2, 2, -1).transpose(0, 2, 1), SPEC)
    expected = reference.conv(x, w, SPEC, **attributes)
    np.testing.assert_array_equal(y.transpose(0, 2, 1).reshape(expected.shape), expected)


@pytest.mark.parametrize("name", VARIANTS)
def test_matmul_benchmark_measures_every_variant(name: str) -> None:
    case = matmul.Case(MatMulLayer(1, 1, 70, 64, 48), VARIANTS[name], with_numpy=True)
    row = matmul.run_case(case, EFFORT, seed=1)
    assert row["slower_than_float32"] > 0 and row["two_threads_faster"] > 0
    spec = VARIANTS[name].spec
    assert ("faster_than_numpy" in row) == (spec.underflow and spec.rounding is Rounding.TRUNCATE)


@pytest.mark.parametrize("kind", kinds.KINDS, ids=str)
def test_kinds_benchmark_measures_every_kind(kind: kinds.Kind) -> None:
    row = kinds.run_kind(kind, ((70, 64, 48),), EFFORT, seed=1)
    assert row["70x64x48, 1"] > 0 and row["70x64x48, 2"] > 0


def test_kinds_benchmark_notices_wrong_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "make_model", run_with_another_spec(kinds.make_model))
    with pytest.raises(CheckFailed, match=r"fp32-fma of float32 \(seed 1\): \d+ of 3360 values differ"):
        kinds.run_kind(kinds.KINDS[0], ((70, 64, 48),), EFFORT, seed=1)


def test_matmul_benchmark_notices_wrong_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    case = matmul.Case(MatMulLayer(1, 2, 10, 64, 33), VARIANTS["no clamp"], with_numpy=False)
    monkeypatch.setattr(matmul, "run_node", run_with_another_spec(matmul.run_node))
    with pytest.raises(CheckFailed, match=r"2x10x64x33 no clamp 1 threads \(seed 1\): \d+ of 660 values differ"):
        matmul.run_case(case, EFFORT, seed=1)


@pytest.mark.parametrize("group", [1, 8])
def test_conv_benchmark_measures(group: int) -> None:
    row = conv.run_layer(ConvLayer(1, 8, 9, 9, 8, 3, 1, 1, group), SPEC, 1, EFFORT, seed=1)
    assert row["slower_than_float32"] > 0
    assert ("time_of_gemm" in row) == (group == 1)


@pytest.mark.parametrize("group", [1, 8])
def test_conv_benchmark_notices_wrong_bits(monkeypatch: pytest.MonkeyPatch, group: int) -> None:
    monkeypatch.setattr(conv, "run_node", run_with_another_spec(conv.run_node))
    with pytest.raises(CheckFailed, match="values differ from the reference"):
        conv.run_layer(ConvLayer(1, 8, 9, 9, 8, 3, 1, 1, group), SPEC, 1, EFFORT, seed=1)


def test_library_benchmark_compares_two_libraries(tmp_path: Path) -> None:
    copy = tmp_path / "library.so"
    shutil.copy(lba_onnx.get_library_path(), copy)
    row = library.compare(library.cases()[-1], (copy, Path(lba_onnx.get_library_path())), EFFORT, 2)
    assert row["low"] <= row["ratio"] <= row["high"]


def test_the_interval_of_a_median_is_made_of_the_sample() -> None:
    assert library.median_interval([float(i) for i in range(100)]) == (40.0, 60.0)
    assert library.median_interval([1.0, 2.0]) == (1.0, 2.0)


def test_models_benchmark_measures_the_demo_model() -> None:
    model, images = models.RECIPES["demo"].read()
    rows = models.run_model(model, images[:4], models.CALIBRATED, [1, 2], [1], EFFORT)
    assert [row["batch"] for row in rows] == [1, 2]
    assert all(row["slower_than_float32"] > 0 for row in rows)


def test_models_benchmark_notices_wrong_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_checks, "open_session", open_with_another_spec)
    model, images = models.RECIPES["demo"].read()
    with pytest.raises(CheckFailed, match=r"stem\.conv: \d+ of 256 values differ"):
        models.run_model(model, images[:1], "M7E4b10", [1], [1], EFFORT)


def test_models_benchmark_notices_that_batches_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = iter([open_session, open_session, open_with_another_spec])
    monkeypatch.setattr(models, "open_session", lambda *args, **keywords: next(sessions)(*args, **keywords))
    model, images = models.RECIPES["demo"].read()
    with pytest.raises(CheckFailed, match="first image of 1 on 2 threads"):
        models.run_model(model, images[:1], "M7E4b10", [1], [2], EFFORT)


def test_check_nodes_refuses_a_model_without_any() -> None:
    with pytest.raises(CheckFailed, match="expected a model with nodes"):
        check_nodes(build_chain(1, 4), {"x0": np.ones((1, 4), np.float32)})


def test_memory_benchmark_measures_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    options = ["--models", "chain", "--chain", "2", "64", "--processes", "1"]
    (row,) = run_script("memory", options, monkeypatch, tmp_path)["results"]
    assert row["weights_mb"] == pytest.approx(2 * 64 * 64 * 4 / 1e6)
    assert 10 < row["float32_mb"] < 1000 and row["lba_mb"] < row["limit_mb"]


def test_memory_benchmark_notices_wrong_bits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(node_checks, "open_session", open_with_another_spec)
    with pytest.raises(CheckFailed, match="matmul0: "):
        run_script("memory", ["--models", "chain", "--chain", "1", "64"], monkeypatch, tmp_path)


def test_script_writes_environment_settings_and_results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LBA_ONNX_CPU_PATH", "")
    layer = MatMulLayer(1, 1, 16, 64, 32)
    monkeypatch.setattr(matmul, "read_layers", lambda name: [layer])
    options = ["--variants", "fused", "--rounds", "1", "--sample_seconds", "0", "--path", "portable"]
    document = run_script("matmul", options, monkeypatch, tmp_path)
    assert document["benchmark"] == "matmul"
    assert document["environment"]["cpu_path"] == "portable"
    assert document["settings"]["variants"] == ["fused"]
    assert [row["shape"] for row in document["results"]] == ["16x64x32"]


def test_variant_refuses_operands_of_another_kind() -> None:
    a = b = np.full((64, 64), 3, np.float32)
    with pytest.raises(CheckFailed, match="no clamp: expected exact_products to be False, the operands make it True"):
        VARIANTS["no clamp"].check(a, b)


def test_significant_bits_counts_the_widest_value() -> None:
    assert significant_bits(np.array([1, 0.5, -8], np.float32)) == 1
    assert significant_bits(np.array([1, 1.375], np.float32)) == 4
    assert significant_bits(np.array([np.nextafter(np.float32(1), np.float32(2))])) == 24


def test_numpy_loop_in_float64_equals_reference_and_float32_nearly() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((30, 70), np.float32), rng.standard_normal((70, 40), np.float32)
    for text in ("M7E4b8/M7E4b8", "M7E4b14/M7E4b14", "M7E4b12/M7E4b10,chunk=7"):
        spec = AccumulatorSpec.parse(text)
        expected = reference.matmul(a, b, spec)
        np.testing.assert_array_equal(numpy_loop.matmul(a, b, spec, numpy_loop.EXACT), expected)
        assert np.mean(numpy_loop.matmul(a, b, spec, numpy_loop.QUICK) != expected) < 0.01


def test_measure_takes_turns() -> None:
    calls: list[str] = []
    seconds = harness.measure([lambda: calls.append("a"), lambda: calls.append("b")], harness.Effort(3, 0))
    assert [len(samples) for samples in seconds] == [3, 3]
    assert "".join(calls) == "aabb" + "aabb" * 3


def test_median_ratio_compares_within_rounds() -> None:
    assert harness.median_ratio([2, 20, 200], [1, 10, 20]) == 2


def test_check_bits_takes_zeros_of_either_sign_as_one_value() -> None:
    check_bits(np.array([0.0, np.nan]), np.array([-0.0, np.nan]), "zeros")
    with pytest.raises(CheckFailed, match="shapes: expected values of shape"):
        check_bits(np.zeros(1), np.zeros((1, 1)), "shapes")
    with pytest.raises(CheckFailed, match="nothing: expected values of shape"):
        check_bits(np.zeros(0), np.zeros(0), "nothing")


def test_statistics_benchmark_checks_before_it_times() -> None:
    row = statistics_mode.run((16, 16, 16), 0.5, EFFORT)
    assert row["times_plain"] > 0
    ones = np.ones((1, 2, 2), np.float32)
    with pytest.raises(CheckFailed, match="differs from the plain one"):
        statistics_mode.check(ones, ones + 1, ones, ones)


@pytest.mark.torch
def test_transformations_benchmark_measures_each_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    onnx.save(pre_norm(), tmp_path / "model.onnx")
    windows = np.random.default_rng(0).integers(0, 50, (4, 9))
    np.savez(tmp_path / "tokens.npz", calibration=windows, report=windows[::-1])
    paths = {name: str(tmp_path / name) for name in ("model.onnx", "tokens.npz", "results.json")}
    options = ["--model_path", paths["model.onnx"], "--tokens_path", paths["tokens.npz"]]
    monkeypatch.setattr(sys, "argv", ["transformations", *options, "--json_path", paths["results.json"]])
    measure_transformations()
    rows = json.loads((tmp_path / "results.json").read_text())["results"]
    assert [row["transformations"] for row in rows] == ["none", "rotation", "rotation, balancing"]
    perplexities = [row["float32_perplexity"] for row in rows]
    assert perplexities == pytest.approx([perplexities[0]] * 3, rel=1e-5) and perplexities[1] == perplexities[2]
    assert rows[1]["most_product"] < rows[0]["most_product"]


def test_gradients_benchmark_checks_and_measures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gradients, "SHAPE", (3, 20, 5))
    rows = run_script("gradients", ["--rounds", "1", "--sample_seconds", "0"], monkeypatch, tmp_path)["results"]
    assert [row["case"] for row in rows] == [*gradients.CASES] * 3
    assert all(row["ratio"] > 0 for row in rows)
    right = reference_gradients.matmul_gradients
    another = as_spec("M4E3b9/M4E3b3")
    monkeypatch.setattr(
        reference_gradients, "matmul_gradients", lambda g, a, b, _, *rest: right(g, a, b, another, *rest)
    )
    with pytest.raises(CheckFailed, match="gradient of a by immediate_overflow, chunks"):
        run_script("gradients", [], monkeypatch, tmp_path)


@pytest.mark.torch
def test_training_benchmark_checks_and_measures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    from benchmarks import training

    subjects = {
        "linear": training.Subject(lambda: torch.nn.Linear(20, 10), (6, 20)),
        "convolution": training.Subject(lambda: torch.nn.Conv2d(3, 4, 3, padding=1), (2, 3, 5, 5)),
    }
    monkeypatch.setattr(training, "LAYERS", subjects)
    monkeypatch.setattr(training, "NETWORKS", {"mlp": training.Subject(lambda: training.make_mlp(20, 16, 10), (6, 20))})
    options = ["--rounds", "1", "--sample_seconds", "0", "--loop_size", "20", "--specs", "M4E3b9/M4E3b7,chunk=7"]
    rows = run_script("training", options, monkeypatch, tmp_path)["results"]
    assert [row["part"] for row in rows] == ["layers"] * 2 + ["steps"] * 5 + ["loop"] * 7
    assert all(row["ratio"] > 0 and row["ms"] > 0 for row in rows)


@pytest.mark.torch
def test_training_benchmark_notices_wrong_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    from benchmarks import training, training_checks

    with pytest.raises(CheckFailed, match="expected a model with converted layers"):
        training_checks.check_layers(torch.nn.Linear(3, 2), torch.ones(1, 3))
    another = AccumulatorSpec.parse("M4E3b9/M4E3b7,chunk=3")
    gradients = reference_gradients.matmul_gradients
    monkeypatch.setattr(
        reference_gradients, "matmul_gradients", lambda grad, a, b, spec, name: gradients(grad, a, b, another, name)
    )
    with pytest.raises(CheckFailed, match=r"gradient of a by immediate_difference, M4E3b9/M4E3b7: \d+ of 960 values"):
        training_checks.check_gradients(AccumulatorSpec.parse("M4E3b9/M4E3b7"), "immediate_difference")
    with pytest.raises(CheckFailed, match="the loop: 100.0% of its values differ"):
        training.check_loop(torch.zeros(4), torch.ones(4))


def run_with_another_spec(run_node):
    """As run_node, with another chunk size than the one that it is asked for."""

    def run(op_type, inputs, constants, spec=None, *arguments, **keywords):
        return run_node(op_type, inputs, constants, spec and replace(spec, chunk_size=3), *arguments, **keywords)

    return run


def open_with_another_spec(
    model: onnx.ModelProto, threads: int, spins_between_runs: bool = True
) -> onnxruntime.InferenceSession:
    """As open_session, with another chunk size than the one that the model asks for."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for node in changed.graph.node:
        for attribute in node.attribute:
            if attribute.name == "accumulator":
                attribute.s += b",chunk=3"
    return open_session(changed, threads, spins_between_runs)


def run_script(name: str, options: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict:
    """Run a benchmark as from the command line; return what it wrote."""
    path = tmp_path / "results.json"
    monkeypatch.setattr(sys, "argv", [name, *options, "--json_path", str(path)])
    import_module(f"benchmarks.{name}").main()
    return json.loads(path.read_text())


def test_language_model_benchmark_measures_perplexity_and_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(decoder(), tmp_path / "model.onnx")
    monkeypatch.setattr(language_models, "export", lambda name: tmp_path / "model.onnx")
    monkeypatch.setattr(language_models, "calibration_tokens", lambda: token_ids(8, 12))
    monkeypatch.setattr(language_models, "test_tokens", lambda: token_ids(3, 64, seed=1))
    accumulators = [text for text in language_models.ACCUMULATORS if language_models.ROTATED not in text]
    accumulators.append("weights M7E4 scaled")
    command = ["language_models", "--exports", "plain", "--accumulators", *accumulators]
    command += ["--json_path", str(tmp_path / "results.json")]
    monkeypatch.setattr(sys, "argv", command)
    language_models.main()
    rows = {row["accumulator"]: row for row in json.loads((tmp_path / "results.json").read_text())["results"]}
    assert list(rows) == accumulators
    assert all((row["converted"], row["left"]) == (1, 0) for row in list(rows.values())[1:])
    assert rows["M22E7b63"]["perplexity"] == pytest.approx(rows["float32"]["perplexity"], rel=1e-3)
    assert rows["M7E4"]["cache"]["a token at a time"]["tokens_of_the_same_bits"] == 64
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", [*command, "--render"])
    language_models.main()
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 7
    assert printed[4].startswith("| plain | M7E4 | 1 of 1 | ") and printed[4].endswith("a token at a time: same bits |")


def test_benchmark_of_operators_taken_apart_compares_before_it_times(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cases = lowered.lstm("recurrent", 3, 2, 4, 5, 2), lowered.up("up", (1, 2, 3, 3), 2, 3, 2)
    monkeypatch.setattr(lowered, "CASES", cases)
    rows = run_script("lowered", ["--rounds", "1", "--sample_seconds", "0"], monkeypatch, tmp_path)["results"]
    assert [row["name"] for row in rows] == ["recurrent", "up"]
    monkeypatch.setattr(lowered, "LARGEST_DIFFERENCE", -1)
    with pytest.raises(CheckFailed, match="recurrent: the parts differ from the whole by"):
        lowered.main()

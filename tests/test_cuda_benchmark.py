"""The benchmark for machines with a GPU, on the emulated device: what it compares, judges, writes and leaves out."""

import json
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import gpu_cases
import numpy as np
import pytest
from cuda_emulation import emulated_cuda_library

from benchmarks.checks import CheckFailed
from benchmarks.cuda import clock, models, networks, report, speed, tests
from benchmarks.cuda import run as benchmark
from benchmarks.cuda.baselines import CupyBaseline, TorchBaseline
from benchmarks.cuda.limits import multiplies_per_clock
from benchmarks.layer_shapes import ConvLayer, MatMulLayer, read_layers
from benchmarks.variants import VARIANTS
from lba_onnx import kernels
from lba_onnx.native import cuda

LAYERS = {
    "cubes": [MatMulLayer(1, 1, 20, 64, 40)],
    "resnet50": [ConvLayer(2, 4, 6, 6, 8, 3, 1, 1, 1), MatMulLayer(1, 1, 1, 20, 10)],
    "bert_base": [MatMulLayer(3, 1, 5, 20, 10), MatMulLayer(2, 2, 5, 9, 5)],
    "llama_7b": [MatMulLayer(1, 1, 5, 20, 10)],
    "mobilenet_v2": [ConvLayer(1, 8, 6, 6, 8, 3, 2, 1, 8)],
}
CLOCK_MHZ = 1000.0


class FakeTimer:
    """Says that every call takes a millisecond."""

    name = "a fake"

    def run(self, function, count):
        for _ in range(count):
            function()
        return 1e-3 * count, CLOCK_MHZ

    def largest_clock_mhz(self):
        return 2 * CLOCK_MHZ


class OtherSpec:
    """The CPU library with another chunk size than it is asked for."""

    @staticmethod
    def matmul(a, b, spec):
        return kernels.matmul(a, b, replace(spec, chunk_size=3))

    @staticmethod
    def conv(x, w, spec, **attributes):
        return kernels.conv(x, w, replace(spec, chunk_size=3), **attributes)


def tiny_encoder():
    net = networks.Builder()
    scores = net.node("MatMul", (networks.INPUT, net.node("Transpose", (networks.INPUT,), perm=[0, 2, 1])))
    mixed = net.node("MatMul", (net.node("Softmax", (scores,), axis=-1), networks.INPUT))
    return net.model("tiny", net.linear(mixed, 16, 4), (7, 16), 4)


@pytest.fixture
def emulated(monkeypatch):
    monkeypatch.setenv(cuda.CUDA_LIBRARY_VARIABLE, str(emulated_cuda_library()))
    monkeypatch.setattr(speed, "read_layers", LAYERS.__getitem__)
    monkeypatch.setattr(benchmark, "TARGET_CASE", "cubes 20x64x40")
    monkeypatch.setattr(benchmark, "make_timer", FakeTimer)
    monkeypatch.setattr(benchmark, "find_baselines", lambda: ([], {"PyTorch": "missing"}))


@pytest.fixture
def fake_cupy(monkeypatch):
    """NumPy in CuPy's place."""
    runtime = SimpleNamespace(CUDARuntimeError=type("CUDARuntimeError", (RuntimeError,), {}))
    module = SimpleNamespace(
        __version__="0", empty=np.empty, asarray=np.asarray, asnumpy=np.asarray, matmul=np.matmul,
        cuda=SimpleNamespace(runtime=runtime),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


@pytest.fixture
def few_vectors(monkeypatch):
    """Every 20th golden vector: test_run_checks_times_and_judges meets all."""
    golden = gpu_cases.golden_cases
    monkeypatch.setattr(gpu_cases, "golden_cases", lambda kind: islice(golden(kind), None, None, 20))


def run_main(monkeypatch, tmp_path: Path, *options: str) -> tuple[int, dict]:
    path = tmp_path / "cuda.json"
    arguments = ["--cases", "4", "--most_multiplies", "4096", "--rounds", "1", "--sample_seconds", "0", *options]
    monkeypatch.setattr(sys, "argv", ["cuda", *arguments, "--json_path", str(path)])
    with pytest.raises(SystemExit) as exited:
        benchmark.main()
    return exited.value.code, json.loads(path.read_text())


def test_run_checks_times_and_judges(emulated, monkeypatch, tmp_path, capsys) -> None:
    code, document = run_main(monkeypatch, tmp_path, "--models", "--batch", "2")
    assert (code, document["failures"]) == (0, [])
    results = document["results"]
    counts = results["Results that equal the golden vectors' and the CPU library's"]
    assert len(counts) == 18 and all(row["compared"] == row["equal"] > 0 for row in counts)
    cubes = results["cubes float32"]
    assert [row["kernel"] for row in cubes] == [*speed.KERNEL_OF.values()]
    assert all("note" not in row for row in cubes)
    tmacs = 20 * 64 * 40 / 1e-3 / 1e12
    assert [row["tmacs"] for row in cubes] == [pytest.approx(tmacs)] * 5
    limit = 32 * document["environment"]["multiprocessors"] * CLOCK_MHZ * 1e6 / 1e12
    assert cubes[0]["share_of_limit"] == pytest.approx(tmacs / limit)
    conv = results["resnet50 float32, batch 2"][0]
    assert conv["case"] == "resnet50 2 x 4x6x6 -> 8, 3x3"
    assert (conv["time_of_gemm"], conv["verdict"]) == (1, "met") and cubes[0]["verdict"] == "missed"
    targets = {row["name"]: row["verdict"] for row in results["Targets"]}
    assert targets["share of the limit, no clamp"] == "missed"
    assert targets["convolution in times of its GEMM"] == "met"
    assert targets["whole models, times slower"] == "not measured"
    assert document["left_out"] == ["loops over k: no PyTorch or CuPy with CUDA, or no time left"]
    printed = capsys.readouterr().out
    assert "All bits are right." in printed and "llama_7b clamped, batch 1" in printed


@pytest.mark.torch
def test_run_compares_with_torch_and_cupy(emulated, few_vectors, fake_cupy, monkeypatch, tmp_path) -> None:
    pytest.importorskip("torch", reason="needs PyTorch")
    baselines = [TorchBaseline("cpu"), CupyBaseline()]
    monkeypatch.setattr(benchmark, "find_baselines", lambda: (baselines, {}))
    monkeypatch.setitem(networks.NETWORKS, "bert_base", tiny_encoder)
    monkeypatch.setitem(networks.INPUT_SHAPES, "bert_base", (7, 16))
    options = (
        "--models",
        "bert_base",
        "--batch",
        "2",
        "--loop_size",
        "32",
        "--shapes",
        "cubes",
        "bert_base",
        "resnet50",
    )
    code, document = run_main(monkeypatch, tmp_path, *options)
    assert (code, document["failures"], document["left_out"]) == (0, [], [])
    results = document["results"]
    assert all(row["slower_than_float32"] == 1 for row in results["cubes float32"])
    assert results["resnet50 float32, batch 2"][0]["baseline"] == "PyTorch"
    (loop,) = results["Against the loop over k of CuPy, no clamp"]
    assert loop["differing_rate"] == 0 and loop["faster_than_loop"] == 1
    assert "Against the loop over k of PyTorch, both clamps" in results
    (whole,) = results["Whole bert_base"]
    assert whole["checked_products"] == 3 and whole["verdict"] == "met"
    (layers,) = results["Products of whole models"]
    assert layers["lba_ms"] == pytest.approx(5.0)  # repeats of the layers, a millisecond each


def test_wrong_bits_are_reported_and_not_timed(emulated, few_vectors, monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(speed, "kernels", OtherSpec)
    code, document = run_main(monkeypatch, tmp_path, "--models", "--shapes", "cubes", "resnet50")
    assert code == 1
    assert any("cubes 20x64x40, no clamp, float32: CheckFailed" in failure for failure in document["failures"])
    assert any("4x6x6 -> 8, 3x3" in failure for failure in document["failures"])
    assert not any(row["variant"] == "no clamp" for row in document["results"]["cubes float32"])
    assert "All bits are right." not in capsys.readouterr().out


def test_first_difference_of_random_cases_is_told(emulated, few_vectors, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(gpu_cases, "kernels", OtherSpec)
    code, document = run_main(monkeypatch, tmp_path, "--models", "--shapes")
    assert code == 1
    rows = document["results"]["Results that equal the golden vectors' and the CPU library's"]
    differing = [row for row in rows if row["equal"] < row["compared"]]
    assert differing and all("values differ, the first at" in row["first_difference"] for row in differing)
    assert all(row["equal"] == row["compared"] for row in rows if row["case"].startswith("golden"))


def test_a_failing_call_is_noted_and_the_rest_goes_on(emulated, few_vectors, monkeypatch, tmp_path) -> None:
    find_kernel = speed.find_kernel

    def fail_once(call):
        monkeypatch.setattr(speed, "find_kernel", find_kernel)
        raise RuntimeError("launching a kernel: cudaErrorIllegalAddress")

    monkeypatch.setattr(speed, "find_kernel", fail_once)
    code, document = run_main(monkeypatch, tmp_path, "--models", "--shapes", "cubes")
    assert code == 1 and len(document["results"]["cubes float32"]) == 4
    (failure,) = document["failures"]
    assert failure.endswith("no clamp, float32: RuntimeError: launching a kernel: cudaErrorIllegalAddress")


@pytest.mark.torch
def test_baseline_that_fails_costs_its_own_figures_only(emulated, few_vectors, monkeypatch, tmp_path) -> None:
    pytest.importorskip("torch", reason="needs PyTorch")

    class Failing(TorchBaseline):
        def matmul(self, *operands):
            raise RuntimeError("out of memory")

        loop = conv = matmul

    monkeypatch.setattr(benchmark, "find_baselines", lambda: ([Failing("cpu")], {}))
    code, document = run_main(monkeypatch, tmp_path, "--models", "--shapes", "cubes")
    assert (code, document["failures"]) == (0, [])
    rows = document["results"]["cubes float32"]
    assert len(rows) == 5 and all(row["missing"] == "PyTorch: RuntimeError: out of memory" for row in rows)
    assert document["left_out"] == [
        f"Against the loop over k of PyTorch, {variant}: RuntimeError: out of memory"
        for variant in ("no clamp", "both clamps")
    ]


def test_what_there_is_no_time_for_is_named(emulated, monkeypatch, tmp_path) -> None:
    code, document = run_main(monkeypatch, tmp_path, "--minutes", "0")
    assert code == 0
    assert "cubes 20x64x40, both clamps, float32: no time left" in document["left_out"]
    assert "golden dot: stopped: no time left" in document["left_out"]
    assert "whole bert_base: no onnx, no PyTorch or onnxruntime with CUDA, or no time left" in document["left_out"]


def test_operands_that_another_kernel_computes_are_noted(emulated, monkeypatch) -> None:
    monkeypatch.setitem(VARIANTS, "fused", replace(VARIANTS["fused"], draw=VARIANTS["no clamp"].draw))
    case = speed.SpeedCase("cubes", LAYERS["cubes"][0], 1, "fused")
    effort = clock.Effort(1, 0)
    row = speed.run_case(case, speed.Setting(FakeTimer(), effort, benchmark.find_device(), []))
    speed.judge([row])
    assert row["note"] == "expected the kernel fused, truncate computed 100% of the tiles" and "verdict" not in row


def test_machine_without_a_device_is_told_so(monkeypatch) -> None:
    monkeypatch.setenv(cuda.CUDA_LIBRARY_VARIABLE, str(emulated_cuda_library()))
    monkeypatch.setenv("LBA_CUDA_EMULATION_DEVICES", "0")
    with pytest.raises(SystemExit, match=r"expected a CUDA device, but .*liblba_ops_cuda.so finds none"):
        benchmark.find_device()


@pytest.mark.torch
def test_whole_model_notices_wrong_bits(emulated, monkeypatch) -> None:
    pytest.importorskip("torch", reason="needs PyTorch")
    monkeypatch.setattr(models, "kernels", OtherSpec)
    x = np.random.default_rng(1).standard_normal((2, 7, 16), np.float32)
    with pytest.raises(CheckFailed, match=r"node matmul\d: \d+ of \d+ values differ"):
        models.run_in_torch("tiny", tiny_encoder(), x, "cpu", FakeTimer(), clock.Effort(1, 0))


@pytest.mark.torch
@pytest.mark.parametrize(
    ("model", "shape"),
    [(networks.mobilenet_v2(32), (2, 3, 32, 32)), (networks.bert_base(1, 16), (2, 16, 768))],
    ids=["mobilenet_v2", "bert_base"],
)
def test_networks_compute_the_same_in_torch_and_onnxruntime(model, shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    from benchmarks.cuda.executor import Executor, Float32Products

    x = np.random.default_rng(2).standard_normal(shape, np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, {networks.INPUT: x})[0]
    actual = Executor(model, "cpu").run(torch.from_numpy(x), Float32Products()).numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["mobilenet_v2", "bert_base"])
def test_networks_have_the_weights_of_the_layers(name: str) -> None:
    layers = read_layers(name)
    expected = Counter()
    for layer in layers:
        if isinstance(layer, ConvLayer):
            expected[layer.w_shape] += layer.repeats
        elif layer.batch == 1:
            expected[(layer.depth, layer.columns)] += layer.repeats
    graph = networks.NETWORKS[name]().graph
    weights = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    products = [node for node in graph.node if node.op_type in ("Conv", "MatMul") and node.input[1] in weights]
    assert Counter(weights[node.input[1]] for node in products) == expected


def test_llama_adds_up() -> None:
    assert sum(layer.repeats * layer.multiplies for layer in read_layers("llama_7b")) / 1e12 == pytest.approx(
        3.45, abs=0.01
    )


def test_limits_are_those_of_the_instruction_counts() -> None:
    per_clock = {kernel: multiplies_per_clock(kernel, (9, 0)) for kernel in ("truncate", "saturate", "fused")}
    assert per_clock == {"truncate": 32, "saturate": 16, "fused": 64}
    assert multiplies_per_clock("exact_products", (9, 0)) == pytest.approx(42.7, abs=0.1)
    assert multiplies_per_clock("exact_products", (8, 0)) == 32  # 64 lanes for two multiplications


def test_targets_take_the_worst_and_say_where() -> None:
    rows = [{"case": "a", "ratio": 1.1}, {"case": "b", "ratio": 1.4}, {"case": "c"}]
    most = report.worst(rows, "ratio", "time", 1.25, is_least=False)
    assert (most.verdict, most.where) == ("missed", "worst of 2: b")
    assert report.worst(rows, "ratio", "speed", 1.1, is_least=True).verdict == "met"
    assert report.worst(rows, "other", "none", 1, is_least=True).verdict == "not measured"


def test_table_leaves_out_empty_columns() -> None:
    columns = [report.Column("name", "name"), report.Column("x", "x", ".1f"), report.Column("y", "y")]
    text = report.format_table("Title", [{"name": "one", "x": 1.25}, {"name": "eleven"}], columns)
    assert text == "Title\n-----------\nname      x\n-----------\none     1.2\neleven\n"


def test_json_is_replaced_whole(tmp_path) -> None:
    path = tmp_path / "results.json"
    report.write_json(path, {"old": 1})
    with pytest.raises(ValueError):
        report.write_json(path, {"circular": (circle := []), "x": circle.append(circle)})
    assert json.loads(path.read_text()) == {"old": 1}
    report.write_json(path, {"new": 2})
    assert json.loads(path.read_text()) == {"new": 2}


class FakeDriver:
    """libcuda and libnvidia-ml: the work takes as long as three queries, two milliseconds."""

    def __init__(self) -> None:
        self.queries = 0
        for name in ("cuEventCreate", "cuEventRecord", "cuEventSynchronize", "cuCtxGetDevice", "cuDeviceGetPCIBusId",
                     "nvmlInit_v2", "nvmlDeviceGetHandleByPciBusId_v2"):  # fmt: skip
            setattr(self, name, lambda *arguments: 0)

    def cuEventQuery(self, event) -> int:
        self.queries += 1
        return 600 if self.queries % 4 else 0

    def cuEventElapsedTime(self, milliseconds, start, end) -> int:
        milliseconds._obj.value = 2.0
        return 0

    def cuDeviceGetAttribute(self, value, attribute, device) -> int:
        value._obj.value = 1980000 if attribute == 13 else 0
        return 0

    def nvmlDeviceGetClockInfo(self, handle, kind, mhz) -> int:
        mhz._obj.value = 1500 if kind == 1 else 0
        return 0


def test_events_time_and_the_clock_is_read_meanwhile(monkeypatch) -> None:
    driver, calls = FakeDriver(), []
    monkeypatch.setattr(clock, "_open", lambda name: driver)
    timer = clock.EventTimer()
    assert timer.run(lambda: calls.append(driver.queries), 3) == (0.002, 1500.0)
    assert calls == [0, 0, 0] and timer.largest_clock_mhz() == 1980
    (timing,) = clock.measure(timer, [lambda: None], clock.Effort(rounds=2, sample_seconds=0.01))
    assert timing == clock.Timing((0.002 / 5,) * 2, 1500.0)


def test_driver_calls_are_checked(monkeypatch) -> None:
    driver = FakeDriver()
    monkeypatch.setattr(clock, "_open", lambda name: driver)
    driver.nvmlInit_v2 = lambda: 9
    assert clock.EventTimer().run(lambda: None, 1) == (0.002, None)  # no clock
    driver.cuCtxGetDevice = lambda *arguments: 201
    with pytest.raises(clock.DriverError, match="cuCtxGetDevice returned 201"):
        clock.EventTimer()


def test_measure_takes_turns_and_waits() -> None:
    calls: list[str] = []
    timer = clock.HostTimer(lambda: calls.append("|"))
    timings = clock.measure(timer, [lambda: calls.append("a"), lambda: calls.append("b")], clock.Effort(2, 0))
    assert "".join(calls) == "|a||a||b||b|" + "|a||b|" * 2
    assert [len(timing.seconds) for timing in timings] == [2, 2]


def test_tests_are_counted(tmp_path) -> None:
    file = tmp_path / "test_gpu_sample.py"
    file.write_text(
        "import pytest\npytestmark = pytest.mark.gpu\ndef test_a(): pass\n"
        "def test_b(): assert 1 == 2, 'seed 5'\ndef test_c(): pytest.skip('no such tool')\n"
    )
    counts, *notes = tests.run_tests([file], time.monotonic() + 60)
    assert counts == {"case": "test_gpu_sample", "passed": 1, "failed": 1, "skipped": 1}
    assert [row.get("skipped") for row in notes] == [None, 1]
    assert "seed 5" in notes[0]["note"] and notes[1]["note"] == "no such tool"


def test_tests_that_hang_are_stopped_and_no_others(tmp_path) -> None:
    files = [tmp_path / f"test_gpu_{name}.py" for name in ("hangs", "left_out")]
    for file in files:
        file.write_text("import time, pytest\n@pytest.mark.gpu\ndef test_a(): time.sleep(60)\n")
    hangs, left_out = tests.run_tests(files, time.monotonic() + 3)
    assert hangs["failed"] == 1 and hangs["note"].startswith("stopped after 3 s")
    assert left_out == {"case": "test_gpu_left_out", "note": "no time left"}


@pytest.mark.slow
def test_gpu_tests_pass_on_the_emulated_device(emulated, few_vectors, monkeypatch, tmp_path, capsys) -> None:
    code, document = run_main(monkeypatch, tmp_path, "--tests", "--models", "--shapes")
    assert (code, document["failures"]) == (0, []), capsys.readouterr().out
    rows = document["results"]["Tests marked gpu"]
    assert sum(row.get("passed", 0) for row in rows) > 100
    assert {row["case"] for row in rows} >= {file.stem for file in tests.find_files()}

"""The kernels of onnxruntime's CUDA provider, run by the CPU provider on the emulated CUDA library."""

import itertools
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cuda_glue import assert_same, draw, make_session, run, use_cuda_operators, use_spy
from operator_models import node_model, operand_model
from statistics_numbers import assert_same_statistics

import lba_onnx
from lba_onnx import AccumulatorSpec, native
from lba_onnx.arithmetic import as_spec
from lba_onnx.native import observer as observers

SPEC = AccumulatorSpec.parse("M7E4b10")
# Of sums in levels, and of what the definition alone computes.
OTHER_TEXTS = ("M7E4b12/M7E4b10,chunk=3x2", "M7E4b10,tree=4", "fp16-fma", "fp12-sr", "wang2018,chunk=5")
KEEPS_SMALL = AccumulatorSpec.parse("M5E4b8/M4E4b7,chunk=5,underflow=off")


@pytest.fixture
def spy(monkeypatch):
    return use_spy(monkeypatch)


@pytest.fixture
def cuda_operators(monkeypatch):
    return use_cuda_operators(monkeypatch)


def check(library, op_type, operands, constant="", spec=SPEC, **attributes):
    """The CUDA provider's kernel gives the bits of the CPU's, at the first call and the second."""
    model = operand_model(op_type, operands, constant, {**spec.to_attributes(), **attributes})
    expected = run(make_session(model), operands)
    session = make_session(model, library)
    assert_same(run(session, operands), expected)
    assert_same(run(session, operands), expected)
    return expected


CONSTANT = pytest.mark.parametrize("constant", ["", "B"])
FLOATS = pytest.mark.parametrize("dtype", [np.float32, np.float16])

MATMULS = {
    "matrices": ((5, 33), (33, 7)),
    "one_matrix_for_a_batch": ((2, 3, 5, 33), (33, 7)),
    "batch": ((2, 3, 5, 9), (2, 3, 9, 7)),
    "one_a_for_a_batch": ((5, 9), (2, 3, 9, 7)),
    "broadcast_in_the_middle": ((2, 1, 3, 4, 9), (1, 2, 3, 9, 2)),
    "broadcast_both": ((3, 1, 4, 9), (2, 9, 5)),
    "b_lacks_a_batch": ((4, 3, 2, 9), (3, 9, 5)),
    "vector_and_matrices": ((9,), (2, 9, 7)),
    "matrices_and_vector": ((2, 5, 9), (9,)),
    "vectors": ((9,), (9,)),
    "no_depth": ((2, 0), (0, 3)),
    "no_rows": ((0, 4), (4, 3)),
}


@FLOATS
@CONSTANT
@pytest.mark.parametrize("shapes", MATMULS.values(), ids=MATMULS.keys())
def test_matmul_gives_the_bits_of_the_cpu(shapes, constant, dtype, cuda_operators, spy):
    operands = draw(dtype, A=shapes[0], B=shapes[1])
    got = check(cuda_operators, "LbaMatMul", operands, constant)
    if dtype == np.float32:
        assert_same(got, lba_onnx.matmul(operands["A"], operands["B"], SPEC))


def test_more_batch_dimensions_than_the_interface_holds_are_refused(cuda_operators, spy):
    operands = draw(A=(2, 1) * 5 + (1, 1), B=(1, 2) * 5 + (1, 1))
    session = make_session(operand_model("LbaMatMul", operands, "", SPEC.to_attributes()), cuda_operators)
    with pytest.raises(Exception, match=r"node 'node' \(LbaMatMul\): expected at most 8 batch dimensions .* got 10"):
        run(session, operands)


@FLOATS
@pytest.mark.parametrize("c", [None, (), (1,), (5,), (1, 5), (3, 1), (3, 5)], ids=str)
def test_gemm_gives_the_bits_of_the_cpu(c, dtype, cuda_operators, spy):
    operands = draw(dtype, A=(20, 3), B=(5, 20))
    if c is not None:
        operands["C"] = np.asarray(np.random.default_rng(1).standard_normal(c)).astype(dtype)
    for constant, scales in itertools.product(("", "B", "BC"), ({}, {"alpha": 0.3, "beta": -2.0})):
        present = [key for key in constant if key in operands]
        check(cuda_operators, "LbaGemm", operands, present, transA=1, transB=1, **scales)


def test_gemm_with_beta_0_does_not_read_c(cuda_operators, spy):
    operands = draw(A=(3, 20), B=(20, 5)) | {"C": np.full((3, 5), np.nan, np.float32)}
    assert np.isfinite(check(cuda_operators, "LbaGemm", operands, beta=0.0)).all()


STARTED_TEXTS = ("M7E4b12/M7E4b10", "M7E4b10,chunk=none,round=nearest", "M7E4b10,chunk=3x2", *OTHER_TEXTS)
STARTED_KINDS = ("kulisch(M7E4b8)", "splitk3(M7E4b10),sum=M7E4b8")


@pytest.mark.parametrize("text", [*STARTED_TEXTS, *STARTED_KINDS])
def test_sums_start_from_biases(text, cuda_operators, spy):
    spec = as_spec(text)
    for shape, beta in (((5,), 1.0), ((3, 1), 0.3), ((), -2.0), ((5,), 0.0)):
        operands = draw(A=(3, 20), B=(20, 5)) | {"C": np.asarray(3 * draw(C=(1, *shape))["C"][0])}
        check(cuda_operators, "LbaGemm", operands, "B", spec, beta=beta, bias_start=1)
    operands = draw(np.float16, A=(2, 4, 7, 6), B=(6, 2, 3, 3), C=(6,))
    y = check(cuda_operators, "LbaConv", operands, "B", spec, group=2, pads=[1, 0, 0, 1], bias_start=1)
    assert np.any(y != check(cuda_operators, "LbaConv", operands, "B", spec, group=2, pads=[1, 0, 0, 1]))
    check(cuda_operators, "LbaConv", draw(A=(1, 6, 7), B=(6, 1, 3), C=(6,)), "", spec, group=6, bias_start=1)
    check(cuda_operators, "LbaConv", draw(A=(2, 0, 4), B=(3, 0, 2), C=(3,)), "", spec, bias_start=1)
    check(cuda_operators, "LbaGemm", draw(A=(3, 20), B=(20, 5)), "", spec, bias_start=1)


def test_statistics_of_sums_that_start_from_biases_are_the_cpus(cuda_operators, spy):
    operands = draw(A=(3, 20), B=(20, 5), C=(5,))
    attributes = {**SPEC.to_attributes(), "bias_start": 1, "statistics": "started/node"}
    native.statistics_open("started", 1.0)
    try:
        session = make_session(operand_model("LbaGemm", operands, "B", attributes), cuda_operators)
        with pytest.raises(Exception, match="expected no statistics of sums that start from values on a CUDA device"):
            run(session, operands)
    finally:
        native.statistics_close("started")


CONVS = {
    "1d": ({"A": (2, 3, 11), "B": (4, 3, 3)}, {"pads": [1, 0]}),
    "2d": (
        {"A": (2, 4, 9, 8), "B": (6, 2, 3, 3), "C": (6,)},
        {"group": 2, "strides": [1, 2], "auto_pad": "SAME_LOWER"},
    ),
    "3d": ({"A": (1, 2, 4, 5, 3), "B": (3, 2, 2, 2, 2), "C": (3,)}, {"dilations": [1, 2, 1]}),
    "depthwise": ({"A": (2, 6, 7, 7), "B": (6, 1, 3, 3), "C": (6,)}, {"group": 6, "pads": [1, 1, 1, 1]}),
    "pointwise": ({"A": (1, 9, 6, 5), "B": (7, 9, 1, 1)}, {}),
    "no_channels": ({"A": (2, 0, 4, 4), "B": (3, 0, 2, 2), "C": (3,)}, {}),
    "no_images": ({"A": (0, 2, 4, 4), "B": (3, 2, 2, 2)}, {}),
}


@FLOATS
@CONSTANT
@pytest.mark.parametrize(("shapes", "attributes"), CONVS.values(), ids=CONVS.keys())
def test_conv_gives_the_bits_of_the_cpu(shapes, attributes, constant, dtype, cuda_operators, spy):
    check(cuda_operators, "LbaConv", draw(dtype, **shapes), constant, **attributes)


def test_other_specifications_give_the_bits_of_the_cpu(cuda_operators, spy):
    check(cuda_operators, "LbaMatMul", draw(A=(5, 33), B=(33, 7)), "B", KEEPS_SMALL)
    check(cuda_operators, "LbaConv", draw(**CONVS["2d"][0]), "B", KEEPS_SMALL, **CONVS["2d"][1])


@FLOATS
@CONSTANT
@pytest.mark.parametrize("text", OTHER_TEXTS)
def test_every_order_and_rule_gives_the_bits_of_the_cpu(text, constant, dtype, cuda_operators, spy):
    spec = AccumulatorSpec.parse(text)
    for name in ("batch", "one_matrix_for_a_batch", "broadcast_in_the_middle", "no_depth"):
        shapes = MATMULS[name]
        check(cuda_operators, "LbaMatMul", draw(dtype, A=shapes[0], B=shapes[1]), constant, spec)
    for name in ("2d", "3d", "depthwise", "no_channels"):
        shapes, attributes = CONVS[name]
        check(cuda_operators, "LbaConv", draw(dtype, **shapes), constant, spec, **attributes)


@pytest.mark.parametrize(("op_type", "product"), [("LbaMatMul", "matmul"), ("LbaGemm", "matmul"), ("LbaConv", "conv")])
def test_weights_are_packed_once_and_no_call_waits(op_type, product, cuda_operators, spy):
    operands = draw(A=(2, 3, 4), B=(5, 3, 2)) if product == "conv" else draw(A=(2, 40), B=(40, 5))
    model = operand_model(op_type, operands, "B", SPEC.to_attributes())
    packed = spy.calls(f"pack_{product}")
    session = make_session(model, cuda_operators)
    assert spy.calls(f"pack_{product}") == packed + 1
    run(session, operands)  # brings the memory that later calls use again
    waits, used = spy.waits(), spy.calls(f"{product} with weights")
    for _ in range(3):
        run(session, operands)
    assert spy.waits() == waits
    assert spy.calls(f"{product} with weights") == used + 3
    assert spy.calls(f"pack_{product}") == packed + 1


def test_a_session_gives_its_device_memory_back(cuda_operators, spy):
    operands = draw(A=(20, 40), B=(40, 50))
    session = make_session(operand_model("LbaMatMul", operands, "B", SPEC.to_attributes()), cuda_operators)
    run(session, operands)
    released = spy.calls("release")
    freed, allocated = spy.calls("free"), spy.calls("allocate")
    del session
    assert spy.calls("release") == released + 1
    assert spy.calls("free") == freed + 1
    assert spy.calls("allocate") == allocated


def test_calls_from_several_threads_give_the_same_bits(cuda_operators, spy):
    b = draw(B=(40, 50))["B"]
    model = node_model("LbaMatMul", {"A": (np.float32, ["N", 40])}, {"B": b}, SPEC.to_attributes())
    session = make_session(model, cuda_operators)
    operands = [draw(A=(rows, 40)) for rows in (3, 70, 33, 3)] * 4
    with ThreadPoolExecutor(4) as pool:
        outputs = list(pool.map(lambda each: run(session, each), operands))
    for got, each in zip(outputs, operands, strict=True):
        assert_same(got, lba_onnx.matmul(each["A"], b, SPEC))


STATISTICS = {
    "matmul": ("LbaMatMul", {"A": (2, 1, 3, 40), "B": (2, 40, 5)}, {}),
    "one_matrix_for_a_batch": ("LbaMatMul", {"A": (2, 30, 40), "B": (40, 5)}, {}),
    "gemm": ("LbaGemm", {"A": (20, 13), "B": (20, 5), "C": (5,)}, {"transA": 1, "alpha": 0.5}),
    "conv": ("LbaConv", *CONVS["2d"]),
    "depthwise": ("LbaConv", *CONVS["depthwise"]),
    "no_channels": ("LbaConv", *CONVS["no_channels"]),
}


@FLOATS
@CONSTANT
@pytest.mark.parametrize(("op_type", "shapes", "attributes"), STATISTICS.values(), ids=STATISTICS.keys())
def test_statistics_are_those_of_the_cpu(op_type, shapes, attributes, constant, dtype, cuda_operators, spy):
    operands = draw(dtype, **shapes)
    seen = {}
    for run_name, library in (("cuda_statistics", cuda_operators), ("cpu_statistics", None)):
        native.statistics_open(run_name, 0.3)
        try:
            key = {"statistics": f"{run_name}/node"}
            model = operand_model(op_type, operands, constant, {**SPEC.to_attributes(), **attributes, **key})
            session = make_session(model, library)
            y = [run(session, operands) for _ in range(3)]  # each call samples other positions
            seen[run_name] = y, native.statistics_read(f"{run_name}/node")
        finally:
            native.statistics_close(run_name)
    (cuda_y, cuda), (cpu_y, cpu) = seen.values()
    np.testing.assert_array_equal(cuda_y, cpu_y)
    assert cpu.outputs == (0 if 0 in shapes["B"] else 3 * cpu_y[0].size)
    assert_same_statistics(cuda, cpu)


@FLOATS
@CONSTANT
@pytest.mark.parametrize(("op_type", "shapes", "attributes"), STATISTICS.values(), ids=STATISTICS.keys())
def test_observers_see_and_change_what_they_would_on_the_cpu(
    op_type, shapes, attributes, constant, dtype, cuda_operators, spy
):
    operands = draw(dtype, **shapes)
    seen = {}
    for run_name, library in (("cuda_observer", cuda_operators), ("cpu_observer", None)):
        calls = []

        def observe(call, calls=calls):
            calls.append((call.y.copy(), call.compute(KEEPS_SMALL)))
            call.y[...] *= 2

        opened = observers.observer_open(run_name, observe)
        try:
            key = {"statistics": f"{run_name}/node"}
            model = operand_model(op_type, operands, constant, {**SPEC.to_attributes(), **attributes, **key})
            seen[run_name] = run(make_session(model, library), operands), calls
        finally:
            observers.observer_close(run_name, opened)
    (cuda_y, cuda), (cpu_y, cpu) = seen.values()
    assert_same(cuda_y, cpu_y)
    assert len(cuda) == len(cpu) == (0 if 0 in shapes["B"] else 1)
    for ours, theirs in zip(cuda, cpu, strict=True):
        for got, expected in zip(ours, theirs, strict=True):
            assert_same(got, expected)


def test_an_observer_that_fails_makes_the_node_fail(cuda_operators, spy):
    def fail(call):
        raise KeyError("no more")

    operands = draw(A=(2, 9), B=(9, 3))
    opened = observers.observer_open("failing", fail)
    try:
        attributes = {**SPEC.to_attributes(), "statistics": "failing/node"}
        session = make_session(operand_model("LbaMatMul", operands, "B", attributes), cuda_operators)
        with pytest.raises(Exception, match=r"node 'node' \(LbaMatMul\): its observer stopped the run"):
            run(session, operands)
    finally:
        observers.observer_close("failing", opened)
    assert isinstance(opened.error, KeyError)


@pytest.mark.parametrize("op_type", ["LbaMatMul", "LbaGemm", "LbaConv"])
def test_a_missing_library_is_said_at_session_creation(op_type, cuda_operators, monkeypatch, tmp_path):
    monkeypatch.setenv("LBA_ONNX_CUDA_LIBRARY", str(tmp_path / "liblba_ops_cuda.so"))
    operands = draw(A=(1, 3, 4), B=(2, 3, 1)) if op_type == "LbaConv" else draw(A=(1, 3), B=(3, 2))
    model = operand_model(op_type, operands, "B", SPEC.to_attributes())
    expected = rf"node 'node' \({op_type}\): CUDA needs the library lba_ops_cuda: {tmp_path}/.*LBA_CUDA=ON"
    with pytest.raises(Exception, match=expected):
        make_session(model, cuda_operators)


def test_the_wrong_library_is_said_at_session_creation(cuda_operators, monkeypatch):
    monkeypatch.setenv("LBA_ONNX_CUDA_LIBRARY", lba_onnx.get_library_path())
    operands = draw(A=(1, 3), B=(3, 2))
    with pytest.raises(Exception, match="liblba_ops.so: expected a function lba_cuda_version, got none"):
        make_session(operand_model("LbaMatMul", operands, "B", SPEC.to_attributes()), cuda_operators)


def test_another_version_of_the_library_is_said_at_session_creation(cuda_operators, spy, monkeypatch, tmp_path):
    copy = shutil.copy(spy.environment["LBA_ONNX_CUDA_LIBRARY"], tmp_path / "other.so")  # not the one that is open
    monkeypatch.setenv("LBA_ONNX_CUDA_LIBRARY", copy.as_posix())
    monkeypatch.setenv("LBA_CUDA_SPY_VERSION", "0.0.7")
    operands = draw(A=(1, 3), B=(3, 2))
    with pytest.raises(Exception, match=rf"{tmp_path}/other.so: expected version {lba_onnx.__version__}, got 0.0.7;"):
        make_session(operand_model("LbaMatMul", operands, "B", SPEC.to_attributes()), cuda_operators)


def test_errors_name_the_node_and_say_what_the_library_says(cuda_operators, spy, monkeypatch):
    operands = draw(A=(1, 3), B=(3, 2))
    session = make_session(operand_model("LbaMatMul", operands, "B", SPEC.to_attributes()), cuda_operators)
    monkeypatch.setenv("LBA_ONNX_CUDA_TILE", "gigantic")
    with pytest.raises(Exception, match=r"node 'node' \(LbaMatMul\): .*gigantic"):
        run(session, operands)

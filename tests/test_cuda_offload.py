"""Sessions whose CPU operators compute their products on the (emulated) CUDA device."""

import numpy as np
import pytest
from cuda_glue import assert_same, draw, make_session, run, use_spy
from operator_models import SPEC, operand_model
from statistics_numbers import assert_same_statistics

import lba_onnx
from lba_onnx import native
from lba_onnx.errors import LibraryError, ModelError
from lba_onnx.native import observer as observers

PRODUCTS = {"LbaMatMul": "matmul", "LbaGemm": "matmul", "LbaConv": "conv"}

NODES = {
    "matmul": ("LbaMatMul", {"A": (3, 1, 4, 20), "B": (2, 20, 5)}, {}),
    "one_matrix_for_a_batch": ("LbaMatMul", {"A": (2, 3, 5, 20), "B": (20, 7)}, {}),
    "gemm": (
        "LbaGemm",
        {"A": (20, 3), "B": (5, 20), "C": (5,)},
        {"transA": 1, "transB": 1, "alpha": 0.3, "beta": -2.0},
    ),
    "conv": ("LbaConv", {"A": (2, 4, 9, 8), "B": (6, 2, 3, 3), "C": (6,)}, {"group": 2, "strides": [1, 2]}),
    "depthwise": ("LbaConv", {"A": (1, 6, 7), "B": (6, 1, 3)}, {"group": 6, "pads": [1, 1]}),
    "no_channels": ("LbaConv", {"A": (2, 0, 4, 4), "B": (3, 0, 2, 2), "C": (3,)}, {}),
}
EACH_NODE = pytest.mark.parametrize(("op_type", "shapes", "attributes"), NODES.values(), ids=NODES.keys())
FLOATS = pytest.mark.parametrize("dtype", [np.float32, np.float16])
CONSTANT = pytest.mark.parametrize("constant", ["", "B"])


@pytest.fixture
def spy(monkeypatch):
    return use_spy(monkeypatch)


@pytest.fixture
def matmul():
    operands = draw(A=(2, 40), B=(40, 5))
    return operand_model("LbaMatMul", operands, "B", SPEC.to_attributes()), operands


@FLOATS
@CONSTANT
@EACH_NODE
def test_offloaded_products_give_the_bits_of_the_cpu(op_type, shapes, attributes, constant, dtype, spy):
    operands = draw(dtype, **shapes)
    model = operand_model(op_type, operands, constant, {**SPEC.to_attributes(), **attributes})
    expected = run(make_session(model), operands)
    product = f"{PRODUCTS[op_type]}_host"
    before = spy.calls(product)
    session = make_session(model, offload="cuda")
    for _ in range(2):
        assert_same(run(session, operands), expected)
    assert spy.calls(product) == before + 2


@FLOATS
@CONSTANT
@pytest.mark.parametrize("op_type", ["LbaGemm", "LbaConv"])
def test_sums_start_from_biases(op_type, constant, dtype, spy):
    is_conv = op_type == "LbaConv"
    operands = draw(dtype, A=(2, 3, 4), B=(5, 3, 2), C=(5,)) if is_conv else draw(dtype, A=(2, 40), B=(40, 5), C=(2, 1))
    attributes = {**SPEC.to_attributes(), "bias_start": 1, **({} if is_conv else {"beta": 0.3})}
    model = operand_model(op_type, operands, constant, attributes)
    expected = run(make_session(model), operands)
    assert_same(run(make_session(model, offload="cuda"), operands), expected)
    keys = "starts-cpu", "starts-offloaded"
    read = []
    for key, config in zip(keys, ({}, {"offload": "cuda"}), strict=True):
        native.statistics_open(key, 1.0)
        try:
            run(
                make_session(
                    operand_model(op_type, operands, constant, {**attributes, "statistics": f"{key}/n"}), **config
                ),
                operands,
            )
            read.append(native.statistics_read(f"{key}/n"))
        finally:
            native.statistics_close(key)
    assert_same_statistics(*read)


@CONSTANT
@pytest.mark.parametrize("text", ["M7E4b12/M7E4b10,chunk=3x2", "M7E4b10,tree=4", "fp16-fma", "fp12-sr"])
def test_every_order_and_rule_gives_the_bits_of_the_cpu(text, constant, spy):
    for op_type, shapes, attributes in NODES.values():
        operands = draw(**shapes)
        model = operand_model(op_type, operands, constant, {"accumulator": text, **attributes})
        assert_same(run(make_session(model, offload="cuda"), operands), run(make_session(model), operands))


@pytest.mark.parametrize("op_type", PRODUCTS)
def test_weights_are_packed_once(op_type, spy):
    operands = draw(A=(2, 3, 4), B=(5, 3, 2)) if op_type == "LbaConv" else draw(A=(2, 40), B=(40, 5))
    model = operand_model(op_type, operands, "B", SPEC.to_attributes())
    product = PRODUCTS[op_type]
    packed, used = spy.calls(f"pack_{product}"), spy.calls(f"{product}_host with weights")
    session = make_session(model, offload="cuda")
    for _ in range(3):
        run(session, operands)
    assert spy.calls(f"pack_{product}") == packed + 1
    assert spy.calls(f"{product}_host with weights") == used + 3


def test_offload_is_off_by_default_and_concerns_one_session(matmul, spy):
    model, operands = matmul
    offloaded, plain = make_session(model, offload="cuda"), make_session(model)
    before = spy.calls("matmul_host")
    run(plain, operands)
    assert spy.calls("matmul_host") == before
    run(offloaded, operands)
    assert spy.calls("matmul_host") == before + 1


def test_the_environment_turns_it_on(matmul, spy, monkeypatch):
    model, operands = matmul
    monkeypatch.setenv("LBA_ONNX_OFFLOAD", "cuda")
    before = spy.calls("matmul_host")
    run(lba_onnx.make_session(model), operands)
    assert spy.calls("matmul_host") == before + 1


def test_an_empty_variable_is_none(matmul, spy, monkeypatch):
    model, operands = matmul
    monkeypatch.setenv("LBA_ONNX_OFFLOAD", "")
    before = spy.calls("matmul_host")
    run(lba_onnx.make_session(model), operands)
    assert spy.calls("matmul_host") == before


@pytest.mark.parametrize("value", ["gpu", "CUDA", "", "cuda:0"])
def test_another_value_of_the_config_entry_is_refused(value, matmul, spy):
    expected = f'lba_onnx: session config entry lba_onnx.offload: expected "cuda", got "{value}"'
    with pytest.raises(Exception, match=expected):
        make_session(matmul[0], offload=value)


def test_another_value_of_the_variable_is_refused(matmul, spy, monkeypatch):
    monkeypatch.setenv("LBA_ONNX_OFFLOAD", "gpu")
    with pytest.raises(LibraryError, match='environment variable LBA_ONNX_OFFLOAD: expected "cuda", got "gpu"'):
        lba_onnx.make_session(matmul[0])


@pytest.mark.parametrize("op_type", PRODUCTS)
def test_a_missing_library_is_said_at_session_creation(op_type, monkeypatch, tmp_path):
    monkeypatch.setenv("LBA_ONNX_CUDA_LIBRARY", str(tmp_path / "liblba_ops_cuda.so"))
    monkeypatch.setenv("LBA_ONNX_OFFLOAD", "cuda")
    operands = draw(A=(1, 3, 4), B=(2, 3, 1)) if op_type == "LbaConv" else draw(A=(1, 3), B=(3, 2))
    model = operand_model(op_type, operands, "", SPEC.to_attributes())
    with pytest.raises(ModelError, match=rf"\({op_type}\): CUDA needs the library lba_ops_cuda: {tmp_path}/"):
        lba_onnx.make_session(model)


def test_a_machine_without_a_device_is_said_at_session_creation(matmul, spy, monkeypatch):
    monkeypatch.setenv("LBA_CUDA_SPY_HIDES_DEVICES", "1")
    with pytest.raises(Exception, match=r"node 'node' \(LbaMatMul\): expected a CUDA device to compute on, got none"):
        make_session(matmul[0], offload="cuda")


def _statistics(model, key, run_name, operands, **config):
    native.statistics_open(run_name, 0.3)
    try:
        session = make_session(model(f"{run_name}/{key}"), **config)
        y = [run(session, operands) for _ in range(2)]
        return y, native.statistics_read(f"{run_name}/{key}")
    finally:
        native.statistics_close(run_name)


@CONSTANT
@EACH_NODE
def test_statistics_are_those_of_the_cpu(op_type, shapes, attributes, constant, spy):
    operands = draw(**shapes)

    def model(key):
        return operand_model(op_type, operands, constant, {**SPEC.to_attributes(), **attributes, "statistics": key})

    got_y, got = _statistics(model, "node", "offloaded", operands, offload="cuda")
    expected_y, expected = _statistics(model, "node", "plain", operands)
    np.testing.assert_array_equal(got_y, expected_y)
    assert expected.outputs == (0 if 0 in shapes["B"] else 2 * expected_y[0].size)
    assert_same_statistics(got, expected)


@EACH_NODE
def test_observers_see_and_change_what_they_would_on_the_cpu(op_type, shapes, attributes, spy):
    operands = draw(**shapes)
    seen = []
    for config in ({"offload": "cuda"}, {}):
        calls = []

        def observe(call, calls=calls):
            calls.append(call.y.copy())
            call.y[...] *= 2

        opened = observers.observer_open("observed", observe)
        try:
            key = {"statistics": "observed/node"}
            model = operand_model(op_type, operands, "B", {**SPEC.to_attributes(), **attributes, **key})
            seen.append((run(make_session(model, **config), operands), calls))
        finally:
            observers.observer_close("observed", opened)
    (got_y, got), (expected_y, expected) = seen
    assert_same(got_y, expected_y)
    assert len(got) == len(expected) == (0 if 0 in shapes["B"] else 1)
    for ours, theirs in zip(got, expected, strict=True):
        assert_same(ours, theirs)

"""A kind of accumulators that brings its definition alone: products, convolutions, statistics, gradients, nodes, tools.

The kind is tests/kinds/wrap: integer products, sums modulo a power of two. Such sums are the same in any order, so that
one sum says what is expected. Nothing of the package knows it but the registries of Python and of the library.
"""

import numpy as np
import onnx
import pytest
from kinds.wrap.wrap import WRAP
from kinds_library import kinds_library
from operator_models import node_model
from processor import force_path
from protocol_checks import check_all
from small_models import images, network

import lba_onnx
from lba_onnx import make_session, native, reference
from lba_onnx.arithmetic import as_spec, registry
from lba_onnx.errors import ModelError
from lba_onnx.estimators import ESTIMATORS
from lba_onnx.native.library import LIBRARY_VARIABLE
from lba_onnx.reference import gradients
from lba_onnx.rewrite.specs import read_specs

rng = np.random.default_rng(21)
A, B = (rng.standard_normal(shape).astype(np.float32) * 20 for shape in ((3, 21, 50), (3, 50, 35)))


@pytest.fixture(autouse=True)
def test_kinds(monkeypatch):
    monkeypatch.setenv(LIBRARY_VARIABLE, str(kinds_library()))
    monkeypatch.setitem(registry._KINDS, "wrap", WRAP)
    yield
    registry._parse.cache_clear()


def wrapped_dot(x, w, bits):
    """Of float32 vectors; the largest product is a few thousand, so that the sum is exact."""
    half = 2 ** (bits - 1)
    total = np.trunc(x.astype(np.float64) * w).sum()
    return (total + half) % (2 * half) - half if np.isfinite(total) else np.nan


def expected_matmul(a, b, bits):
    y = np.empty((a.shape[0], a.shape[1], b.shape[2]), np.float32)
    for i, row, column in np.ndindex(y.shape):
        y[i, row, column] = wrapped_dot(a[i, row], b[i, :, column], bits)
    return y


def expected_conv(x, w, group, bits):
    """One pixel of padding all around; stride 1."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    inside = np.pad(np.ones(x.shape), ((0, 0), (0, 0), (1, 1), (1, 1))) != 0
    channels, outputs = w.shape[1], w.shape[0] // group
    y = np.empty((x.shape[0], w.shape[0], *x.shape[2:]), np.float32)
    for n, c, i, j in np.ndindex(y.shape):
        part = np.s_[n, c // outputs * channels : (c // outputs + 1) * channels, i : i + 3, j : j + 3]
        taken = inside[part]
        y[n, c, i, j] = wrapped_dot(padded[part][taken], w[c][taken], bits)
    return y


def test_sums_of_a_definition_start_from_values(forced_path):
    """Wrapped starts move wrapped sums, whatever the order."""
    initial = (rng.standard_normal((21, 35)) * 1e4).astype(np.float32)
    y = lba_onnx.matmul(A, B, "wrap12", initial=initial)
    moved = (expected_matmul(A, B, 12) + np.trunc(initial) + 2**11) % 2**12 - 2**11
    np.testing.assert_array_equal(y, moved)
    np.testing.assert_array_equal(reference.matmul(A, B, "wrap12", initial), moved)
    x, w = rng.standard_normal((2, 4, 5, 5)).astype(np.float32), rng.standard_normal((4, 2, 3, 3)).astype(np.float32)
    start = initial[:4, :1, np.newaxis]
    y = lba_onnx.conv(x, w, "wrap12", pads=[1] * 4, group=2, initial=start)
    moved = (expected_conv(x, w, 2, 12) + np.trunc(start) + 2**11) % 2**12 - 2**11
    np.testing.assert_array_equal(y, moved)


def test_the_library_has_the_kinds_of_the_package(monkeypatch):
    assert (
        native.kinds()
        == tuple(sorted(kind.kind for kind in registry.kinds()))
        == ("chunked-float", "integer", "kulisch", "splitk", "wrap")
    )
    monkeypatch.delenv(LIBRARY_VARIABLE)
    monkeypatch.delitem(registry._KINDS, "wrap")
    assert native.kinds() == tuple(sorted(kind.kind for kind in registry.kinds()))


@pytest.mark.parametrize("path", native.CPU_PATHS)
@pytest.mark.parametrize("bits", [4, 12, 20])
def test_products_on_every_path(monkeypatch, path, bits):
    force_path(monkeypatch, path)
    a = A.copy()
    a[0, 1, 2], a[1, 20, 49] = np.nan, np.inf
    for threads in (1, 2):
        got = native.matmul(a, B, f"wrap{bits}", threads)
        np.testing.assert_array_equal(got, expected_matmul(a, B, bits))
    assert np.isnan(got).sum() == 2 * 35


@pytest.mark.parametrize(
    "group, channels", [(1, 6), (6, 6), (6, 12)], ids=["tiles", "depthwise", "two filters a group"]
)
@pytest.mark.parametrize("special", [None, np.inf, np.nan])
def test_convolutions(group, channels, special):
    x = rng.standard_normal((2, 6, 7, 5)).astype(np.float32) * 30
    w = rng.standard_normal((channels, 6 // group, 3, 3)).astype(np.float32) * 9
    if special is not None:
        w[0, 0, 0, 0] = special  # over the padding it makes products of 0
    geometry = native.ConvGeometry((1, 1), (1, 1), (1, 1), (1, 1), group)
    got = native.conv(x, w, "wrap10", geometry, (2, channels, 7, 5), 2)
    np.testing.assert_array_equal(got, expected_conv(x, w, group, 10))


def test_statistics_count_products_sums_and_what_changes_nothing():
    a = np.array([[[0.5, 3, 0, 7]]], np.float32)
    b = np.array([[[1], [1], [5], [2]]], np.float32)  # products 0, 3, 0, 14
    native.statistics_open("kinds", 1.0)
    native.matmul(a, b, "wrap4", 1, "kinds/node")
    found = native.statistics_read("kinds/node")
    native.statistics_close("kinds")
    assert [level.name for level in found.levels] == ["product", "total"], "there are no sums within sums"
    assert native.accumulator_levels("wrap4") == as_spec("wrap4").levels
    assert [level.values for level in found.levels] == [4, 4]
    assert found["product"].events == {}, "what wraps does not saturate"
    assert found["total"].events == {"swamped": 1}, "0.5 becomes 0; a product of zero adds nothing"
    assert found["total"].max_abs == 17.5, "of the unquantized sums"


def test_gradients_pass_what_the_estimators_leave_open():
    a = np.array([[[0.5, 3.0]]], np.float32)
    b = np.array([[[1.0], [2.0]]], np.float32)
    grad = np.array([[[10.0]]], np.float32)
    open_all = native.matmul_gradients(grad, a, b, "wrap8", ESTIMATORS["recursive_overflow"].gating.code, 1)
    np.testing.assert_array_equal(open_all.first, [[[10.0, 20.0]]])
    assert open_all.gated == 0, "nothing saturates"
    changing = native.matmul_gradients(grad, a, b, "wrap8", ESTIMATORS["immediate_difference"].gating.code, 1)
    np.testing.assert_array_equal(changing.first, [[[0.0, 20.0]]])  # the product 0.5 changes nothing
    assert changing.gated == 1


def test_nodes_of_onnxruntime_beside_those_of_another_kind():
    node = node_model("LbaMatMul", {"A": (A.dtype, A.shape)}, {"B": B}, {"accumulator": "wrap9"})
    y = make_session(node).run(None, {"A": A})[0]
    np.testing.assert_array_equal(y, expected_matmul(A, B, 9))
    chunked = node_model("LbaMatMul", {"A": (A.dtype, A.shape)}, {"B": B}, {"accumulator": "M7E4b10"})
    other = make_session(chunked).run(None, {"A": A})[0]
    np.testing.assert_array_equal(other, native.matmul(A, B, "M7E4b10", 1))


@pytest.mark.parametrize("text", ["wrap", "wrap1", "wrap25", "wrap012", "wrap12,chunk=2"])
def test_texts_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="expected (wrap2 to wrap24|no option), got .*, at character"):
        native.matmul(A, B, text, 1)
    with pytest.raises(ModelError, match=f"attribute accumulator: expected wrap2 to wrap24, got '{text}'"):
        make_session(node_model("LbaMatMul", {"A": (A.dtype, A.shape)}, {"B": B}, {"accumulator": text}))


def test_the_library_without_it_knows_no_such_kind(monkeypatch):
    monkeypatch.delenv(LIBRARY_VARIABLE)
    with pytest.raises(
        ValueError, match="of a kind out of chunked-float integer kulisch splitk, at character 1 of the spec 'wrap12'"
    ):
        native.matmul(A, B, "wrap12", 1)


def scaled_network():
    """A small network whose products are large enough for integers, and its samples."""
    model = network()
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.round(values * 8), tensor.name))
    return model, {"x": np.round(images(24) * 4)}


def test_the_reference_and_its_arrays_give_the_bits_of_the_library():
    spec = as_spec("wrap7")
    expected = native.matmul(A, B, spec, 1)
    np.testing.assert_array_equal(reference.matmul(A, B, spec), expected)
    assert reference.dot(A[0, 0], B[0, :, 0], spec) == expected[0, 0, 0]
    assert reference.fmaq(3.5, 20.0, 10.0, spec) == 80 - 128


def test_models_are_converted_evaluated_compared_and_debugged():
    model, data = scaled_network()
    found = {}
    for text in ("wrap9", "wrap24"):
        converted, report = lba_onnx.convert(model, text)
        assert len(report.converted) == 3 and read_specs(converted)["conv1"] == as_spec(text)
        found[text] = lba_onnx.compare(model, converted, data).outputs[0].sqnr_db
    assert found["wrap9"] < 20 < found["wrap24"], "sums of integers wrap in 9 bits, and not in 24"
    narrow = lba_onnx.convert(model, "wrap9")[0]
    assert lba_onnx.evaluate(narrow, data).samples == 24
    diagnosis = lba_onnx.debug(narrow, data, model, samples_alone=0)
    layer = diagnosis.ranking[0]
    assert layer.main_cause == "wrap" and layer.shares["wrap"] > 0.9
    assert list(layer.to_json()["events"]) == ["swamping"], "what the kind counts"
    assert "wrapping of the sums" in diagnosis.sentences()[0] and "more bits would help" in diagnosis.sentences()[0]


def test_sweeps_take_its_texts_beside_others():
    model, data = scaled_network()
    result = lba_onnx.sweep(model, data, families=("wrap9", "wrap24", "M7E5"), biases=(10,))
    assert [point.grid.text for point in result.points] == ["wrap9", "wrap24", "M7E5"]
    assert [point.to_json()["accumulator"] for point in result.points] == ["wrap9", "wrap24", "M7E5b12/M7E5b10"]
    narrow, wide, _ = (point.comparison.outputs[0].sqnr_db for point in result.points)
    assert narrow < 20 < wide


@pytest.mark.parametrize("text", ["wrap4", "wrap12", "wrap24"])
def test_it_is_what_it_says(text):
    check_all(text)


def test_slices_of_a_dot_product_may_be_of_any_kind():
    y = native.matmul(A, B, "splitk3(wrap9)", 2)
    np.testing.assert_array_equal(y, reference.matmul(A, B, "splitk3(wrap9)"))
    slices = [expected_matmul(A[..., k : k + 17], B[:, k : k + 17], 9) for k in (0, 17, 34)]
    np.testing.assert_array_equal(y, np.sum(slices, axis=0))


def test_what_the_kind_lacks_is_said():
    model, data = scaled_network()
    with pytest.raises(ValueError, match="expected a kind whose biases calibration chooses, got wrap"):
        lba_onnx.calibrate(model, data, "wrap9")
    with pytest.raises(ValueError, match="watches for overflow, which means nothing in wrap9"):
        gradients.matmul_masks(A, B, "wrap9", "immediate_overflow")
    with pytest.raises(ValueError, match="expected a kind whose underflow can be switched, got wrap"):
        as_spec("wrap9").relaxed()

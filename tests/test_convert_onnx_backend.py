"""The node tests of the ONNX standard, converted at the widest format: their own tolerance still holds."""

import sys
import warnings
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.rewrite import convert, list_candidates
from lba_onnx.session import make_session

WIDEST = AccumulatorSpec.parse("M22E7b63/M22E7b63")
RTOL, ATOL = 1e-3, 1e-5  # a total of zero in the middle of a truncated sum leaves some 2^-22 of its terms

MATMUL = ["matmul_2d", "matmul_3d", "matmul_4d", "matmul_bcast", "matmul_1d_3d", "matmul_4d_1d", "matmul_1d_1d"]
GEMM = [
    "gemm_default_zero_bias",
    "gemm_default_no_bias",
    "gemm_default_scalar_bias",
    "gemm_default_single_elem_vector_bias",
    "gemm_default_vector_bias",
    "gemm_default_matrix_bias",
    "gemm_transposeA",
    "gemm_transposeB",
    "gemm_alpha",
    "gemm_beta",
    "gemm_all_attributes",
]
CONV = [
    "basic_conv_with_padding",
    "basic_conv_without_padding",
    "conv_with_strides_padding",
    "conv_with_strides_no_padding",
    "conv_with_strides_and_asymmetric_padding",
    "conv_with_autopad_same",
]
EINSUM = ["einsum_batch_matmul", "einsum_inner_prod"]
EINSUM_WITHOUT_PRODUCTS = [
    "einsum_batch_diagonal",
    "einsum_scalar",
    "einsum_sum",
    "einsum_sum_bfloat16",
    "einsum_transpose",
    "einsum_transpose_bfloat16",
]
NOT_FED = {"einsum_batch_matmul_bfloat16"}
"""Tests whose bfloat16 inputs onnxruntime does not take from NumPy."""
RECENT = {"matmul_bcast", "matmul_1d_3d", "matmul_4d_1d", "matmul_1d_1d", "einsum_scalar"} | {
    name for name in EINSUM_WITHOUT_PRODUCTS if name.endswith("bfloat16")
}
"""Tests that older releases of onnx do not have."""


POOLS = ("averagepool", "lppool", "maxpool")
"""Modules of onnx whose cases take most of the time to make; none of them is converted."""


@cache
def cases() -> dict[str, Any]:
    for name in POOLS:
        sys.modules.setdefault(f"onnx.backend.test.case.node.{name}", ModuleType(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases of other operators overflow on purpose
        return {case.name.removeprefix("test_"): case for case in load_model_tests(kind="node")}


def model_of(case: Any) -> onnx.ModelProto:
    return case.model or onnx.load(Path(case.model_dir) / "model.onnx")


def data_of(case: Any) -> list[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Returns inputs and outputs of each data set; newer releases of onnx make them, older ones bring files."""
    if case.data_sets:
        return list(case.data_sets)
    folders = sorted(Path(case.model_dir).glob("test_data_set_*"))
    return [(read_tensors(folder, "input"), read_tensors(folder, "output")) for folder in folders]


def read_tensors(folder: Path, kind: str) -> list[np.ndarray]:
    paths = sorted(folder.glob(f"{kind}_*.pb"), key=lambda path: int(path.stem.split("_")[-1]))
    return [numpy_helper.to_array(onnx.load_tensor(path)) for path in paths]


@pytest.mark.parametrize("name", [*MATMUL, *GEMM, *CONV, *EINSUM])
def test_standard_node_test_passes_after_conversion(name: str):
    if name not in cases() and name in RECENT:
        pytest.skip(f"onnx {onnx.__version__} has no test_{name}")
    case = cases()[name]
    model, report = convert(model_of(case), WIDEST)
    assert len(report.converted) == len(report) == 1
    onnx.checker.check_model(model)
    assert data_of(case)
    for inputs, outputs in data_of(case):
        for actual, expected in zip(run(make_session(model), inputs), outputs, strict=True):
            assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
            np.testing.assert_allclose(actual, expected, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("name", EINSUM_WITHOUT_PRODUCTS)
def test_standard_node_test_without_a_product_is_left(name: str):
    if name not in cases() and name in RECENT:
        pytest.skip(f"onnx {onnx.__version__} has no test_{name}")
    (entry,) = list_candidates(model_of(cases()[name]))
    assert entry.op_type == "Einsum" and entry.reason


def run(session: onnxruntime.InferenceSession, inputs: list[np.ndarray]) -> list[np.ndarray]:
    names = [graph_input.name for graph_input in session.get_inputs()]
    return list(session.run(None, dict(zip(names, inputs, strict=True))))


@pytest.mark.slow
def test_composed_standard_tests_pass_after_conversion():
    """Attention, causal convolution and the like, written out in MatMul and Conv, some of float16 and bfloat16."""
    compared = 0
    for name, case in cases().items():
        if not name.endswith("_expanded") or not list_candidates(model_of(case)).convertible:
            continue
        try:
            session = onnxruntime.InferenceSession(model_of(case).SerializeToString(), quiet_options())
        except Exception:  # an operator or a type that this onnxruntime has no kernel for; its errors share no base
            continue
        converted = make_session(convert(model_of(case), WIDEST)[0], quiet_options())
        for inputs, _ in data_of(case):
            for actual, expected in zip(run(converted, inputs), run(session, inputs), strict=True):
                tolerance = 1e-2 if expected.dtype == np.float16 else RTOL
                np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance, err_msg=name)
        compared += 1
    assert compared > 50


def quiet_options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return options


def test_the_lists_are_complete():
    found = {
        name
        for name, case in cases().items()
        if [node.op_type for node in model_of(case).graph.node] in (["MatMul"], ["Gemm"], ["Conv"], ["Einsum"])
    }
    assert found <= {*MATMUL, *GEMM, *CONV, *EINSUM, *EINSUM_WITHOUT_PRODUCTS, *NOT_FED}

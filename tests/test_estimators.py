"""A gradient estimator is one module and one entry of the registry: nothing else knows it."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lba_onnx
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.estimators import DEFAULT_ESTIMATOR, ESTIMATORS, Estimator, Gating, as_estimator, gating_of
from lba_onnx.reference.gradients import matmul_masks

PACKAGE = Path(lba_onnx.__file__).parent
OWN_MODULES = PACKAGE / "estimators"


def texts_of(path: Path) -> set[str]:
    constants = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
    return {node.value for node in constants if isinstance(node.value, str)}


def test_no_module_but_its_own_names_an_estimator() -> None:
    names = set(ESTIMATORS)
    naming = {path: names & texts_of(path) for path in PACKAGE.rglob("*.py") if names & texts_of(path)}
    assert naming == {OWN_MODULES / f"{name}.py": {name} for name in names}


def test_registry_loads_no_pytorch() -> None:
    code = "import sys, lba_onnx.reference.gradients; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_default_gates_nothing_and_codes_differ() -> None:
    codes = [estimator.gating.code for estimator in ESTIMATORS.values() if estimator.gating]
    assert len(set(codes)) == len(codes) == len(ESTIMATORS) - 1
    assert gating_of(DEFAULT_ESTIMATOR) is None


@pytest.fixture
def first_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def gate(masks, step):  # type: ignore[no-untyped-def]
        masks[..., 1:] = False

    estimator = Estimator("first_only", Gating("overflow", code=0, gate=gate, advice="take another"))
    monkeypatch.setitem(ESTIMATORS, "first_only", estimator)


def test_new_estimator_needs_an_entry_and_nothing_else(first_only: None) -> None:
    ones = np.ones((2, 3), np.float32)
    assert matmul_masks(ones, ones.T, "M7E4b10", "first_only").tolist() == [[[True, False, False]] * 2] * 2
    with pytest.raises(ValueError, match="immediate_difference, first_only, got 'other'"):
        as_estimator("other")


@pytest.mark.torch
def test_new_estimator_serves_the_operators(first_only: None) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from lba_onnx.torch import lba_matmul

    x, w = torch.ones(2, 3, requires_grad=True), torch.ones(3, 4)
    expected = torch.ones(2, 3, requires_grad=True)
    lba_matmul(x, w, spec="M4E3b8", estimator="first_only").sum().backward()
    lba_matmul(expected, w, spec="M4E3b8", estimator="immediate_overflow").sum().backward()  # code 0
    assert torch.equal(x.grad, expected.grad)


def test_an_estimator_that_means_nothing_in_a_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind whose sums wrap knows no overflow: an estimator that watches for it would gate nothing, without a word."""
    monkeypatch.setattr(AccumulatorSpec, "watched", frozenset(("difference",)))
    ones = np.ones((2, 3), np.float32)
    assert matmul_masks(ones, ones.T, "M7E4b10", "immediate_difference").all()
    with pytest.raises(ValueError, match="watches for overflow, which means nothing in M7E4b12/M7E4b10"):
        matmul_masks(ones, ones.T, "M7E4b10", "immediate_overflow")

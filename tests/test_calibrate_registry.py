"""A method of calibration is one module and one entry of the registry: nothing else knows it."""

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_models import images, network

import lba_onnx
from lba_onnx.calibration import Calibration, calibrate
from lba_onnx.calibration.candidate_errors import least_errors
from lba_onnx.calibration.fit import fit_nodes, largest_exponents
from lba_onnx.calibration.methods import METHODS, NUMBERS, Chosen, Count, Method, takes
from lba_onnx.calibration.seen import Keep

PACKAGE = Path(lba_onnx.__file__).parent
OWN_MODULES = PACKAGE / "calibration" / "methods"


def texts_of(path: Path) -> set[str]:
    constants = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
    return {node.value for node in constants if isinstance(node.value, str)}


def test_no_module_but_its_own_names_a_method():
    names = METHODS.keys() - NUMBERS.keys()  # "percentile" is a number, too
    assert len(names) == 4
    naming = {path: names & texts_of(path) for path in PACKAGE.rglob("*.py") if names & texts_of(path)}
    naming.pop(PACKAGE / "torch" / "tuning" / "elementwise.py")  # Clip has an attribute max
    assert naming == {OWN_MODULES / f"{name}.py": {name} for name in names}


@dataclass(frozen=True)
class Wider(Method):
    """The ranges of all values, some binades wider."""

    name = "wider"
    help = "ranges of all values and more"
    keeps = Keep.APART

    binades: int = takes(Count(1, "How many binades wider."))

    def choose(self, seen, subject, settings, progress):
        def fit(seen):
            return largest_exponents(seen, settings.family).moved(self.binades, self.binades)

        start = fit_nodes(seen.ranges, settings, fit)
        assert seen.kept.fitted and seen.kept.judged
        assert subject.judge(seen.kept.judged).assess(settings.specs(start)).score > 0
        assert set(least_errors(subject, seen.kept.fitted, start, settings, None)) == set(subject.node_names)
        return Chosen(start)


@pytest.fixture
def wider(monkeypatch):
    monkeypatch.setitem(METHODS, "wider", Wider)


def test_new_method_needs_an_entry_and_nothing_else(wider, tmp_path):
    plain = calibrate(network(), {"x": images(24)}, "M7E4")
    found = calibrate(network(), {"x": images(24)}, "M7E4", Wider(2))
    assert (found.method, found.numbers) == ("wider", {"binades": 2})
    for name, spec in found.specs.items():
        before = plain.specs[name]
        assert spec.product_format.exponent_bias == before.product_format.exponent_bias - 2
        assert spec.accumulator_format.exponent_bias == before.accumulator_format.exponent_bias - 2
    found.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == found
    assert calibrate(network(), {"x": images(24)}, "M7E4", "wider").numbers == {"binades": 1}


@pytest.mark.torch
def test_new_method_serves_pytorch_models_too(wider):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from torch_batches import batches_of, mlp, vectors

    from lba_onnx.torch import calibrate

    assert isinstance(vectors(), torch.Tensor)
    assert calibrate(mlp(), batches_of(vectors()), "M7E4", Wider(1)).method == "wider"


def test_errors_list_what_is_registered(wider):
    with pytest.raises(
        ValueError, match="expected a method out of max, percentile, mse, zero_shot, least_bits, wider, got 'best'"
    ):
        calibrate(network(), {"x": images(4)}, "M7E4", "best")


@pytest.mark.parametrize("method", METHODS.values())
def test_methods_say_what_they_are(method):
    assert method.help and isinstance(method.keeps, Keep)
    assert all(number.help.endswith(".") for number in method.numbers().values())
    assert {name: number.default for name, number in method.numbers().items()} == {
        name: value for name, value in vars(method()).items() if name not in ("granularity", "is_tied")
    }

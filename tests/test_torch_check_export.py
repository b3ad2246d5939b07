"""`check_export`: that it finds agreement where there is, and names what does not agree where something was changed."""

import io
import json
import math

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from rich.console import Console

import lba_onnx
from lba_onnx.arithmetic import as_spec
from lba_onnx.errors import DataError, ModelError
from lba_onnx.rewrite.specs import set_spec

torch = pytest.importorskip("torch", reason="needs PyTorch")

from torch import nn  # noqa: E402

from lba_onnx import ModelFile  # noqa: E402
from lba_onnx.torch import LbaConfig, check_export, export, export_float32, lba_sites, quantize_  # noqa: E402
from lba_onnx.torch.exporting.report import Difference  # noqa: E402
from tests import torch_models  # noqa: E402

pytestmark = pytest.mark.torch


class Net(nn.Module):
    """Layers of all three kinds, one of them called twice, and Softmax at the end."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 6, 3, padding=1)
        self.shared = nn.Linear(6, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, x, shift=None):
        y = torch.relu(self.conv(x)).transpose(1, 2)
        y = self.shared(torch.relu(self.shared(y))).mean(1)
        return self.head(y if shift is None else y + shift).softmax(-1)


def converted(model, spec="M7E4b10", **settings):
    quantize_(model, LbaConfig(spec, **settings))
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return converted(torch_models.seeded(Net))


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    shapes = {"x": {0: "batch", 2: "length"}}
    export(model, torch.randn(2, 3, 7), path, input_names=["x"], output_names=["shares"], dynamic_shapes=shapes)
    return path


@pytest.fixture
def inputs():
    return torch.randn(5, 3, 11, generator=torch.Generator().manual_seed(4))


def changed(path, tmp_path, change):
    """Write a copy of a model that a function has changed; return its path."""
    proto = onnx.load(path)
    change(proto)
    onnx.save(proto, tmp_path / "changed.onnx")
    return tmp_path / "changed.onnx"


def initializer(proto, name):
    return next(tensor for tensor in proto.graph.initializer if tensor.name == name)


def set_values(tensor, values):
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def test_check_of_an_export_finds_every_layer_equal(model, path, inputs):
    report = check_export(model, path, inputs)
    assert report.is_bit_equal
    assert report.errors == ()
    found = {layer.node: (layer.op_type, layer.values) for layer in report.layers}
    assert found == {
        "conv": ("LbaConv", 5 * 6 * 11),
        "shared": ("LbaMatMul", 5 * 11 * 6),
        "shared#2": ("LbaMatMul", 5 * 11 * 6),
        "head": ("LbaGemm", 5 * 4),
    }
    assert {layer.spec for layer in report.layers} == {site.spec for site in lba_sites(model).values()}
    assert report.layers[0].run_difference == Difference(0.0, 0.0)
    assert [(output.name, output.shape) for output in report.outputs] == [("shares", (5, 4))]
    assert report.outputs[0].difference.absolute < 1e-6
    assert (report.top1_rows, report.top1_equal) == (5, 5)


def test_check_leaves_the_model_as_it_was(model, path, inputs):
    before = {name: site.statistics for name, site in lba_sites(model).items()}
    check_export(model, path, inputs)
    assert {name: site.statistics for name, site in lba_sites(model).items()} == before


def test_check_reads_and_prints(model, path, inputs):
    report = check_export(model, path, inputs)
    value = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert value["is_bit_equal"] is True
    assert [layer["node"] for layer in value["layers"]] == ["conv", "shared", "shared#2", "head"]
    console = Console(width=160, file=io.StringIO())
    console.print(report.table())
    text = console.file.getvalue()
    assert "4 of 4 layers agree bit for bit" in text
    assert "shared#2" in text
    assert "same top-1 class in 5 of 5 rows" in text


def test_check_finds_a_changed_weight(model, path, inputs, tmp_path):
    def change(proto):
        tensor = initializer(proto, "head.weight")
        set_values(tensor, onnx.numpy_helper.to_array(tensor) * np.float32(1.25))

    report = check_export(model, changed(path, tmp_path, change), inputs)
    differing = {layer.node: layer for layer in report.layers if not layer.is_bit_equal}
    assert list(differing) == ["head"]
    assert 0 < differing["head"].different_values <= 20
    assert differing["head"].run_difference.absolute > 0
    assert report.outputs[0].difference.absolute > 0
    assert not report.is_bit_equal


def test_check_finds_a_changed_bias_behind_a_matmul(model, path, inputs, tmp_path):
    def change(proto):
        tensor = initializer(proto, "shared.bias")
        set_values(tensor, onnx.numpy_helper.to_array(tensor) + np.float32(0.5))

    report = check_export(model, changed(path, tmp_path, change), inputs)
    assert {layer.node for layer in report.layers if not layer.is_bit_equal} == {"shared", "shared#2"}


def test_check_names_the_layer_whose_spec_differs(model, path, inputs, tmp_path):
    def change(proto):
        node = next(node for node in proto.graph.node if node.name == "conv")
        set_spec(node, as_spec("M7E4b12/M3E4b10"))

    report = check_export(model, changed(path, tmp_path, change), inputs)
    assert report.errors == ("'conv': expected the spec M7E4b12/M7E4b10, which PyTorch has, got M7E4b12/M3E4b10",)
    assert [layer.node for layer in report.layers if not layer.is_bit_equal] == ["conv"]


def test_check_names_sites_and_nodes_that_miss_each_other(model, path, inputs, tmp_path):
    def change(proto):
        next(node for node in proto.graph.node if node.name == "head").name = "tail"

    report = check_export(model, changed(path, tmp_path, change), inputs)
    assert report.errors == (
        "'head': PyTorch computes it, and the ONNX model has no node of that name",
        "'tail': the ONNX model has the node, and the PyTorch model has no such site",
    )
    assert not report.is_bit_equal
    assert "error: 'head'" in report.summary()


def test_check_against_another_architecture_reports_every_layer_that_does_not_fit(path, tmp_path):
    class Wider(Net):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(3, 6, 5, padding=2)
            self.head = nn.Linear(6, 5)

    report = check_export(converted(Wider()), path, torch.randn(2, 3, 7))
    assert any(error.startswith("'head': expected an output of shape (2, 5), got (2, 4)") for error in report.errors)
    assert any("output 'shares': expected the shape (2, 5) of PyTorch, got (2, 4)" in error for error in report.errors)
    assert "conv" in {layer.node for layer in report.layers if not layer.is_bit_equal}


def test_check_of_a_converted_float32_export_finds_every_layer_equal(model, inputs, tmp_path):
    export_float32(model, inputs, tmp_path / "float32.onnx", tmp_path / "specs.json")
    specs = lba_onnx.Calibration.load(tmp_path / "specs.json").specs
    lba_onnx.convert(tmp_path / "float32.onnx", specs, model_output=tmp_path / "lba.onnx")
    assert check_export(model, tmp_path / "lba.onnx", inputs).is_bit_equal
    with pytest.raises(ModelError, match="expected a converted model"):
        check_export(model, tmp_path / "float32.onnx", inputs)


def test_check_of_attention_with_external_data_and_keyword_arguments_finds_every_layer_equal(tmp_path):
    model = converted(torch_models.seeded(torch_models.FusedBert), attention=["re:.*attention.self"])
    ids, mask = torch_models.token_ids(3, 6), torch.ones(3, 6, dtype=torch.int64)
    path = tmp_path / "bert.onnx"
    export(model, ids, ModelFile(path, use_external_data_format=True), kwargs={"attention_mask": mask})
    report = check_export(model, path, ids, kwargs={"attention_mask": mask})
    assert report.is_bit_equal, report.summary()
    assert {layer.node for layer in report.layers} == lba_sites(model).keys()


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.yes, self.no = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return torch.cond(x.sum() > 0, lambda x: self.yes(x), lambda x: self.no(x) + 1, (x,))


def test_check_of_branches_names_the_one_that_was_not_taken(tmp_path):
    model, x = converted(Branching()), torch.ones(2, 4)
    export(model, x, tmp_path / "m.onnx")
    report = check_export(model, tmp_path / "m.onnx", x)
    assert [(layer.node, layer.is_bit_equal, layer.run_difference) for layer in report.layers] == [("yes", True, None)]
    assert report.not_run == ("'no': in a branch that PyTorch does not take on these inputs",)
    assert report.is_bit_equal and report.errors == ()
    assert "not run: 'no'" in report.summary()
    assert report.to_json()["not_run"] == list(report.not_run)
    model.no.spec = "M5E4b10"
    report = check_export(model, tmp_path / "m.onnx", x)
    assert report.errors == ("'no': expected the spec M5E4b12/M5E4b10, which PyTorch has, got M7E4b12/M7E4b10",)
    assert not report.is_bit_equal


class Idle(nn.Module):
    """Layers whose result no output depends on, or only by way of writes into a part, and one that is never called."""

    def __init__(self, is_used):
        super().__init__()
        self.first, self.second, self.third, self.never = (nn.Linear(4, 4) for _ in range(4))
        self.is_used = is_used

    def forward(self, x):
        y, z = self.first(x), torch.zeros_like(x)
        z[:, 1:].add_(torch.relu(self.second(x))[:, 1:])
        self.third(z)
        return torch.where(z > 9, y + 1, y).argmax(1) if self.is_used else y


def test_check_names_what_no_output_depends_on_and_what_is_never_called(tmp_path):
    model, x = converted(Idle(False)), torch.randn(2, 4)
    assert list(export(model, x, tmp_path / "m.onnx")) == ["first"]
    report = check_export(model, tmp_path / "m.onnx", x)
    assert report.is_bit_equal and report.errors == ()
    assert [text.partition(":")[0] for text in report.not_run] == ["'second'", "'third'", "'never'"]


def test_check_of_a_layer_that_is_missing_fails_where_an_output_depends_on_it(tmp_path):
    x = torch.randn(2, 4)
    export(converted(torch_models.seeded(lambda: Idle(False))), x, tmp_path / "m.onnx")
    report = check_export(converted(torch_models.seeded(lambda: Idle(True))), tmp_path / "m.onnx", x)
    assert "'second': PyTorch computes it, and the ONNX model has no node of that name" in report.errors
    assert [text.partition(":")[0] for text in report.not_run] == ["'third'", "'never'"]
    assert not report.is_bit_equal


def test_check_that_compares_no_layer_does_not_pass(tmp_path):
    class Half(Branching):
        def forward(self, x):
            return torch.cond(x.sum() > 0, lambda x: x * 1, lambda x: self.no(x) + 1, (x,))

    model, x = converted(Half()), torch.ones(2, 4)
    export(model, x, tmp_path / "m.onnx")
    report = check_export(model, tmp_path / "m.onnx", x)
    assert report.layers == () and report.errors == () and len(report.not_run) == 2
    assert not report.is_bit_equal


def test_check_of_inputs_that_do_not_fit_is_refused(model, path, tmp_path):
    with pytest.raises(DataError, match=r"expected 1 inputs \(x\), got 2 tensors"):
        check_export(model, path, (torch.randn(2, 3, 7), torch.randn(6)))
    with pytest.raises(FileNotFoundError, match="missing.onnx"):
        check_export(model, tmp_path / "missing.onnx", torch.randn(2, 3, 7))


def test_check_of_a_model_in_training_mode_is_refused(path):
    with pytest.raises(ModelError, match="evaluation mode"):
        check_export(converted(Net()).train(), path, torch.randn(2, 3, 7))


@pytest.mark.parametrize(
    ("first", "second", "absolute", "relative"),
    [
        ([1.0, -4.0], [1.0, -4.0], 0.0, 0.0),
        ([1.0, -4.0], [1.5, -4.0], 0.5, 0.125),
        ([math.nan, -0.0, math.inf], [math.nan, 0.0, math.inf], 0.0, 0.0),
        ([math.nan, 1.0], [0.0, 1.0], math.inf, math.inf),
        ([0.0], [2.0], 2.0, math.inf),
        ([], [], 0.0, 0.0),
    ],
)
def test_difference_is_the_largest(first, second, absolute, relative):
    found = Difference.of(np.array(first, np.float32), np.array(second, np.float32))
    assert found == Difference(absolute, relative)
    assert json.dumps(found.to_json(), allow_nan=False)

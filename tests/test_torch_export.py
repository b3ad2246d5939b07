"""`export` and `export_float32`: what becomes of PyTorch models, and what is refused."""

import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

import lba_onnx
from lba_onnx.errors import LbaError, ModelError
from lba_onnx.rewrite import list_candidates, load_model, model_files
from lba_onnx.rewrite.provenance import read_metadata
from lba_onnx.rewrite.specs import read_specs

torch = pytest.importorskip("torch", reason="needs PyTorch")

from torch import nn  # noqa: E402

from lba_onnx import ModelFile  # noqa: E402
from lba_onnx.torch import (  # noqa: E402
    Float8InputQuantizer,
    Float8Quantizer,
    LbaConfig,
    export,
    export_float32,
    lba_linear,
    lba_sites,
    quantize_,
)
from models.demo.network import FashionCnn  # noqa: E402
from tests import torch_models  # noqa: E402

pytestmark = pytest.mark.torch

SPEC = "M7E4b10"
DEMO_DATA = Path(__file__).parents[1] / "models" / "demo" / "fashion_test_1000.npz"


class Eighths(nn.Module):
    """Rounds to multiples of an eighth."""

    def forward(self, x):
        return torch.round(x * 8) / 8


class Quantized(nn.Module):
    """A layer with a quantized weight, called twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(40, 40)
        self.norm = nn.LayerNorm(40)

    def forward(self, x):
        return self.first(self.norm(self.first(x)))


def converted(model, spec=SPEC, **settings):
    quantize_(model, LbaConfig(spec, **settings))
    return model.eval()


def mlp(*widths):
    return converted(torch_models.seeded(lambda: torch_models.make_mlp(*widths)))


def run_all(path, *inputs):
    session = lba_onnx.make_session(path)
    names = [value.name for value in session.get_inputs()]
    return session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})


def run(path, *inputs):
    return run_all(path, *inputs)[0]


def expected(model, *inputs):
    with torch.no_grad():
        return model(*inputs).numpy()


def nodes_of(path):
    return {node.name: node for node in onnx.load(path).graph.node}


@dataclass(frozen=True)
class Files:
    """A model and what the three exports of it wrote."""

    model: nn.Module
    specs: dict
    lba: Path
    float32: Path
    json: Path


SETTINGS = {"input_names": ["x"], "output_names": ["logits"], "dynamic_shapes": ({0: "batch"},)}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlp")
    model, x = mlp(20, 33, 17, 5), torch.randn(2, 20)
    paths = folder / "lba.onnx", folder / "float32.onnx", folder / "specs.json"
    specs = export(model, x, paths[0], provenance={"method": "mse"}, **SETTINGS)
    assert export_float32(model, x, *paths[1:], **SETTINGS) == specs
    return Files(model, specs, *paths)


def test_export_of_an_mlp_gives_the_same_bits_at_any_batch(files):
    assert files.specs == read_specs(load_model(files.lba))
    assert files.specs == {name: site.spec for name, site in lba_sites(files.model).items()}
    assert {node.op_type for node in nodes_of(files.lba).values()} == {"LbaGemm", "Relu"}
    assert lba_onnx.make_session(files.lba).get_inputs()[0].shape == ["batch", 20]
    for batch in (1, 7):
        x = torch.randn(batch, 20)
        np.testing.assert_array_equal(run(files.lba, x), expected(files.model, x))


def test_export_writes_the_metadata_of_a_converted_model(files):
    metadata = read_metadata(onnx.load(files.lba))
    assert json.loads(metadata["lba_onnx.spec"]) == "M7E4b12/M7E4b10"
    assert json.loads(metadata["lba_onnx.provenance"]) == {"method": "mse"}
    assert {"torch", "onnxscript"} <= json.loads(metadata["lba_onnx.versions"]).keys()
    assert not any(a.name == "statistics" for node in nodes_of(files.lba).values() for a in node.attribute)


def test_exported_model_serves_evaluate_compare_and_debug(files):
    x = torch.randn(32, 20)
    data, labels = {"x": x.numpy()}, expected(files.model, x).argmax(1)
    assert lba_onnx.evaluate(files.lba, lba_onnx.Samples(data, labels)).top1.hits == 32
    assert lba_onnx.compare(files.float32, files.lba, data).samples == 32
    for reference in (files.float32, None):
        assert [layer.node for layer in lba_onnx.debug(files.lba, data, reference).layers] == ["0", "2", "4"]


def test_exports_of_the_same_model_are_the_same_bytes(files, tmp_path):
    export(files.model, torch.randn(2, 20), tmp_path / "m.onnx", provenance={"method": "mse"}, **SETTINGS)
    assert (tmp_path / "m.onnx").read_bytes() == files.lba.read_bytes()


def test_float32_export_with_its_specs_converts_to_the_exported_model(files):
    assert {node.domain for node in onnx.load(files.float32).graph.node} == {""}
    assert all(imported.domain != "lba_onnx" for imported in onnx.load(files.float32).opset_import)
    calibration = lba_onnx.Calibration.load(files.json)
    assert (calibration.family, calibration.method, calibration.samples) == ("M7E4", "torch", 0)
    converted_model, report = lba_onnx.convert(files.float32, calibration.specs)
    assert report.specs == files.specs
    assert converted_model.graph == onnx.load(files.lba).graph


def test_float32_export_of_a_cnn_with_its_specs_converts_to_the_exported_model(tmp_path):
    model, x = converted(torch_models.seeded(torch_models.MobileNet)), torch_models.images(8)
    specs = export(model, x, tmp_path / "lba.onnx")
    export_float32(model, x, tmp_path / "float32.onnx", tmp_path / "specs.json")
    converted_model, report = lba_onnx.convert(
        tmp_path / "float32.onnx",
        lba_onnx.Calibration.load(tmp_path / "specs.json").specs,
        model_output=tmp_path / "converted.onnx",
    )
    assert report.specs == specs
    assert converted_model.graph == onnx.load(tmp_path / "lba.onnx").graph
    np.testing.assert_array_equal(run(tmp_path / "converted.onnx", x).argmax(1), expected(model, x).argmax(1))


def test_float32_export_computes_what_float32_layers_compute(files):
    float_model = torch_models.make_mlp(20, 33, 17, 5).eval()
    float_model.load_state_dict(files.model.state_dict())
    x = torch.randn(8, 20)
    np.testing.assert_allclose(run(files.float32, x), expected(float_model, x), rtol=1e-5, atol=1e-6)


def test_export_of_linear_on_tokens_folds_the_transposed_weight(tmp_path):
    model, path = mlp(300, 300, 4), tmp_path / "tokens.onnx"
    export(model, torch.randn(2, 3, 300), path, dynamic_shapes=({0: "batch", 1: "tokens"},))
    assert [node.op_type for node in onnx.load(path).graph.node] == ["LbaMatMul", "Add", "Relu", "LbaMatMul", "Add"]
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    np.testing.assert_array_equal(weights["0.B"], model[0].weight.detach().numpy().T)
    x = torch.randn(3, 8, 300)
    np.testing.assert_array_equal(run(path, x), expected(model, x))


def test_export_knows_the_shapes_between_matmul_and_bias(tmp_path):
    path = tmp_path / "tokens.onnx"
    export(mlp(6, 5), torch.randn(2, 3, 6), path, dynamic_shapes=({0: "batch"},))
    values = {value.name: value.type.tensor_type for value in onnx.load(path).graph.value_info}
    shape = values[nodes_of(path)["0"].output[0]].shape
    assert [dim.dim_param or dim.dim_value for dim in shape.dim] == ["batch", 3, 5]


LAYERS = {
    "conv1d": (nn.Conv1d(4, 6, 3, padding="same", dilation=2, groups=2), (2, 4, 11)),
    "circular": (nn.Conv1d(4, 4, 3, padding=1, padding_mode="circular"), (2, 4, 11)),
    "depthwise": (nn.Conv2d(4, 4, (3, 2), stride=(2, 1), padding=(1, 0), groups=4), (2, 4, 7, 9)),
    "even": (nn.Conv2d(3, 5, (2, 4), padding="same"), (2, 3, 7, 9)),
    "no_batch": (nn.Conv2d(3, 5, 3, bias=False), (3, 7, 9)),
    "conv3d": (nn.Conv3d(2, 4, (1, 2, 3), stride=(1, 2, 1), padding=1), (1, 2, 4, 5, 6)),
    "vector": (nn.Linear(7, 5), (7,)),
    "no_bias": (nn.Linear(7, 5, bias=False), (3, 2, 7)),
}


def test_export_of_layers_of_all_kinds_gives_the_same_bits(tmp_path):
    class Layers(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleDict({name: layer for name, (layer, _) in LAYERS.items()})

        def forward(self, *inputs):
            return [layer(x) for layer, x in zip(self.layers.values(), inputs, strict=True)]

    model, path = converted(Layers()), tmp_path / "layers.onnx"
    inputs = [torch.randn(shape) for _, shape in LAYERS.values()]
    assert list(export(model, inputs, path)) == [f"layers.{name}" for name in LAYERS]
    with torch.no_grad():
        wanted = model(*inputs)
    for name, x, y in zip(LAYERS, run_all(path, *inputs), wanted, strict=True):
        np.testing.assert_array_equal(x, y.numpy(), err_msg=name)


def test_export_of_a_model_that_is_a_layer_names_its_node_model(tmp_path):
    assert list(export(converted(nn.Linear(3, 2)), torch.randn(1, 3), tmp_path / "m.onnx")) == ["model"]


def test_export_keeps_specs_that_differ_between_layers(tmp_path):
    model = torch_models.seeded(lambda: torch_models.make_mlp(8, 8, 8, 3)).eval()
    specs = {"0": "M7E4b12/M7E4b9", "2": "M5E5b20,chunk=none", "4": "M10E5b15/M10E5b15,chunk=4,underflow=off"}
    quantize_(model, LbaConfig(specs))
    path, x = tmp_path / "mixed.onnx", torch.randn(4, 8)
    found = export(model, x, path)
    assert found == {name: lba_onnx.AccumulatorSpec.parse(text) for name, text in specs.items()}
    np.testing.assert_array_equal(run(path, x), expected(model, x))


def test_export_of_the_demo_cnn_predicts_the_same(tmp_path):
    model, path = converted(torch_models.seeded(FashionCnn)), tmp_path / "cnn.onnx"
    with np.load(DEMO_DATA) as data:
        images = torch.from_numpy(data["image"][:64])
    export(model, images[:1], path, input_names=["image"], output_names=["logits"], dynamic_shapes=({0: "batch"},))
    assert nodes_of(path).keys() >= {"block1.first.conv", "block3.first.conv", "classifier"}
    np.testing.assert_array_equal(run(path, images).argmax(1), expected(model, images).argmax(1))


def test_export_of_a_cnn_predicts_the_same_and_keeps_batch_norm(tmp_path):
    model, path = converted(torch_models.seeded(torch_models.ResidualNet)), tmp_path / "cnn.onnx"
    specs = export(model, torch_models.images(2), path, dynamic_shapes=({0: "batch"},))
    assert specs.keys() == lba_sites(model).keys()
    operators = [node.op_type for node in nodes_of(path).values()]
    assert operators.count("BatchNormalization") == sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    images = torch_models.images(16)
    np.testing.assert_array_equal(run(path, images).argmax(1), expected(model, images).argmax(1))


@pytest.mark.parametrize(
    ("make", "attention", "inputs"),
    [
        (torch_models.FusedBert, "re:.*attention.self", torch_models.token_ids),
        (torch_models.Encoder, "re:.*self_attn", torch_models.sequences),
    ],
)
def test_export_of_attention_names_its_products_and_predicts_the_same(tmp_path, make, attention, inputs):
    model, path = converted(torch_models.seeded(make), attention=[attention]), tmp_path / "attention.onnx"
    specs = export(model, inputs(2, 5), path, dynamic_shapes=({0: "batch", 1: "length"},))
    assert specs.keys() == lba_sites(model).keys()
    assert sum(name.endswith((".scores", ".context")) for name in specs) == 4
    x = inputs(4, 9, seed=3)
    np.testing.assert_array_equal(run(path, x).argmax(1), expected(model, x).argmax(1))


def test_export_folds_the_slices_of_cross_attention_into_initializers(tmp_path):
    class Cross(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(32, 2, batch_first=True)

        def forward(self, x, memory):
            return self.attention(x, memory, memory)[0]

    path = tmp_path / "cross.onnx"
    export(converted(Cross(), attention=["attention"]), (torch.randn(2, 3, 32), torch.randn(2, 4, 32)), path)
    weights = {entry.node: entry.weights for entry in list_candidates(path) if "proj" in entry.node}
    assert len(weights) == 3
    assert all(text.startswith("initializer") for text in weights.values()), weights


def test_export_of_a_quantized_weight_has_the_bits_of_pytorch(tmp_path):
    model = converted(torch_models.seeded(Quantized), weight_quantizer=Eighths, input_quantizer=Eighths)
    path, x = tmp_path / "quantized.onnx", torch.randn(2, 3, 40)
    assert list(export(model, x, path)) == ["first", "first#2"]
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    np.testing.assert_array_equal(weights["first.B"], torch.round(model.first.weight * 8).detach().numpy().T / 8)
    assert {nodes_of(path)[name].input[1] for name in ("first", "first#2")} == {"first.B"}
    assert "first.weight" not in weights


def test_export_of_float8_weights_and_inputs_gives_the_same_bits(tmp_path):
    quantizers = {"weight_quantizer": Float8Quantizer, "input_quantizer": Float8InputQuantizer}
    model = converted(torch_models.seeded(lambda: torch_models.make_mlp(12, 16, 5)), **quantizers)
    path, x = tmp_path / "float8.onnx", torch.randn(6, 12)
    for module in model.modules():
        module.train(isinstance(module, Float8InputQuantizer))
    model(x)
    export(model.eval(), x, path, dynamic_shapes=({0: "batch"},))
    assert all(entry.weights.startswith("initializer") for entry in list_candidates(path))
    other = torch.randn(9, 12)
    np.testing.assert_array_equal(run(path, other), expected(model, other))


def test_export_with_an_input_quantizer_without_a_range_names_its_site(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.left = nn.Linear(4, 4), nn.Linear(4, 3), nn.Linear(4, 2)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))

    model = converted(torch_models.seeded(Net), input_quantizer=Float8InputQuantizer)
    model.first.train()(torch.randn(2, 4))
    with pytest.raises(
        ModelError, match=r"^Net cannot be exported: the quantizer 'second.input_quantizer' has no range"
    ):
        export(model.eval(), torch.randn(2, 4), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
    model.second.train()(torch.randn(2, 4))
    assert list(export(model.eval(), torch.randn(2, 4), tmp_path / "m.onnx")) == ["first", "second"]


@pytest.mark.parametrize(("opset", "ir_version"), [(18, 8), (None, 9), (21, 10)])
def test_export_has_the_lowest_ir_version_of_its_opset(tmp_path, opset, ir_version):
    path = tmp_path / "m.onnx"
    export(mlp(6, 5), torch.randn(2, 3, 6), path, opset_version=opset, provenance={"method": "mse"})
    proto = onnx.load(path)
    assert proto.ir_version == ir_version
    assert "lba_onnx.provenance" in read_metadata(proto)
    onnx.checker.check_model(proto)


def test_export_of_branches_keeps_no_notes_of_the_exporter(tmp_path):
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.yes, self.no = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return torch.cond(x.sum() > 0, lambda x: self.yes(x), lambda x: self.no(x) + 1, (x,))

    export(converted(Branching()), torch.ones(2, 4), tmp_path / "m.onnx")
    text = str(onnx.load(tmp_path / "m.onnx").graph)
    assert "then_branch" in text and "metadata_props" not in text


def test_export_takes_keyword_arguments_and_output_names(tmp_path):
    model = converted(torch_models.seeded(torch_models.Bert), attention=["re:.*attention.self"])
    ids, mask = torch_models.token_ids(2, 5), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    path = tmp_path / "bert.onnx"
    specs = export(model, (ids,), path, kwargs={"attention_mask": mask}, output_names=["logits"])
    assert specs.keys() == lba_sites(model).keys()
    session = lba_onnx.make_session(path)
    assert [value.name for value in session.get_inputs()] == ["ids", "attention_mask"]
    assert [value.name for value in session.get_outputs()] == ["logits"]
    np.testing.assert_array_equal(run(path, ids, mask).argmax(1), expected(model, ids, mask).argmax(1))


def test_specs_file_keeps_layers_that_differ(tmp_path):
    model = torch_models.seeded(lambda: torch_models.make_mlp(8, 8, 3)).eval()
    quantize_(model, LbaConfig({"0": "M7E4b9,chunk=32", "2": "M5E4b8,underflow=off"}))
    specs = export_float32(model, torch.randn(1, 8), tmp_path / "m.onnx", tmp_path / "specs.json")
    calibration = lba_onnx.Calibration.load(tmp_path / "specs.json")
    assert calibration.specs == specs
    assert calibration.family == "M7E4,chunk=32, M5E4,underflow=off"


@pytest.mark.parametrize("is_forced", [True, False])
def test_export_of_a_large_model_keeps_its_data_beside_it(tmp_path, monkeypatch, is_forced):
    model, x = mlp(40, 40, 3), torch.randn(2, 40)
    if not is_forced:
        monkeypatch.setattr(model_files, "MAX_PROTOBUF_BYTES", 1 << 26)
    path = tmp_path / "large.onnx"
    export(model, x, ModelFile(path, use_external_data_format=True if is_forced else None))
    assert {file.name[:15] for file in tmp_path.iterdir()} == {"large.onnx", "large.onnx.lba-"}
    monkeypatch.undo()
    np.testing.assert_array_equal(run(path, x), expected(model, x))


def test_export_is_quiet(tmp_path, capfd, caplog):
    export(mlp(4, 3), torch.randn(1, 4), tmp_path / "m.onnx", opset_version=18)
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelno >= logging.INFO]
    assert next(o.version for o in onnx.load(tmp_path / "m.onnx").opset_import if not o.domain) == 18


def test_export_tells_of_a_site_that_no_output_needs(tmp_path, caplog):
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.left = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.used(x)

    with caplog.at_level(logging.WARNING, logger="lba_onnx"):
        assert list(export(converted(Unused()), torch.randn(1, 3), tmp_path / "m.onnx")) == ["used"]
    assert "'left' of Unused has no node" in caplog.text


def test_export_of_a_model_in_training_mode_names_the_module(tmp_path):
    model = converted(torch_models.seeded(torch_models.ResidualNet))
    model.layer2.train()
    with pytest.raises(ModelError, match=r"ResidualNet in evaluation mode, but its module 'layer2' trains"):
        export(model, torch_models.images(), tmp_path / "m.onnx")


def test_export_of_a_model_without_sites_is_refused(tmp_path):
    with pytest.raises(ModelError, match="call quantize_"):
        export(torch_models.make_mlp(3, 2).eval(), torch.randn(1, 3), tmp_path / "m.onnx")


def test_export_into_a_missing_folder_is_refused_before_any_work(tmp_path):
    model = mlp(3, 2)
    with pytest.raises(FileNotFoundError, match="missing"):
        export(model, torch.randn(1, 3), tmp_path / "missing" / "m.onnx")
    with pytest.raises(FileNotFoundError, match="missing"):
        export_float32(model, torch.randn(1, 3), tmp_path / "m.onnx", tmp_path / "missing" / "specs.json")
    with pytest.raises(ModelError, match="expected a file name"):
        export(model, torch.randn(1, 3), tmp_path)
    assert not list(tmp_path.iterdir())


def test_export_of_data_dependent_control_flow_says_where_it_is(tmp_path, capfd):
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            y = self.layer(x)
            return y if y.sum() > 0 else -y

    with pytest.raises(ModelError, match=r"Branching cannot be exported: .*data-dependent.*test_torch_export.py, line"):
        export(converted(Branching()), torch.randn(1, 3), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_export_of_an_operator_without_a_translation_names_it(tmp_path):
    class Eigen(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            return torch.linalg.eigvalsh(self.layer(x))

    with pytest.raises(ModelError, match="linalg_eigh"):
        export(converted(Eigen()), torch.randn(3, 3), tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"opset_version": 7}, r"cannot be exported.*opset.* 7\b"),
        ({"input_names": ["x", "y"]}, "input_names: expected 1 different names"),
        ({"dynamic_shapes": ({5: "batch"},)}, "cannot be exported"),
    ],
)
def test_export_with_a_setting_that_does_not_fit_is_refused(tmp_path, settings, message):
    with pytest.raises(ModelError, match=message):
        export(mlp(3, 2), torch.randn(2, 3), tmp_path / "m.onnx", **settings)


def test_export_of_arguments_of_another_type_is_refused(tmp_path):
    with pytest.raises(TypeError, match="tensor or a tuple"):
        export(mlp(3, 2), np.zeros((2, 3), np.float32), tmp_path / "m.onnx")


def test_export_without_onnxscript_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(LbaError, match=r"pip install 'lba-onnx\[torch\]'"):
        export(mlp(3, 2), torch.randn(1, 3), tmp_path / "m.onnx")


def test_a_product_outside_the_sites_is_refused(tmp_path):
    class Loose(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 4)

        def forward(self, x):
            return lba_linear(self.head(x), torch.ones(3, 4), spec=SPEC)

    model, x = converted(Loose()), torch.randn(2, 4)
    with pytest.raises(ModelError, match="Loose cannot be exported: .*expected every .* of a site, .* got one outside"):
        export(model, x, tmp_path / "loose.onnx")
    assert not list(tmp_path.iterdir())

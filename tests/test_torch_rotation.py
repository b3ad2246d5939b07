"""Residual streams as PyTorch's two exporters write them, tied embeddings and attention among them."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from lba_onnx.transformation import transform  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]  # of the exporters

HIDDEN, TOKENS, HEADS = 32, 60, 4


class Block(torch.nn.Module):
    def __init__(self, norm, has_bias):
        super().__init__()
        self.norms = torch.nn.ModuleList([norm(HIDDEN) for _ in range(2)])
        self.qkv = torch.nn.Linear(HIDDEN, 3 * HIDDEN, bias=has_bias)
        self.out = torch.nn.Linear(HIDDEN, HIDDEN, bias=has_bias)
        self.up = torch.nn.Linear(HIDDEN, 48, bias=has_bias)
        self.down = torch.nn.Linear(48, HIDDEN, bias=has_bias)

    def forward(self, x):
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(self.norms[0](x)).view(batch, tokens, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        attention = torch.softmax(q @ k.transpose(-1, -2) / 3, -1) @ v
        x = x + self.out(attention.transpose(1, 2).reshape(batch, tokens, HIDDEN))
        return x + self.down(torch.nn.functional.silu(self.up(self.norms[1](x))))


class Transformer(torch.nn.Module):
    def __init__(self, norm, has_bias, is_tied):
        super().__init__()
        self.table = torch.nn.Embedding(TOKENS, HIDDEN)
        self.positions = torch.nn.Embedding(8, HIDDEN)
        self.blocks = torch.nn.ModuleList([Block(norm, has_bias) for _ in range(2)])
        self.norm = norm(HIDDEN)
        self.head = torch.nn.Linear(HIDDEN, TOKENS, bias=False)
        if is_tied:
            self.head.weight = self.table.weight

    def forward(self, ids):
        x = self.table(ids) + self.positions(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class RmsNorm(torch.nn.Module):
    """As the models of the transformers package have it."""

    def __init__(self, size):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(size))

    def forward(self, x):
        x = x.to(torch.float32)
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)).to(x.dtype)


NORMS = {"LayerNorm": torch.nn.LayerNorm, "RMSNorm": RmsNorm, "torch RMSNorm": torch.nn.RMSNorm}


@pytest.mark.parametrize(("has_bias", "is_tied"), [(True, False), (False, True)])
@pytest.mark.parametrize("exporter", ["script 16", "script 17", "dynamo"])
@pytest.mark.parametrize("norm", NORMS)
def test_an_exported_transformer_is_rotated(norm, exporter, has_bias, is_tied, tmp_path):
    torch.manual_seed(0)
    model = Transformer(NORMS[norm], has_bias, is_tied).eval()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, 1, 0.5)
    ids = torch.randint(0, TOKENS, (4, 7))
    path = tmp_path / "model.onnx"
    names = {"input_names": ["ids"], "output_names": ["logits"]}
    if exporter == "dynamo":
        torch.onnx.export(model, (ids,), path, dynamo=True, **names, external_data=False)
    else:
        if norm == "torch RMSNorm":
            pytest.skip("this exporter does not know it")
        torch.onnx.export(model, (ids,), path, dynamo=False, **names, opset_version=int(exporter.split()[1]))
    _, report = transform(path, {"ids": ids.numpy()}, ["rotation"])
    (entry,) = report.entries
    assert entry.is_done, report.summary()
    kind = "RMSNorm" if "RMS" in norm else "LayerNorm"
    assert f"5 {kind} and 5 matrices" in entry.places[0]
    assert all(0 < difference < 1e-5 for difference in entry.verification.differences.values())
    assert np.isfinite(list(entry.verification.differences.values())).all()


class Vision(torch.nn.Module):
    """A vision transformer: patches by a convolution, a class token put before them, features of that one."""

    def __init__(self):
        super().__init__()
        self.patches = torch.nn.Conv2d(3, HIDDEN, 4, stride=4)
        self.token = torch.nn.Parameter(torch.randn(1, 1, HIDDEN))
        self.positions = torch.nn.Parameter(torch.randn(1, 10, HIDDEN))
        self.block = Block(torch.nn.LayerNorm, True)
        self.norm = torch.nn.LayerNorm(HIDDEN)
        self.head = torch.nn.Linear(HIDDEN, 5)

    def forward(self, images):
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.block(x))[:, 0])


@pytest.mark.parametrize("is_dynamo", [False, True])
def test_a_vision_transformer_is_rotated(is_dynamo, tmp_path):
    torch.manual_seed(0)
    model, images = Vision().eval(), torch.randn(3, 3, 12, 12)
    path = tmp_path / "model.onnx"
    names = {"input_names": ["images"], "output_names": ["scores"], "dynamic_axes": {"images": {0: "batch"}}}
    if is_dynamo:
        names["dynamic_shapes"] = {"images": {0: torch.export.Dim("batch")}}
        del names["dynamic_axes"]
    torch.onnx.export(model, (images,), path, dynamo=is_dynamo, **names)
    _, report = transform(path, {"images": images.numpy()}, ["rotation"])
    assert report.done == ("rotation",), report.summary()
    assert "from Conv" in report.entries[0].places[0]
    assert "3 matrices write it, 3 LayerNorm and 3 matrices behind them read it" in report.entries[0].places[0]

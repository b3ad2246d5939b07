"""Models of Hugging Face's transformers, tiny ones made from configurations: BERT and GPT-2, with both kernels."""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from lba_onnx.torch import LbaConfig, calibrate, check_export, export, lba_sites, quantize_  # noqa: E402

pytestmark = pytest.mark.torch

WIDE = "M22E7b63"
KERNELS = ["eager", "sdpa"]


def make_bert(kernel: str) -> nn.Module:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=16,
        attn_implementation=kernel,
    )
    return transformers.BertModel(config).eval()


def make_gpt2(kernel: str) -> nn.Module:
    """GPT-2, whose projections are addmm, and whose last layer shares its weight with the embedding."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=50,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=16,
        bos_token_id=0,
        eos_token_id=0,
        use_cache=False,
        attn_implementation=kernel,
    )
    return transformers.GPT2LMHeadModel(config).eval()


MODELS = {make_bert: r"re:.*attention\.self", make_gpt2: r"re:.*h\.\d+\.(attn|mlp)"}
"""The models, and what of each multiplies by itself."""
ENCODER_LAYER = [
    *(f"attention.self.{name}" for name in ("query", "key", "value", "scores", "context")),
    *("attention.output.dense", "intermediate.dense", "output.dense"),
]
BLOCK = [*(f"attn.{name}" for name in ("scores", "context", "matmul_2", "matmul_3")), "mlp.scores", "mlp.context"]
SITES = {
    make_bert: [*(f"encoder.layer.{layer}.{site}" for layer in (0, 1) for site in ENCODER_LAYER), "pooler.dense"],
    make_gpt2: [*(f"transformer.h.{layer}.{site}" for layer in (0, 1) for site in BLOCK), "lm_head"],
}
"""What each model has as sites after a forward."""
every_model = pytest.mark.parametrize("make", MODELS, ids=["bert", "gpt2"])
every_kernel = pytest.mark.parametrize("kernel", KERNELS)


def tokens() -> dict[str, torch.Tensor]:
    """Two sentences, the second one with padding."""
    ids = torch.randint(1, 50, (2, 8), generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])
    return {"input_ids": ids, "attention_mask": mask}


def outputs(model: nn.Module) -> list[torch.Tensor]:
    return [value for value in model(**tokens()).values() if isinstance(value, torch.Tensor)]


class Products(TorchDispatchMode):
    """Counts the operators that multiply matrices, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func.overloadpacket)
        if any(part in name for part in ("mm", "matmul", "linear", "scaled_dot_product")):
            self.counts[name] = self.counts.get(name, 0) + 1
        return func(*args, **kwargs or {})


@every_kernel
@every_model
def test_a_wide_format_gives_the_float32_model_and_leaves_no_product_in_float32(make, kernel):
    model = make(kernel)
    expected = outputs(model)
    with Products() as float32_products:
        outputs(model)
    quantize_(model, LbaConfig(WIDE, attention=[MODELS[make]]))
    with Products() as products:
        got = outputs(model)
    for output, other in zip(got, expected, strict=True):
        torch.testing.assert_close(output, other)
    assert list(lba_sites(model)) == SITES[make]
    assert products.counts.keys() <= {"lba_onnx.linear", "lba_onnx.matmul"} and float32_products.counts
    assert sum(products.counts.values()) == len(SITES[make])


def calibrated(make, kernel: str) -> nn.Module:
    """A model with specs of calibration, which also have names for the products that come third and later."""
    settings = {"attention": [MODELS[make]]}
    calibration = calibrate(make(kernel), [tokens()], family="M7E4", method="max", **settings)
    model = make(kernel)
    quantize_(model, LbaConfig(calibration.specs, "recursive_overflow", **settings))
    assert {name: site.spec for name, site in lba_sites(model).items()} == calibration.specs
    return model


def train(model: nn.Module) -> None:
    torch.manual_seed(2)
    sum(output.square().mean() for output in outputs(model.train())).backward()


@every_kernel
@every_model
def test_a_training_step_has_finite_gradients_at_every_site(make, kernel):
    model = calibrated(make, kernel)
    seen = {}
    for name, site in lba_sites(model).items():
        site.register_full_backward_hook(lambda site, inputs, results, name=name: seen.update({name: inputs}))
    train(model)
    assert sorted(seen) == sorted(SITES[make])
    for name, gradients in seen.items():
        assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients if gradient is not None), name
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
    before = outputs(model.eval())[0].detach()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert outputs(model)[0].isfinite().all() and not torch.equal(outputs(model)[0], before)


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning")  # newer name since 5
@every_model
def test_checkpointing_of_the_layers_gives_the_same_gradients(make):
    model, twin = calibrated(make, "sdpa"), calibrated(make, "sdpa")
    twin.gradient_checkpointing_enable()
    calls = []
    for site in lba_sites(twin).values():
        site.register_forward_hook(lambda site, *_: calls.append(site))
    train(model)
    train(twin)
    last = 1  # the pooler, or the head
    assert len(calls) == 2 * (len(SITES[make]) - last) + last
    for (name, parameter), other in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(parameter.grad, other.grad), name


@pytest.mark.parametrize(("make", "kernel"), [(make_bert, "sdpa"), (make_gpt2, "eager")], ids=["bert", "gpt2"])
def test_the_exported_model_gives_the_same_bits(make, kernel, tmp_path):
    model, inputs = calibrated(make, kernel), tokens()
    specs = export(model, (), tmp_path / "model.onnx", kwargs=inputs)
    assert specs == {name: site.spec for name, site in lba_sites(model).items()}
    check = check_export(model, tmp_path / "model.onnx", (), kwargs=inputs)
    assert check.is_bit_equal and not check.not_run, check.summary()
    assert [layer.node for layer in check.layers] and {layer.node for layer in check.layers} == set(SITES[make])
    assert max(output.difference.relative for output in check.outputs) < 1e-5

import copy
import math
import pickle

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

import torch_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.overrides import _get_current_function_mode  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

import lba_onnx  # noqa: E402
from lba_onnx import AccumulatorSpec  # noqa: E402
from lba_onnx.errors import ModelError, SelectionError  # noqa: E402
from lba_onnx.torch import LbaConfig, lba_sites, quantize_, set_specs_, set_underflow_  # noqa: E402

pytestmark = pytest.mark.torch

WIDE = "M22E7b63/M22E7b63"
NARROW = "M4E3b5/M4E3b4"


def converted(model: nn.Module, spec: str = WIDE, attention: tuple[str, ...] = ("re:.*(self|self_attn|attention)",)):
    twin = copy.deepcopy(model)
    quantize_(twin, LbaConfig(spec, attention=attention))
    return twin


def assert_same_with_gradients(model: nn.Module, twin: nn.Module, *args, **kwargs) -> None:
    """Outputs and parameter gradients of a float32 model and its wide twin agree within float32's rounding."""
    expected, got = model(*args, **kwargs), twin(*args, **kwargs)
    torch.testing.assert_close(got, expected, equal_nan=True)
    for output in (expected, got):
        (output if isinstance(output, torch.Tensor) else output[0]).square().sum().backward()
    for (name, parameter), other in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(
            other.grad, parameter.grad, msg=lambda text, name=name: f"{name}: {text}", atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("make", [torch_models.Bert, torch_models.FusedBert])
@pytest.mark.parametrize("with_mask", [False, True])
def test_wide_format_gives_the_float32_transformer(make, with_mask):
    model = torch_models.seeded(make)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]) if with_mask else None
    assert_same_with_gradients(model, converted(model), torch_models.token_ids(), mask)


def test_products_are_the_bits_of_matmul():
    attention = torch_models.seeded(torch_models.SelfAttention)
    model = nn.ModuleDict({"attention": attention})
    quantize_(model, LbaConfig(NARROW, attention=["attention"]), lambda module, name: False)
    seen = {}
    for name, site in lba_sites(model).items():
        site.register_forward_hook(lambda site, args, result, name=name: seen.update({name: (*args, result)}))
    attention(torch_models.sequences())
    assert list(seen) == ["attention.scores", "attention.context"]
    for a, b, result in seen.values():
        expected = lba_onnx.matmul(a.detach().numpy(), b.detach().numpy(), AccumulatorSpec.parse(NARROW))
        assert torch.equal(result, torch.from_numpy(expected))


def test_each_product_has_its_own_spec():
    model = torch_models.seeded(torch_models.FusedBert)
    specs = {"re:.*scores": "M7E4b8/M7E4b8", "re:.*context": "M5E4b8/M5E4b8", "*": WIDE}
    quantize_(model, LbaConfig(specs, {"re:.*context": "recursive_overflow"}, attention=["re:.*self"]))
    sites = lba_sites(model)
    assert str(sites["layer.1.attention.self.scores"].spec) == "M7E4b8/M7E4b8"
    assert str(sites["layer.1.attention.self.context"].spec) == "M5E4b8/M5E4b8"
    assert sites["layer.1.attention.self.context"].estimator == "recursive_overflow"


class Attend(nn.Module):
    """scaled_dot_product_attention with any arguments."""

    def forward(self, *args, **kwargs):
        return functional.scaled_dot_product_attention(*args, **kwargs)


def qkv(heads: int = 4, key_heads: int = 4, targets: int = 5, sources: int = 7):
    generator = torch.Generator().manual_seed(5)
    shapes = (2, heads, targets, 8), (2, key_heads, sources, 8), (2, key_heads, sources, 6)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def masks() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(6)
    seen = torch.rand(2, 1, 5, 7, generator=generator) < 0.6
    seen[0, 0, 2] = False  # a target that sees nothing
    return {
        "bool": seen,
        "bool_2d": seen[1, 0],
        "float": torch.randn(4, 5, 7, generator=generator),
        "float_inf": torch.zeros(5, 7).masked_fill(~seen[0, 0], -math.inf),
    }


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"is_causal": True},
        {"scale": 0.3},
        {"scale": -0.3},
        {"scale": 0.0},
        *({"attn_mask": mask} for mask in masks()),
        {"attn_mask": "bool", "scale": 2.0},
    ],
    ids=str,
)
def test_scaled_dot_product_attention_is_torchs_at_a_wide_format(options):
    options = {**options, "attn_mask": masks()[options["attn_mask"]]} if "attn_mask" in options else options
    layer = Attend()
    expected_inputs, inputs = ([tensor.clone().requires_grad_() for tensor in qkv()] for _ in range(2))
    expected = layer(*expected_inputs, **options)
    quantize_(layer, LbaConfig(WIDE, attention=[""]))
    got = layer(*inputs, **options)
    torch.testing.assert_close(got, expected)
    got.square().sum().backward()
    expected.square().sum().backward()
    for tensor, expected_tensor in zip(inputs, expected_inputs, strict=True):
        torch.testing.assert_close(tensor.grad, expected_tensor.grad, atol=1e-5, rtol=1e-4)


def test_grouped_heads_are_repeated():
    layer, operands = Attend(), qkv(heads=4, key_heads=2)
    expected = layer(*operands, enable_gqa=True)
    quantize_(layer, LbaConfig(WIDE, attention=[""]))
    torch.testing.assert_close(layer(*operands, enable_gqa=True), expected)


def test_dropout_drops_weights_and_keeps_their_mean():
    layer = Attend()
    quantize_(layer, LbaConfig(WIDE, attention=[""]))
    query, key, _ = qkv()
    weights = functional.softmax(query @ key.mT / math.sqrt(8), -1)
    identity = torch.eye(7).expand(2, 4, 7, 7)
    torch.manual_seed(0)
    dropped = layer(query, key, identity, dropout_p=0.5)
    kept = dropped != 0
    assert 0.35 < kept.float().mean() < 0.65
    torch.testing.assert_close(dropped[kept], 2 * weights[kept])


def test_mask_and_causal_together_are_refused():
    layer = Attend()
    quantize_(layer, LbaConfig(WIDE, attention=[""]))
    with pytest.raises(ValueError, match="a?n? ?attn_mask or is_causal, got both"):
        layer(*qkv(), attn_mask=masks()["bool"], is_causal=True)


MULTIHEAD = {
    "self": ({}, {}),
    "batch_first": ({"batch_first": True}, {}),
    "no_weights": ({"batch_first": True}, {"need_weights": False}),
    "no_bias": ({"bias": False}, {}),
    "odd_heads": ({"batch_first": True}, {}),
    "bias_kv": ({"add_bias_kv": True, "add_zero_attn": True}, {}),
    "per_head": ({}, {"average_attn_weights": False}),
    "bool_mask": ({}, {"attn_mask": torch.ones(5, 5, dtype=torch.bool).triu(1)}),
    "bool_mask_no_weights": ({}, {"attn_mask": torch.ones(5, 5, dtype=torch.bool).triu(1), "need_weights": False}),
    "causal": (
        {"batch_first": True},
        {"attn_mask": torch.ones(5, 5, dtype=torch.bool).triu(1), "is_causal": True, "need_weights": False},
    ),
    "float_mask": ({}, {"attn_mask": torch.linspace(-1, 1, 25).view(5, 5)}),
    "padding": ({"batch_first": True}, {"key_padding_mask": torch.tensor([[False] * 5, [False] * 3 + [True] * 2])}),
    "padding_and_mask": (
        {"batch_first": True},
        {
            "key_padding_mask": torch.tensor([[False] * 5, [False] * 3 + [True] * 2]),
            "attn_mask": torch.ones(5, 5, dtype=torch.bool).triu(1),
            "need_weights": False,
        },
    ),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", MULTIHEAD)
def test_multihead_attention_is_torchs_at_a_wide_format(name, training):
    settings, options = MULTIHEAD[name]
    heads = 1 if name == "odd_heads" else 4
    model = torch_models.seeded(lambda: nn.MultiheadAttention(16, heads, **settings)).train(training)
    x = torch_models.sequences()
    x = x if settings.get("batch_first") else x.transpose(0, 1)
    assert_same_with_gradients(model, converted(model, attention=("",)), x, x, x, **options)


def test_cross_attention_with_other_widths_is_torchs_at_a_wide_format():
    x = torch_models.sequences()
    model = torch_models.seeded(lambda: nn.MultiheadAttention(16, 2, kdim=8, vdim=4, batch_first=True))
    assert_same_with_gradients(model, converted(model, attention=("",)), x, x[..., :8], x[..., :4])
    model = torch_models.seeded(lambda: nn.MultiheadAttention(16, 2, batch_first=True))
    memory = torch_models.sequences(length=3, seed=8)
    assert_same_with_gradients(model, converted(model, attention=("",)), x, memory, memory)


def test_multihead_attention_converts_its_projections():
    model = nn.ModuleDict({"attention": torch_models.seeded(lambda: nn.MultiheadAttention(16, 2, batch_first=True))})
    quantize_(model, LbaConfig(NARROW, attention=["attention"]))
    assert list(lba_sites(model)) == [f"attention.{site}" for site in ("in_proj", "scores", "context", "out_proj")]
    layer, x = model["attention"], torch_models.sequences()
    seen = []
    for site in lba_sites(model).values():
        site.register_forward_hook(lambda site, args, result: seen.append((site, args, result)))
    layer(x, x, x, need_weights=False)
    assert [site for site, *_ in seen] == list(lba_sites(model).values())
    _, (rows, weight, bias), result = seen[0]
    dots = lba_onnx.matmul(rows.numpy(), weight.detach().numpy().T, AccumulatorSpec.parse(NARROW))
    assert torch.equal(result, torch.from_numpy(dots) + bias)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("attention", [(), ("re:.*self_attn",)])
@pytest.mark.parametrize("with_padding", [False, True])
def test_encoder_takes_no_fast_path_around_its_sites(attention, training, with_padding):
    model = torch_models.seeded(torch_models.Encoder).train(training)
    quantize_(model, LbaConfig(NARROW, attention=attention))
    calls = []
    for name, site in lba_sites(model).items():
        site.register_forward_hook(lambda site, args, result, name=name: calls.append(name))
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2]) if with_padding else None
    with torch.no_grad():
        without = model(torch_models.sequences(), padding)
    assert sorted(calls) == sorted(lba_sites(model))
    assert torch.equal(model(torch_models.sequences(), padding), without)


def test_encoder_without_gradients_is_torchs_at_a_wide_format():
    model = torch_models.seeded(torch_models.Encoder).eval()
    twin = converted(model)
    with torch.no_grad():
        torch.testing.assert_close(twin(torch_models.sequences()), model(torch_models.sequences()))


def test_unselected_multihead_attention_stays_and_its_projection_is_explained():
    model = torch_models.seeded(torch_models.Encoder)
    quantize_(model, NARROW)
    assert not [name for name in lba_sites(model) if "self_attn" in name]
    with pytest.raises(SelectionError, match="name 'encoder.layers.0.self_attn' in attention"):
        quantize_(model, {"encoder.layers.0.self_attn.out_proj": WIDE})


class ManyProducts(nn.Module):
    """The spellings of a matrix product."""

    def forward(self, a, b):
        first = torch.bmm(a, b)
        results = [first, a @ b, a.matmul(b), a.bmm(b), torch.mm(a[0], b[0]), a[0].mm(b[0])]
        results += [torch.baddbmm(first, a, b, beta=0.5, alpha=2.0), first.baddbmm(a, b)]
        results += [torch.addmm(first[0], a[0], b[0], beta=0.5, alpha=-2.0), first[0, 0].addmm(a[0], b[0])]
        counts = torch.ones(2, 3, dtype=torch.int64)
        return [*results, counts @ counts.mT, torch.addmm(counts[:, :2], counts, counts.mT)]


def test_every_spelling_of_a_product_is_taken_in_order():
    layer = ManyProducts()
    a, b = torch_models.sequences(2, 3, 4), torch_models.sequences(2, 4, 3)
    expected = layer(a, b)
    quantize_(layer, LbaConfig(WIDE, attention=[""]))
    torch.testing.assert_close(layer(a, b), expected)
    assert list(lba_sites(layer)) == ["scores", "context", *(f"matmul_{i}" for i in range(2, 10))]
    set_specs_(layer, "M0E2b1/M0E2b1")
    rough = layer(a, b)
    assert not [i for i in range(10) if torch.equal(rough[i], expected[i])]
    assert all(torch.equal(rough[i], expected[i]) for i in (10, 11))  # integers


def test_addmm_adds_in_float32_after_the_product():
    layer = Refused(lambda a, b: torch.addmm(a[0], a, b, beta=0.5, alpha=3.0))
    quantize_(layer, LbaConfig(NARROW, attention=[""]))
    a, b = torch_models.sequences(1, 6, 7)[0], torch_models.sequences(1, 7, 7, seed=1)[0]
    dots = torch.from_numpy(lba_onnx.matmul(a.numpy(), b.numpy(), AccumulatorSpec.parse(NARROW)))
    assert torch.equal(layer(a, b), 0.5 * a[0] + 3.0 * dots)


def test_addmm_without_its_input_does_not_look_at_it():
    layer = Refused(lambda a, b: torch.addmm(torch.full((4, 4), math.nan), a, b, beta=0))
    quantize_(layer, LbaConfig(WIDE, attention=[""]))
    a, b = torch_models.sequences(1, 4, 5)[0], torch_models.sequences(1, 5, 4)[0]
    torch.testing.assert_close(layer(a, b), a @ b)


def test_later_products_take_specs_by_name_and_otherwise_the_contexts():
    layer = nn.ModuleDict({"attention": ManyProducts()})
    specs = {"*": WIDE, "attention.matmul_3": NARROW}
    quantize_(layer, LbaConfig(specs, {"attention.context": "recursive_overflow"}, attention=["attention"]))
    set_underflow_(layer, False)
    layer["attention"](torch_models.sequences(2, 3, 4), torch_models.sequences(2, 4, 3))
    sites = lba_sites(layer)
    assert str(sites["attention.matmul_2"].spec) == f"{WIDE},underflow=off"
    assert sites["attention.matmul_2"].estimator == "recursive_overflow"
    assert str(sites["attention.matmul_3"].spec) == f"{NARROW},underflow=off"
    fresh = nn.ModuleDict({"attention": ManyProducts()})
    quantize_(fresh, LbaConfig(WIDE, attention=["attention"]))
    set_specs_(fresh, {"attention.matmul_4": NARROW})
    assert str(lba_sites(fresh)["attention.matmul_4"].spec) == NARROW


class Refused(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, a, b):
        return self.function(a, b)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda a, b: torch.einsum("bij,bjk->bik", a, b), r"'attention' \(LbaRefused\): .*einsum.*write it as matmul"),
        (lambda a, b: torch.tensordot(a, b, 1), "a call of tensordot"),
        (lambda a, b: torch.addbmm(a[0] @ b[0], a, b), "a call of addbmm"),
        (lambda a, b: (a[0] @ b[0]).addbmm(a, b), "a call of addbmm"),
        (lambda a, b: (a[0] @ b[0]).addbmm_(a, b), "a call of addbmm_"),
        (lambda a, b: (a @ b).baddbmm_(a, b), "a call of baddbmm_"),
        (lambda a, b: (a[0] @ b[0]).addmm_(a[0], b[0]), "a call of addmm_"),
        (lambda a, b: torch.inner(a @ b, a @ b), "a call of inner"),
        (lambda a, b: (a @ b).inner(a @ b), "a call of inner"),
        (lambda a, b: torch.linalg.multi_dot([a[0], b[0], a[0]]), "a call of multi_dot"),
        (lambda a, b: torch.chain_matmul(a[0], b[0], a[0]), "a call of chain_matmul"),
        (lambda a, b: torch.linalg.vecdot(a @ b, a @ b), "a call of vecdot"),
        (lambda a, b: torch.mv(a[0], b[0, :, 0]), "a call of mv"),
        (lambda a, b: a[0].mv(b[0, :, 0]), "a call of mv"),
        (lambda a, b: torch.addmv(a[0, :, 0], a[0], b[0, :, 0]), "a call of addmv"),
        (lambda a, b: a[0, :, 0].addmv(a[0], b[0, :, 0]), "a call of addmv"),
        (lambda a, b: a[0, :, 0].addmv_(a[0], b[0, :, 0]), "a call of addmv_"),
        (lambda a, b: torch.dot(a[0, 0], b[0, :, 0]), "a call of dot"),
        (lambda a, b: a[0, 0].dot(b[0, :, 0]), "a call of dot"),
        (lambda a, b: torch.vdot(a[0, 0], b[0, :, 0]), "a call of vdot"),
        (lambda a, b: a[0, 0].vdot(b[0, :, 0]), "a call of vdot"),
        (lambda a, b: a + b.mT, r"'attention' \(LbaRefused\).*calls none of them"),
    ],
)
@pytest.mark.filterwarnings("ignore:torch.chain_matmul is deprecated:UserWarning")
def test_forward_whose_products_cannot_be_taken_is_refused(function, message):
    model = nn.ModuleDict({"attention": Refused(function)})
    quantize_(model, LbaConfig(WIDE, attention=["attention"]))
    with pytest.raises(ModelError, match=message):
        model["attention"](torch_models.sequences(2, 3, 4), torch_models.sequences(2, 4, 3))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failing_forward_leaves_no_mode_behind(error):
    def fail(a, b):
        torch.matmul(a, b)
        raise error("stop")

    layer = Refused(fail)
    quantize_(layer, LbaConfig("M0E2b1/M0E2b1", attention=[""]))
    a, b = torch_models.sequences(2, 3, 4), torch_models.sequences(2, 4, 3)
    expected = a @ b
    with pytest.raises(error, match="stop"):
        layer(a, b)
    assert _get_current_function_mode() is None
    assert torch.equal(a @ b, expected)


def test_products_outside_attention_modules_stay():
    model = torch_models.seeded(torch_models.Bert)
    quantize_(model, LbaConfig(NARROW, attention=["layer.0.attention.self"]))
    assert [name for name in lba_sites(model) if name.endswith(("scores", "context"))] == [
        "layer.0.attention.self.scores",
        "layer.0.attention.self.context",
    ]


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = torch_models.SelfAttention()

    def forward(self, x):
        return self.attention(x)


def test_outermost_match_counts():
    model = nn.ModuleDict({"outer_attention": torch_models.seeded(Outer)})
    expected = model["outer_attention"](torch_models.sequences())
    quantize_(model, LbaConfig(WIDE, attention=["re:.*attention.*"]))
    assert [name for name in lba_sites(model) if name.endswith(("scores", "context"))] == [
        "outer_attention.scores",
        "outer_attention.context",
    ]
    torch.testing.assert_close(model["outer_attention"](torch_models.sequences()), expected)


def test_chosen_attention_without_a_spec_is_refused_and_nothing_changes():
    model = torch_models.seeded(torch_models.Bert)
    config = LbaConfig({"layer.0.attention.self.scores": WIDE}, attention=["layer.0.attention.self"])
    with pytest.raises(SelectionError, match=r"'layer.0.attention.self'.*'layer.0.attention.self.context'"):
        quantize_(model, config)
    assert not lba_sites(model)
    with pytest.raises(SelectionError, match="expected a module whose own forward multiplies"):
        quantize_(model, LbaConfig(WIDE, attention=["layer.0.attention"]))


def test_copies_and_pickles_keep_their_sites():
    model = converted(torch_models.seeded(torch_models.Bert), NARROW)
    expected = model(torch_models.token_ids())
    twin = copy.deepcopy(model)
    set_specs_(twin, {"re:.*scores": WIDE})
    assert torch.equal(model(torch_models.token_ids()), expected)
    assert not torch.equal(twin(torch_models.token_ids()), expected)
    sent = pickle.loads(pickle.dumps(model))  # as torch.multiprocessing sends it to a process
    assert torch.equal(sent(torch_models.token_ids()), expected)


@pytest.mark.parametrize("make", [torch_models.Bert, torch_models.FusedBert, torch_models.Encoder])
def test_exported_program_has_the_products_and_the_bits(make):
    model = converted(torch_models.seeded(make), NARROW).eval()
    args = (torch_models.sequences(),) if make is torch_models.Encoder else (torch_models.token_ids(),)
    program = torch.export.export(model, args)
    targets = [str(node.target) for node in program.graph.nodes]
    assert targets.count("lba_onnx.matmul.default") == 4
    assert not [target for target in targets if target.startswith(("aten.linear", "aten.matmul", "aten.scaled_dot"))]
    assert torch.equal(program.module()(*args), model(*args))


def test_input_quantizer_reaches_both_operands():
    class Doubling(nn.Module):
        def forward(self, x):
            return 2 * x

    layer = Refused(torch.matmul)
    quantize_(layer, LbaConfig(WIDE, attention=[""], input_quantizer=Doubling))
    a, b = torch_models.sequences(2, 3, 4), torch_models.sequences(2, 4, 3)
    torch.testing.assert_close(layer(a, b), 4 * (a @ b))


class Wrapper(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x):
        return self.inner(x, x, x)[0]


def test_module_around_multihead_attention_is_left_to_it():
    model = nn.ModuleDict({"attention": Wrapper()})
    with pytest.raises(SelectionError, match="'attention' holds attention modules; name those"):
        quantize_(model, LbaConfig(WIDE, attention=["attention"]))
    quantize_(model, LbaConfig(WIDE, attention=["re:attention.*"]))
    assert next(iter(lba_sites(model))) == "attention.inner.in_proj"


def test_second_call_gives_attention_other_settings():
    model = nn.ModuleDict({"outer_attention": torch_models.seeded(Outer)})
    config = LbaConfig(WIDE, attention=["re:.*attention.*"])
    quantize_(model, config)
    sites = lba_sites(model)
    quantize_(model, LbaConfig(NARROW, "recursive_overflow", attention=["re:.*attention.*"]))
    assert lba_sites(model) == sites
    assert {(str(site.spec), site.estimator) for site in sites.values()} == {(NARROW, "recursive_overflow")}
    quantize_(model, {"outer_attention.scores": WIDE})
    assert [name for name, site in sites.items() if str(site.spec) == WIDE] == ["outer_attention.scores"]
    with pytest.raises(SelectionError, match="inside an attention module that is converted already"):
        quantize_(model, LbaConfig(WIDE, attention=["outer_attention.attention"]))


class Following(nn.Module):
    """A quantizer that remembers the largest magnitude it has seen in training."""

    def __init__(self):
        super().__init__()
        self.register_buffer("largest", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.largest.copy_(torch.fmax(self.largest, x.detach().abs().max()))
        return x


def test_each_operand_of_a_product_has_a_quantizer_of_its_own():
    model = nn.ModuleDict({"attention": ManyProducts()})
    quantize_(model, LbaConfig(WIDE, attention=["attention"], input_quantizer=Following))
    a, b = torch_models.sequences(2, 3, 4), 1000 * torch_models.sequences(2, 4, 3)
    model["attention"](a, b)
    sites = lba_sites(model)
    for name in ("scores", "context", "matmul_2"):
        site = sites[f"attention.{name}"]
        assert (site.input_quantizer.largest, site.other_quantizer.largest) == (a.abs().max(), b.abs().max())
    assert sites["attention.matmul_2"].other_quantizer is not sites["attention.context"].other_quantizer
    keys = [key for key in model.state_dict() if "scores" in key]
    assert [key.partition("scores.")[2] for key in keys] == ["input_quantizer.largest", "other_quantizer.largest"]


def test_quantizers_of_a_later_product_start_anew():
    model = nn.ModuleDict({"attention": ManyProducts()})
    quantize_(model, LbaConfig(WIDE, attention=["attention"], input_quantizer=Following))
    model["attention"](torch_models.sequences(2, 3, 4), torch_models.sequences(2, 4, 3))
    sites = lba_sites(model)
    assert sites["attention.matmul_4"].input_quantizer.largest < sites["attention.matmul_2"].input_quantizer.largest


def test_products_have_no_weight_quantizer():
    model = converted(torch_models.seeded(torch_models.Bert))
    quantize_(model, LbaConfig(WIDE, weight_quantizer=nn.Identity))
    sites = lba_sites(model)
    assert not hasattr(sites["layer.0.attention.self.scores"], "weight_quantizer")
    assert isinstance(sites["layer.0.attention.self.query"].weight_quantizer, nn.Identity)
    with pytest.raises(TypeError, match="among input_quantizer, other_quantizer, got weight_quantizer"):
        sites["layer.0.attention.self.scores"].configure(WIDE, "identity", weight_quantizer=nn.Identity())


@pytest.mark.parametrize("training", [True, False])
def test_what_conversion_adds_takes_over_the_mode(training):
    model = nn.ModuleDict({"attention": ManyProducts(), "multihead": nn.MultiheadAttention(16, 2)}).train(training)
    config = LbaConfig(WIDE, attention=["re:.*"], weight_quantizer=Following, input_quantizer=Following)
    quantize_(model, config)
    model["attention"](torch_models.sequences(2, 3, 4), torch_models.sequences(2, 4, 3))  # adds further products
    assert "attention.matmul_7" in lba_sites(model)
    assert {name for name, module in model.named_modules() if module.training is not training} == set()


def test_products_added_by_a_second_call_take_over_the_mode():
    model = nn.ModuleDict({"attention": ManyProducts()}).eval()
    quantize_(model, LbaConfig(WIDE, attention=["attention"], input_quantizer=Following))
    quantize_(model, LbaConfig({"attention.matmul_2": NARROW}, input_quantizer=Following))
    assert not any(module.training for module in model.modules())


class Checkpointing(nn.Module):
    """Attention that checkpoints its products."""

    def __init__(self, use_reentrant):
        super().__init__()
        self.use_reentrant = use_reentrant

    def forward(self, x):
        return checkpoint(self.attend, x, use_reentrant=self.use_reentrant)

    def attend(self, x):
        return torch.bmm(torch.bmm(x, x.mT).softmax(-1), x)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpointing_inside_an_attention_module_is_refused(use_reentrant):
    model = nn.ModuleDict({"attention": Checkpointing(use_reentrant)})
    quantize_(model, LbaConfig(NARROW, attention=["attention"]))
    x = torch_models.sequences().requires_grad_()
    with pytest.raises(ModelError, match=r"'attention' \(LbaCheckpointing\).*checkpoint the whole module"):
        model["attention"](x)
    with torch.no_grad():  # nothing is computed again
        model["attention"](x)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpointing_around_an_attention_module_gives_the_same_gradients(use_reentrant):
    layer = torch_models.seeded(torch_models.SelfAttention)
    quantize_(layer, LbaConfig(NARROW, "recursive_overflow", attention=[""]))
    gradients = []
    for run in (layer, lambda x: checkpoint(lambda x: layer(x), x, use_reentrant=use_reentrant)):
        x = torch_models.sequences().requires_grad_()
        run(x).square().sum().backward()
        gradients.append(x.grad)
    assert torch.equal(*gradients)

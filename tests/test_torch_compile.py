"""torch.library's checks of the operators, torch.export and torch.compile."""

import shutil
from typing import Any

import pytest

from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.estimators import ESTIMATORS

torch = pytest.importorskip("torch", reason="needs PyTorch")

from lba_onnx.torch import (  # noqa: E402
    lba_conv2d,
    lba_linear,
    lba_matmul,
    lba_scaled_dot_product_attention,
)
from lba_onnx.torch.operators import custom_ops  # noqa: E402
from lba_onnx.torch.operators import gradients as operator_gradients  # noqa: E402

pytestmark = pytest.mark.torch

SPEC = AccumulatorSpec.parse("M4E3b5,chunk=4,underflow=off")


def random(*shape: int) -> "torch.Tensor":
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), requires_grad=True)


def samples(estimator: str) -> list[tuple[Any, tuple[Any, ...]]]:
    end = (str(SPEC), estimator, "")
    window = ([2, 1], [0, 1], [1, 0], [1, 2], 2)
    return [
        (custom_ops.linear, (random(3, 9), random(4, 9), random(4), True, *end)),
        (custom_ops.linear, (random(2, 3, 9), random(4, 9), None, False, *end)),
        (custom_ops.linear, (random(9), random(4, 9), None, True, *end)),
        (custom_ops.matmul, (random(3, 9), random(9, 4), None, *end)),
        (custom_ops.matmul, (random(2, 1, 3, 9), random(5, 9, 4), random(5, 1, 4), *end)),
        (custom_ops.matmul, (random(2, 3, 9), random(9, 4), None, *end)),
        (custom_ops.conv, (random(2, 4, 6, 7), random(6, 2, 3, 2), random(6), *window, True, *end)),
        (custom_ops.conv, (random(2, 4, 6), random(3, 4, 2), None, [1], [0], [0], [1], 1, False, *end)),
    ]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("index", range(8))
def test_operators_pass_the_checks_of_torch_library(estimator: str, index: int) -> None:
    operator, arguments = samples(estimator)[index]
    torch.library.opcheck(operator, arguments)


@pytest.mark.parametrize("wants", [(True, True), (True, False), (False, True)])
def test_gradient_operators_pass_the_checks_of_torch_library(wants: tuple[bool, bool]) -> None:
    a, b, grad = (random(*shape).detach() for shape in ((2, 1, 3, 9), (5, 9, 4), (2, 5, 3, 4)))
    end = (str(SPEC), "recursive_overflow", "")
    initial = random(5, 1, 4).detach() if wants[0] else None
    torch.library.opcheck(operator_gradients.matmul_gradients, (grad, a, b, initial, *wants, *end))
    x, w, grad = (random(*shape).detach() for shape in ((2, 4, 6), (3, 4, 2), (2, 3, 5)))
    start = random(3).detach() if wants[1] else None
    torch.library.opcheck(operator_gradients.conv_gradients, (grad, x, w, start, *wants, [1], [0], [0], [1], 1, *end))


class Model(torch.nn.Module):
    """A convolution, a linear layer, attention over the positions and a product of computed matrices."""

    def __init__(self, estimator: str = "identity", spec: AccumulatorSpec = SPEC) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kernel = torch.nn.Parameter(torch.randn(8, 2, 3, 2))
        self.bias = torch.nn.Parameter(torch.randn(8))
        self.weight = torch.nn.Parameter(torch.randn(6, 8))
        self.estimator, self.spec = estimator, spec

    def forward(self, x: "torch.Tensor") -> "torch.Tensor":
        settings = {"spec": self.spec, "estimator": self.estimator}
        hidden = lba_conv2d(x, self.kernel, self.bias, padding="same", **settings).relu().flatten(2).mT
        hidden = lba_linear(hidden, self.weight, **settings)
        hidden = lba_scaled_dot_product_attention(hidden, hidden, hidden, **settings)
        return lba_matmul(hidden.mT, hidden, **settings)


def gradients(function: Any, model: Model, x: "torch.Tensor") -> list["torch.Tensor"]:
    model.zero_grad()
    y = function(x)
    y.backward(torch.ones_like(y).cumsum(-1))
    return [y.detach(), *(parameter.grad for parameter in model.parameters())]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_compiled_model_gives_the_same_bits_and_gradients(estimator: str) -> None:
    model, x = Model(estimator), random(2, 2, 5, 4).detach()
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for one, two in zip(gradients(compiled, model, x), gradients(model, model, x), strict=True):
        assert torch.equal(one, two)


def test_compiled_model_follows_a_change_of_spec() -> None:
    model, x = Model(), random(2, 2, 5, 4).detach()
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    before = compiled(x)
    model.spec = AccumulatorSpec.parse("M7E4b8")
    assert torch.equal(compiled(x), model(x)) and not torch.equal(model(x), before)


@pytest.mark.parametrize("strict", [False, True])
def test_exported_model_takes_any_batch(strict: bool) -> None:
    model = Model()
    dynamic = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(model, (random(2, 2, 5, 4).detach(),), dynamic_shapes=dynamic, strict=strict)
    names = [str(node.target) for node in program.graph.nodes if "lba_onnx" in str(node.target)]
    assert names == [f"lba_onnx.{name}.default" for name in ("conv", "linear", "matmul", "matmul", "matmul")]
    for batch in (1, 2, 7):
        x = random(batch, 2, 5, 4).detach()
        assert torch.equal(program.module()(x), model(x))


def test_exported_model_takes_images_of_any_size() -> None:
    model, any_size = Model(), {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    program = torch.export.export(model, (random(2, 2, 5, 4).detach(),), dynamic_shapes=(any_size,))
    for shape in ((2, 2, 5, 4), (3, 2, 9, 8)):
        x = random(*shape).detach()
        assert torch.equal(program.module()(x), model(x))


def test_tracing_refuses_what_running_refuses() -> None:
    class Wrong(torch.nn.Module):
        def forward(self, x: "torch.Tensor", w: "torch.Tensor") -> "torch.Tensor":
            return lba_linear(x, w, spec=SPEC)

    with pytest.raises(TypeError, match=r"expected weight to be torch.float32, got torch.float64"):
        torch.export.export(Wrong(), (random(3, 4).detach(), random(5, 4).detach().double()), strict=False)
    with pytest.raises(ValueError, match=r"got shapes \(3, 4\) and \(5, 6\)"):
        torch.export.export(Wrong(), (random(3, 4).detach(), random(5, 6).detach()), strict=False)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, while it loads inductor
def test_inductor_gives_the_same_bits_and_gradients() -> None:
    def layers(x: "torch.Tensor", kernel: "torch.Tensor", w: "torch.Tensor") -> "torch.Tensor":
        settings = {"spec": SPEC, "estimator": "recursive_overflow"}
        return lba_linear(lba_conv2d(x, kernel, **settings).relu().flatten(1), w, **settings)

    torch._dynamo.reset()
    results = []
    for function in (torch.compile(layers, fullgraph=True), layers):
        leaves = [random(2, 2, 5, 4), random(3, 2, 2, 2), random(6, 36)]
        y = function(*leaves)
        y.sum().backward()
        results.append([y.detach(), *(leaf.grad for leaf in leaves)])
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))

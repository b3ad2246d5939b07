"""Training with low-bit accumulators, in PyTorch: layers against the kernel alone, steps against float32, and a loop.

The forward pass of a layer is held against the kernel on the same arrays, a step of the optimizer on a small network
against the same step in float32, and a product with its gradients against a PyTorch loop over k with fake
quantization (benchmarks/torch_loop.py). Before anything is timed, outputs are compared with lba_onnx.reference, and
gradients with lba_onnx.reference.gradients.
"""

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import torch_loop
from benchmarks.checks import CheckFailed
from benchmarks.harness import Column, Effort, Row, measure, median_ratio, parse_arguments, progress, report
from benchmarks.training_checks import check_gradients, check_layers
from lba_onnx import AccumulatorSpec, native
from lba_onnx.estimators import DEFAULT_ESTIMATOR, ESTIMATORS
from lba_onnx.torch import LbaConfig, lba_matmul, quantize_
from models.demo.network import FashionCnn

FLOAT32, CHANNELS_LAST = "float32", "float32, channels last"
PARTS = ("layers", "steps", "loop")
SPECS = ("M7E4b12/M7E4b10", "M4E3b9/M4E3b7")
CLASSES = 10
LAYER_TARGET = 1.1  # times the kernel's time
STEP_TARGETS = {estimator: 12.0 for estimator in ESTIMATORS} | {DEFAULT_ESTIMATOR: 5.0}  # times the float32 step
LOOP_TARGET = 30.0  # times faster than the loop
LOOP_DIFFERING = 0.01  # of the loop's results may be a unit in the last place off: it rounds to nearest first
LOOP_EFFORT = Effort(rounds=5)
COLUMNS = (
    Column("part", "part"),
    Column("subject", "subject"),
    Column("spec", "spec"),
    Column("what", "what"),
    Column("ms", "ms", ".3g"),
    Column("ratio", "ratio", ".2f"),
    Column("of", "of"),
    Column("target", "target", ".1f"),
)


@dataclass(frozen=True)
class Subject:
    """A layer or a network, and the shape of its input.

    Attributes:
        make: Builds it.
        input_shape: [batch, ...].
    """

    make: Callable[[], nn.Module]
    input_shape: tuple[int, ...]


def make_mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    pairs = [(nn.Linear(inputs, outputs), nn.ReLU()) for inputs, outputs in itertools.pairwise(sizes)]
    return nn.Sequential(*[module for pair in pairs for module in pair][:-1])


LAYERS = {
    "Linear 512-512, 512 rows": Subject(partial(nn.Linear, 512, 512), (512, 512)),
    "Linear 784-256, 50 rows": Subject(partial(nn.Linear, 784, 256), (50, 784)),
    "Conv2d 32-32, 3x3, 32 of 14x14": Subject(partial(nn.Conv2d, 32, 32, 3, padding=1), (32, 32, 14, 14)),
    "Conv2d 64-64, 1x1, 8 of 28x28": Subject(partial(nn.Conv2d, 64, 64, 1), (8, 64, 28, 28)),
}
NETWORKS = {
    "MLP 784-256-256-10, batch 50": Subject(partial(make_mlp, 784, 256, 256, CLASSES), (50, 784)),
    "MLP 784-512-512-512-10, batch 128": Subject(partial(make_mlp, 784, 512, 512, 512, CLASSES), (128, 784)),
    "FashionCnn, batch 32": Subject(FashionCnn, (32, 1, 28, 28)),
}


def main() -> None:
    """Measure what the command line asks for."""
    arguments = parse_arguments(__doc__, _add_options)
    torch.set_num_threads(arguments.threads)
    effort = Effort(arguments.rounds, arguments.sample_seconds)
    specs = [AccumulatorSpec.parse(text) for text in arguments.specs]
    parts: dict[str, list[partial[list[Row]]]] = {
        "layers": [partial(run_layer, name, spec, effort) for name in LAYERS for spec in specs],
        "steps": [partial(run_steps, name, spec, effort) for name in NETWORKS for spec in specs],
        "loop": [partial(run_loop, arguments.loop_size, spec) for spec in specs],
    }
    functions = [function for part in arguments.parts for function in parts[part]]
    rows = [row for function in progress(functions, _function_name) for row in function()]
    report("training", arguments, rows, COLUMNS)


def _function_name(function: "partial[list[Row]]") -> str:
    return " ".join([function.func.__name__.removeprefix("run_"), *(str(value) for value in function.args[:2])])


def run_layer(name: str, spec: AccumulatorSpec, effort: Effort) -> list[Row]:
    """Time the forward pass of a layer, recorded by autograd as in training, and the kernel on the same arrays."""
    torch.manual_seed(0)
    module = LAYERS[name].make()
    quantize_(module, LbaConfig(spec))
    x = torch.randn(LAYERS[name].input_shape)
    check_layers(module, x)
    seconds = measure([lambda: module(x), kernel_of(module, x, spec)], effort)
    row = {"part": "layers", "subject": name, "spec": str(spec), "what": "forward", "ms": 1e3 * median(seconds[0])}
    return [{**row, "ratio": median_ratio(*seconds), "of": "kernel", "target": LAYER_TARGET}]


def kernel_of(module: nn.Module, x: Tensor, spec: AccumulatorSpec) -> Callable[[], object]:
    """The native function that a layer calls, on its arrays, without the bias."""
    weight, threads = module.weight.detach().numpy(), torch.get_num_threads()
    if isinstance(module, nn.Linear):
        return partial(native.matmul, x.numpy()[np.newaxis], weight.T[np.newaxis], spec, threads)
    geometry = native.ConvGeometry(module.stride, module.dilation, module.padding, module.padding, module.groups)
    return partial(native.conv, x.numpy(), weight, spec, geometry, tuple(module(x).shape), threads)


def run_steps(name: str, spec: AccumulatorSpec, effort: Effort) -> list[Row]:
    """Time a step of a network in float32 and with every estimator; they take turns."""
    subject = NETWORKS[name]
    steps = {FLOAT32: make_step(subject, None)}
    if len(subject.input_shape) == 4:
        steps[CHANNELS_LAST] = make_step(subject, None, torch.channels_last)
    for estimator in ESTIMATORS:
        steps[estimator] = make_step(subject, LbaConfig(spec, estimator))
    seconds = dict(zip(steps, measure(list(steps.values()), effort), strict=True))
    row = {"part": "steps", "subject": name, "spec": str(spec), "of": FLOAT32}
    return [
        {
            **row,
            "what": what,
            "ms": 1e3 * median(taken),
            "ratio": median_ratio(taken, seconds[FLOAT32]),
            "target": STEP_TARGETS.get(what),
        }
        for what, taken in seconds.items()
    ]


def make_step(
    subject: Subject, config: LbaConfig | None, memory_format: torch.memory_format = torch.contiguous_format
) -> Callable[[], object]:
    """A function that makes one step: forward, loss, backward, Adam with a rate of 0, so that all steps are alike."""
    torch.manual_seed(0)
    network, x = subject.make(), torch.randn(subject.input_shape)
    if config is not None:
        quantize_(network, config)
        check_layers(network, x)
    network, x = network.to(memory_format=memory_format), x.contiguous(memory_format=memory_format)
    labels = torch.arange(len(x)) % CLASSES
    optimizer = torch.optim.Adam(network.parameters(), lr=0.0)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), labels).backward()
        optimizer.step()

    return step


def run_loop(size: int, spec: AccumulatorSpec) -> list[Row]:
    """Time a square product and its gradients against the loop over k, whose gradients are those of "identity"."""
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, size, generator=rng, requires_grad=True) for _ in range(2))
    functions = {"loop": partial(torch_loop.matmul, a, b, spec)}
    for estimator in ESTIMATORS:
        check_gradients(spec, estimator)
        functions[estimator] = partial(lba_matmul, a, b, spec=spec, estimator=estimator)
    check_loop(functions["loop"](), functions["identity"]())
    rows = []
    for what, names, wrap in (("forward", ["loop", "identity"], without_graph), ("with gradients", [*functions], both)):
        seconds = dict(zip(names, measure([wrap(functions[name]) for name in names], LOOP_EFFORT), strict=True))
        rows += [
            {
                "part": "loop",
                "subject": f"{size}x{size}x{size}",
                "spec": str(spec),
                "what": what if name == "loop" else f"{what}, {name}",
                "ms": 1e3 * median(taken),
                "ratio": median_ratio(seconds["loop"], taken),
                "of": "times faster than the loop",
                "target": None if name == "loop" else LOOP_TARGET,
            }
            for name, taken in seconds.items()
        ]
    return rows


def check_loop(loop: Tensor, kernel: Tensor) -> None:
    """Raise CheckFailed unless the loop computes the same, but for its rounding."""
    differing = float((loop != kernel).double().mean())
    if differing > LOOP_DIFFERING:
        raise CheckFailed(f"the loop: {differing:.1%} of its values differ, expected at most {LOOP_DIFFERING:.0%}")


def without_graph(function: Callable[[], Tensor]) -> Callable[[], object]:
    """The forward pass alone."""

    def run() -> None:
        with torch.no_grad():
            function()

    return run


def both(function: Callable[[], Tensor]) -> Callable[[], object]:
    """The forward pass and the gradients of its sum."""
    return lambda: function().sum().backward()


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--specs", nargs="+", default=list(SPECS), help="arithmetic of every layer")
    parser.add_argument("--loop_size", type=int, default=256, help="rows, depth and columns of the loop's product")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch and of the kernels")


if __name__ == "__main__":
    main()

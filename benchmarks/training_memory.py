"""Peak memory of a process that makes training steps with one layer: float32 against each estimator.

Each measurement has a process of its own. The masks of an estimator would take a bit for every product of the layer if
they were stored; that size stands beside.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from benchmarks.harness import Column, Row, parse_arguments, progress, report
from benchmarks.memory import MEGABYTE, peak_bytes
from lba_onnx.estimators import ESTIMATORS
from lba_onnx.torch import LbaConfig, quantize_

FLOAT32 = "float32"
LAYERS = {
    "Linear 2048-2048, 1024 rows": (nn.Linear, (2048, 2048), (1024, 2048)),
    "Conv2d 64-64, 3x3, 64 of 28x28": (nn.Conv2d, (64, 64, 3), (64, 64, 28, 28)),
}
STEPS = 2
COLUMNS = (
    Column("layer", "layer"),
    Column("what", "what"),
    Column("peak_mb", "peak MB", ".0f"),
    Column("extra_mb", "above float32 MB", ".0f"),
    Column("masks_mb", "masks, if stored, MB", ".0f"),
)


def main() -> None:
    """Measure what the command line asks for; with --layer, only that one, in this process."""
    arguments = parse_arguments(__doc__, _add_options)
    torch.set_num_threads(arguments.threads)
    if arguments.layer is not None:
        make_steps(arguments.layer, arguments.what, arguments.spec)
        print(json.dumps({"peak_bytes": peak_bytes()}))
        return
    rows = [row for layer in progress(list(LAYERS)) for row in run_layer(layer, arguments)]
    report("training_memory", arguments, rows, COLUMNS)


def run_layer(layer: str, arguments: argparse.Namespace) -> list[Row]:
    """Measure one layer in float32 and by every estimator."""
    peaks = {what: _measure_process(layer, what, arguments) / MEGABYTE for what in (FLOAT32, *ESTIMATORS)}
    masks_mb = count_products(layer) / 8 / MEGABYTE
    return [
        {"layer": layer, "what": what, "peak_mb": peak, "extra_mb": peak - peaks[FLOAT32], "masks_mb": masks_mb}
        for what, peak in peaks.items()
    ]


def make_steps(layer: str, what: str, spec: str) -> None:
    """Make a few steps of the layer, with gradients of its weights and of its input."""
    make, sizes, input_shape = LAYERS[layer]
    module = make(*sizes)
    if what != FLOAT32:
        quantize_(module, LbaConfig(spec, what))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    for _ in range(STEPS):
        x = torch.randn(input_shape, requires_grad=True)
        optimizer.zero_grad()
        module(x).square().mean().backward()
        optimizer.step()


def count_products(layer: str) -> int:
    """Products of the layer's forward pass."""
    make, sizes, input_shape = LAYERS[layer]
    module = make(*sizes)
    outputs: int = module(torch.empty(input_shape)).numel()
    return outputs * module.weight[0].numel()


def _measure_process(layer: str, what: str, arguments: argparse.Namespace) -> float:
    command = [sys.executable, "-m", "benchmarks.training_memory", "--layer", layer, "--what", what]
    command += ["--spec", arguments.spec, "--threads", str(arguments.threads)]
    output = subprocess.run(command, cwd=Path(__file__).parents[1], check=True, capture_output=True).stdout
    return float(json.loads(output)["peak_bytes"])


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", default="M4E3b9/M4E3b7", help="of the layer")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch and of the kernels")
    parser.add_argument("--layer", choices=LAYERS, help="measure only this layer, in this process")
    parser.add_argument("--what", choices=(FLOAT32, *ESTIMATORS), default=FLOAT32, help="how the layer is trained")


if __name__ == "__main__":
    main()

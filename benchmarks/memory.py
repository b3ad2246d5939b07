"""Peak memory of a process that opens a session and runs it once: float32 model against converted model.

Each measurement has a process of its own. The limit is the float32 process plus twice the weights plus 64 MB.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import lba_onnx
from benchmarks.harness import Column, Row, parse_arguments, progress, report
from benchmarks.node_checks import check_nodes
from benchmarks.nodes import open_session
from lba_onnx.arithmetic import AccumulatorSpec

MEGABYTE = 1e6
ALLOWANCE_MB = 64.0
COLUMNS = (
    Column("model", "model"),
    Column("threads", "threads", "d"),
    Column("weights_mb", "weights MB", ".0f"),
    Column("float32_mb", "float32 MB", ".0f"),
    Column("lba_mb", "LBA MB", ".0f"),
    Column("limit_mb", "limit MB", ".0f"),
    Column("extra_weights", "extra / weights", ".2f"),
)


@dataclass(frozen=True)
class Subject:
    """A model to measure.

    Attributes:
        name: Its name in the table.
        build: Returns it.
    """

    name: str
    build: Callable[[], onnx.ModelProto]


def main() -> None:
    """Measure what the command line asks for; with --session_path, only that session, in this process."""
    arguments = parse_arguments(__doc__, _add_options)
    if arguments.session_path is not None:
        run_once(arguments.session_path, arguments.threads)
        print(json.dumps({"peak_bytes": peak_bytes()}))
        return
    subjects = [_subject(name, arguments.chain) for name in arguments.models]
    spec = AccumulatorSpec.parse(arguments.spec)
    rows = [run_subject(subject, spec, arguments) for subject in progress(subjects, lambda subject: subject.name)]
    report("memory", arguments, rows, COLUMNS)


def run_subject(subject: Subject, spec: AccumulatorSpec, arguments: argparse.Namespace) -> Row:
    """Build, convert, check and measure one model."""
    with tempfile.TemporaryDirectory() as folder:
        float32_path, lba_path = (Path(folder) / name for name in ("float32.onnx", "lba.onnx"))
        model = subject.build()
        onnx.save(model, float32_path)
        converted, _ = lba_onnx.convert(float32_path, spec, model_output=lba_path)
        check_nodes(converted, make_feeds(converted))
        weights_mb = sum(numpy_helper.to_array(tensor).nbytes for tensor in model.graph.initializer) / MEGABYTE
        measure = partial(_measure_process, threads=arguments.threads, processes=arguments.processes)
        float32_mb, lba_mb = (measure(path) / MEGABYTE for path in (float32_path, lba_path))
    return {
        "model": subject.name,
        "threads": arguments.threads,
        "weights_mb": weights_mb,
        "float32_mb": float32_mb,
        "lba_mb": lba_mb,
        "limit_mb": float32_mb + 2 * weights_mb + ALLOWANCE_MB,
        "extra_weights": (lba_mb - float32_mb) / weights_mb,
    }


def run_once(path: Path, threads: int) -> None:
    """Open a session and run it once."""
    session = open_session(str(path), threads)
    rng = np.random.default_rng(0)
    session.run(None, {x.name: _draw(rng, x.shape) for x in session.get_inputs()})


def peak_bytes() -> int:
    """The most memory that this process has had resident."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    # On Linux ru_maxrss of a started program begins with the memory of the process that started it; VmHWM does not.
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def make_feeds(model: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """Normal values for every input; open dimensions are 1."""
    rng = np.random.default_rng(0)
    dims = {x.name: [dim.dim_value or 1 for dim in x.type.tensor_type.shape.dim] for x in model.graph.input}
    return {name: _draw(rng, shape) for name, shape in dims.items()}


def build_chain(count: int, side: int) -> onnx.ModelProto:
    """A chain of `count` MatMuls with weights [side, side], a Relu after each."""
    rng = np.random.default_rng(0)
    scale = np.float32((2 / side) ** 0.5)
    weights = [rng.standard_normal((side, side), np.float32) * scale for _ in range(count)]
    nodes = list(_chain_nodes(count))
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, side]) for name in ("x0", f"x{count}")]
    initializers = [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)]
    graph = helper.make_graph(nodes, "chain", infos[:1], infos[1:], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _chain_nodes(count: int) -> Iterator[onnx.NodeProto]:
    for i in range(count):
        yield helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"y{i}"], f"matmul{i}")
        yield helper.make_node("Relu", [f"y{i}"], [f"x{i + 1}"], f"relu{i}")


def _draw(rng: np.random.Generator, shape: list[Any]) -> NDArray[np.float32]:
    return rng.standard_normal([size if isinstance(size, int) else 1 for size in shape], np.float32)


def _measure_process(path: Path, threads: int, processes: int) -> float:
    """The median of the peaks of some processes."""
    command = [sys.executable, "-m", "benchmarks.memory", "--session_path", str(path), "--threads", str(threads)]
    root = Path(__file__).parents[1]
    outputs = [subprocess.run(command, cwd=root, check=True, capture_output=True).stdout for _ in range(processes)]
    return float(np.median([json.loads(output)["peak_bytes"] for output in outputs]))


def _subject(name: str, chain: list[int]) -> Subject:
    if name == "mobilenet_v2":
        from models.mobilenet_v2.build import build_model

        return Subject(name, build_model)
    count, side = chain
    return Subject(f"{count} MatMul {side}x{side}", partial(build_chain, count, side))


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", nargs="+", choices=["mobilenet_v2", "chain"], default=["mobilenet_v2", "chain"])
    parser.add_argument("--chain", nargs=2, type=int, metavar=("COUNT", "SIDE"), default=[6, 4096], help="MatMul chain")
    parser.add_argument("--spec", default="M7E4b10", help="for all nodes")
    parser.add_argument("--threads", type=int, default=1, help="of the session")
    parser.add_argument("--processes", type=int, default=3, help="measured for each model")
    parser.add_argument("--session_path", type=Path, help="measure only this model, in this process")


if __name__ == "__main__":
    main()

"""How many products each node multiplies and adds in a run on data: onnxruntime tells the shapes of each execution.

    copy of the model, nodes numbered -> session that keeps a profile -> one sample -> events
    {"name": "macs_12__kernel_time", "args": {"op_name": "Conv", "input_type_shape": [{"float": [1, 3, 8, 8]}, ...]}}

Loops, branches and functions count as they ran. What onnxruntime does not tell is inferred from what is fed.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from lba_onnx.data.batches import Batch
from lba_onnx.data.execution import Execution as Running
from lba_onnx.data.execution import run_batch
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.data.reading import read_samples
from lba_onnx.data.samples import Samples
from lba_onnx.files.leftovers import scratch_folder
from lba_onnx.rewrite.candidates import Candidate, find_candidates
from lba_onnx.rewrite.lowering import lower_model
from lba_onnx.rewrite.macs import Execution, as_replaced, count, infer_macs
from lba_onnx.rewrite.model_files import ModelSource, open_model
from lba_onnx.rewrite.model_writer import runnable
from lba_onnx.rewrite.scopes import walk_scopes
from lba_onnx.rewrite.selection import Selection
from lba_onnx.session import make_session

if TYPE_CHECKING:
    import onnxruntime

_MOST_EVENTS = 1_000_000  # of which onnxruntime keeps no more
_NUMBERED = re.compile(r"macs_(\d+)__")


@dataclass(frozen=True)
class CountedRun:
    """What is counted in a run.

    Attributes:
        macs: How many products are multiplied and added, by the ledger's names; None where nothing tells.
        fed: The shapes of the inputs.
    """

    macs: Mapping[str, int | None]
    fed: Mapping[str, tuple[int, ...]]


def count_macs(
    model: ModelSource, data: Any, execution: Running = Running(), selection: Selection = Selection()
) -> dict[str, int | None]:
    """Return how many products each product of the ledger multiplies and adds in a run on the first sample.

    Args:
        model: Path, bytes or ModelProto; a path for one with external data.
        data: `Samples`, or plain data in any form that they take; the first sample is read.
        execution: How the model runs.
        selection: Whose `accumulate` says what is counted beside what always is.

    Returns:
        By the ledger's names; None where neither the run nor shapes tell.

    Raises:
        DataError, ModelError: As in `count_run`.
    """
    return dict(count_run(model, data, execution, selection).macs)


def count_run(
    model: ModelSource, data: Any, execution: Running = Running(), selection: Selection = Selection()
) -> CountedRun:
    """Return what is counted in a run on the first sample, and what was fed.

    Args:
        model: As in `count_macs`.
        data: Likewise.
        execution: Likewise.
        selection: Likewise.

    Raises:
        DataError: The data cannot be read, do not fit the model's inputs, or the model does not run on them.
        ModelError: The model cannot be read, or onnxruntime rejects it.
    """
    opened = open_model(model)
    lowering = lower_model(opened.proto, opened.path, selection.accumulate)
    candidates = find_candidates(opened.proto, opened.path, lowering)
    names = [candidate.name for candidate in candidates]
    nodes = list({id(candidate.site.node): candidate.site.node for candidate in candidates}.values())
    _number(opened.proto, nodes)
    with scratch_folder() as folder, runnable(opened) as source:
        session = make_session(source, _profiling_options(folder), execution.providers)
        samples = replace(Samples.of(data), batch_size=1)
        batch = next(iter(read_samples(samples, describe_inputs(session))))
        run_batch(session, batch, [])
        events = _read_events(Path(session.end_profiling()))
    numbers = {id(node): number for number, node in enumerate(nodes)}
    found = [None if events is None else _executed(c, events.get(numbers[id(c.site.node)], ())) for c in candidates]
    if None in found:
        inferred = _inferred(opened.proto, candidates, batch)
        found = [told if told is not None else other for told, other in zip(found, inferred, strict=True)]
    return CountedRun(dict(zip(names, found, strict=True)), _fed_shapes(batch))


def _number(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Call nodes by their numbers, and all others nothing: a profile does not escape what is in names."""
    for scope in walk_scopes(model):
        for node in scope.body.node:
            node.name = ""
    for number, node in enumerate(nodes):
        node.name = f"macs_{number}__"


def _profiling_options(folder: Path) -> "onnxruntime.SessionOptions":
    """Return options of a session that runs nodes as they are, and keeps a profile."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    options.add_session_config_entry("session.disable_prepacking", "1")  # packed weights have no shape
    return options


def _read_events(path: Path) -> dict[int, list[Mapping[str, Any]]] | None:
    """Return what a profile tells of the executions of each numbered node; None where it cannot be read in full."""
    try:
        profile = json.loads(path.read_text(errors="replace"))
    except ValueError:
        return None
    events: dict[int, list[Mapping[str, Any]]] = {}
    for event in profile:
        number = _NUMBERED.search(event.get("name", ""))
        if number and event["name"].endswith("_kernel_time"):
            events.setdefault(int(number[1]), []).append(event["args"])
    return events if len(profile) < _MOST_EVENTS else None


def _executed(candidate: Candidate, events: Sequence[Mapping[str, Any]]) -> int | None:
    """Return how many products all executions of a node take; None where some event does not tell."""
    counts = [_count(candidate, event) for event in events]
    known = [number for number in counts if number is not None]
    return sum(known) if len(known) == len(counts) else None


def _count(candidate: Candidate, event: Mapping[str, Any]) -> int | None:
    node = candidate.site.node
    inputs = _aligned(node.input, event.get("input_type_shape", ()))
    outputs = _aligned(node.output, event.get("output_type_shape", ()))
    if event.get("op_name") != node.op_type or inputs is None or outputs is None:
        return None
    shapes, replaced = dict(zip(node.input, inputs, strict=True)), as_replaced(node)
    in_order = [shapes[name] if name else None for name in replaced.input]
    return count(Execution.of(replaced, in_order, outputs, candidate.site.attributes()), candidate.product)


def _aligned(names: Sequence[str], shapes: Sequence[Mapping[str, list[int]]]) -> list[tuple[int, ...] | None] | None:
    """Return the shape of each value of a node; the profile has those that are there, in order."""
    if len(shapes) != sum(map(bool, names)):
        return None
    present = iter(shapes)
    return [tuple(*next(present).values()) if name else None for name in names]


def _inferred(model: onnx.ModelProto, candidates: Sequence[Candidate], batch: Batch) -> list[int | None]:
    try:
        return infer_macs(model, candidates, _fed_shapes(batch))
    except ValueError:  # one name of an axis for two sizes, which onnxruntime takes
        return [None] * len(candidates)


def _fed_shapes(batch: Batch) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in batch.feeds.items() if isinstance(array, np.ndarray)}

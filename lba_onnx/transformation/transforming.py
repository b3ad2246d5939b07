"""Transforms float32 models: finds, applies, verifies, and keeps what is equal.

model --> copy --> find, apply --> run both on samples --> equal: go on with the copy, else with the model
"""

import json
import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import onnx

from lba_onnx.data.execution import Execution
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.data.repeatable import repeatable
from lba_onnx.data.samples import Samples
from lba_onnx.data.sources import data_inputs
from lba_onnx.files.outputs import check_outputs
from lba_onnx.rewrite.conversion import deliver
from lba_onnx.rewrite.model_file import ModelFile
from lba_onnx.rewrite.model_files import ModelSource, OpenModel, external_tensors, open_model
from lba_onnx.rewrite.model_inputs import model_inputs
from lba_onnx.rewrite.model_writer import runnable
from lba_onnx.rewrite.provenance import read_json_entry, set_metadata
from lba_onnx.session import make_session
from lba_onnx.transformation.channel_ranges import channel_ranges
from lba_onnx.transformation.graph import ModelGraph, check_float32
from lba_onnx.transformation.registry import TRANSFORMATIONS, load
from lba_onnx.transformation.report import TransformationEntry, TransformationReport
from lba_onnx.transformation.transformation import Found, Transformation
from lba_onnx.transformation.verification import verify

if TYPE_CHECKING:
    import onnxruntime

_LOG = logging.getLogger(__name__)
_MAX_SAMPLES = 16
METADATA_KEY = "lba_onnx.transformations"
"""The entry of metadata_props that says which transformations a model has: a JSON object, {"done": ["rotation"]}."""


def transform(
    model: ModelSource,
    data: Any,
    transformations: Sequence[str] | None = None,
    *,
    execution: Execution = Execution(),
    model_output: str | os.PathLike[str] | None = None,
) -> tuple[onnx.ModelProto, TransformationReport]:
    """Change a float32 model's weights so that it suits low-bit accumulators better, and computes the same.

    Each transformation is applied to a copy, and kept where the outputs on samples are those of the model before it,
    but for rounding.

    Args:
        model: A path, the bytes of a file, or a ModelProto, which is not changed. A path for one with external data.
        data: `Samples`, or plain data in any form that they take; 16 samples are looked at where nothing says how many.
        transformations: Their names, out of `TRANSFORMATIONS`, in the order in which they are applied; None for all.
        execution: How models run.
        model_output: A file to write the result to, all of it or nothing; a `ModelFile` says where the weights go. By
            default external data stays external.

    Returns:
        The model, as `convert` returns it, and what was done, what was left, and why.

    Raises:
        DataError: The data cannot be read or do not fit the model's inputs.
        FileNotFoundError: The model's file or the output's folder does not exist.
        ModelError: The model cannot be read or written, or has been converted.
        OutputError: model_output is one of the files that are read.
        TypeError: An argument has the wrong type.
        ValueError: There is no such transformation, or one is named twice.
    """
    check_outputs({"transformed model": model_output}, chain(model_inputs(model), data_inputs(data)))
    chosen = _chosen(tuple(TRANSFORMATIONS) if transformations is None else transformations)
    samples = Samples.of(data).up_to(_MAX_SAMPLES)
    opened = open_model(model)
    check_float32(opened.proto)
    with ExitStack() as stack:
        current = _Current.start(model, opened, execution, stack)
        inputs = describe_inputs(current.session)
        samples = replace(samples, data=stack.enter_context(repeatable(samples.data, inputs, samples.max_samples)))
        entries = []
        for transformation in chosen:
            current, entry = current.after(transformation, samples)
            entries.append(entry)
            _LOG.info("%s", entry)
    report = TransformationReport(tuple(entries))
    opened = current.opened
    _write_metadata(opened.proto, report)
    return deliver(opened, _output(opened, model_output)), report


def find(model: ModelSource, transformation: str) -> Found:
    """Return what a transformation finds in a model, without changing it.

    Raises:
        ModelError: The model cannot be read.
        ValueError: There is no such transformation.
    """
    return load(transformation).find(ModelGraph(open_model(model)))


def _chosen(names: Sequence[str]) -> list[Transformation]:
    if isinstance(names, str):
        raise TypeError(f"expected transformations as a sequence of names, got {names!r}")
    twice = next((name for name in names if list(names).count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"expected each transformation once, got {twice!r} {list(names).count(twice)} times")
    return [load(name) for name in names]


@dataclass(frozen=True)
class _Current:
    """A model with what has been done to it, and a session of it, which the next step is verified with.

    Attributes:
        opened: The model.
        session: Its session.
        execution: How models run.
        stack: Holds the temporary files of sessions.
    """

    opened: OpenModel
    session: "onnxruntime.InferenceSession"
    execution: Execution
    stack: ExitStack

    @classmethod
    def start(cls, source: ModelSource, opened: OpenModel, execution: Execution, stack: ExitStack) -> "_Current":
        """Return the model as it came."""
        return cls(opened, make_session(source, providers=execution.providers), execution, stack)

    def after(self, transformation: Transformation, samples: Samples) -> "tuple[_Current, TransformationEntry]":
        """Return the model transformed where that is equal, and else as it is; and what was found."""
        graph = ModelGraph(_copy(self.opened))
        found = transformation.find(graph)
        places = tuple(str(place) for place in found.places)
        if not places:
            return self, TransformationEntry(transformation.name, False, places, found.refusals, None)
        axes = transformation.channels(found.places)
        ranges = channel_ranges(self.opened, axes, samples, self.execution) if axes else {}
        transformation.apply(graph, found.places, ranges)
        graph.finish()
        changed = self._with(graph.opened)
        tolerance, progress = transformation.tolerance, self.execution.progress
        verification = verify(self.session, changed.session, samples, tolerance, progress)
        is_equal = verification.is_equal
        entry = TransformationEntry(transformation.name, is_equal, places, found.refusals, verification)
        return (changed if is_equal else self), entry

    def _with(self, opened: OpenModel) -> "_Current":
        source = self.stack.enter_context(runnable(opened))
        return replace(self, opened=opened, session=make_session(source, providers=self.execution.providers))


def _copy(opened: OpenModel) -> OpenModel:
    copy = OpenModel(onnx.ModelProto(), opened.path)
    copy.proto.CopyFrom(opened.proto)
    return copy


def _write_metadata(model: onnx.ModelProto, report: TransformationReport) -> None:
    """Add what was done to what a model says has been done to it."""
    before = read_json_entry(model, METADATA_KEY).get("done", [])
    set_metadata(model, METADATA_KEY, json.dumps({"done": [*before, *report.done]}))


def _output(opened: OpenModel, model_output: str | os.PathLike[str] | None) -> ModelFile | None:
    """Return the file to write; weights that were external stay so, those that are new among them."""
    if model_output is None:
        return None
    output = ModelFile.of(model_output)
    if output.use_external_data_format is None and opened.path is not None and _has_external_data(opened.path):
        return replace(output, use_external_data_format=True)
    return output


def _has_external_data(path: os.PathLike[str]) -> bool:
    return next(external_tensors(open_model(path).proto), None) is not None

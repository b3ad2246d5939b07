"""A float32 model that runs in segments, so that a change of one product runs what the change can change, and no more.

    for each product:                                    segments
        go on to the one with the product                the ones before it, once in all
        run what stands for it, with the product changed     a session of this part alone
        run those behind it                              their sessions, made once in all

What goes from segment to segment are arrays. onnxruntime fuses nodes inside of a segment as it does in the whole model,
but not across: results differ from those of the whole by roundings of float32.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from lba_onnx.data.batches import Batch
from lba_onnx.data.execution import run_batch, without_filling
from lba_onnx.data.inputs import Feeds, ModelInput, describe_value
from lba_onnx.data.watching import steps
from lba_onnx.rewrite.cutting import Part, cut_segments, with_inputs
from lba_onnx.rewrite.model_files import OpenModel
from lba_onnx.rewrite.model_writer import runnable
from lba_onnx.session import make_session, watching_options

if TYPE_CHECKING:
    import onnxruntime


@dataclass(frozen=True, eq=False)
class Change:
    """What stands for some segments.

    Attributes:
        model: What runs in place of them; with external data, its path is the whole model's.
        outputs: What it yields.
        batches: What it is fed.
        before: The numbers of the segments that ran to get there.
        behind: Those of the segments that follow.
    """

    model: OpenModel
    outputs: list[str]
    batches: list[Batch]
    before: range
    behind: range


@dataclass(frozen=True, eq=False)
class _Segment:
    session: "onnxruntime.InferenceSession | None"
    part: Part

    def run(self, batch: Batch, values: Feeds) -> Feeds:
        """Return what it yields."""
        if self.session is None or not self.part.outputs:  # nothing of it is read
            return {}
        fed = _fed(batch, {name: values[name] for name in self.part.inputs})
        return dict(zip(self.part.outputs, run_batch(self.session, fed, list(self.part.outputs)), strict=True))


class SegmentedModel:
    """A model in segments, and how far it has run on some batches.

    Attributes:
        cuts: Where it is cut.
    """

    def __init__(self, model: OpenModel, batches: Sequence[Batch], providers: Sequence[str]) -> None:
        """Make a session of each segment, all of which together hold the weights once.

        Args:
            model: The model.
            batches: What it is fed; few samples, of which what goes on between two segments is kept.
            providers: onnxruntime's execution providers.

        Raises:
            ModelError: onnxruntime rejects the model.
        """
        self.cuts = cut_segments(model.proto)
        self._path = model.path
        self._providers = providers
        self._batches = tuple(batches)
        self._types = {value.name: value for value in model.proto.graph.input}
        self._axes = {dim.dim_param for value in self._types.values() for dim in value.type.tensor_type.shape.dim}
        self._segments: list[_Segment] = []
        while len(self._segments) < len(self.cuts):
            self._add_segment()
        self._at, self._held = 0, self._inputs()

    def move_to(self, changed: onnx.ModelProto) -> Change:
        """Run as far as a changed model is the same; return what stands for the segments that are not.

        Args:
            changed: The model, changed; its external data is the model's.

        Raises:
            DataError: The model does not run on the batches.
        """
        first, stop, part = self.cuts.changed(changed)
        if first < self._at:
            self._at, self._held = 0, self._inputs()
        before = range(self._at, first)
        for number in before:
            kept = self.cuts.live(number + 1)
            for batch, values in zip(self._batches, self._held, strict=True):
                values |= self._segments[number].run(batch, values)
                _keep(values, (*batch.feeds, *kept))
        self._at = first
        fed = [
            _fed(batch, {name: values[name] for name in part.inputs})
            for batch, values in zip(self._batches, self._held, strict=True)
        ]
        outputs = [name for name in part.outputs if name in self._types]
        model = OpenModel(self._typed(part), self._path)
        return Change(model, outputs, fed, before, range(stop, len(self.cuts)))

    def finish(self, change: Change, number: int, given: Mapping[str, Any]) -> Feeds:
        """Return the outputs of the changed model that depend on the change; they are arrays.

        Args:
            change: The change.
            number: Of the batch.
            given: What the part yields.

        Raises:
            DataError: The model does not run on the batch.
        """
        batch, values = self._batches[number], {**self._held[number], **given}
        outputs = dict(given)
        for behind in steps(change.behind):
            _keep(values, (*batch.feeds, *self.cuts.live(behind)))
            found = self._segments[behind].run(batch, values)
            outputs |= found
            values |= found
        wanted = [output.name for output in self.cuts.model.graph.output if output.name in outputs]
        return {name: without_filling(outputs[name], batch) for name in wanted}

    def _inputs(self) -> list[Feeds]:
        return [dict(batch.feeds) for batch in self._batches]

    def _add_segment(self) -> None:
        """Make the next segment, which goes on where what is no array would be handed over."""
        number = len(self._segments)
        part = self.cuts.part(number)
        opened = OpenModel(self._typed(part), self._path)
        session = quiet_session(opened, self._providers) if part.outputs else None
        yielded = () if session is None else session.get_outputs()
        found = {value.name: describe_value(value) for value in yielded}
        arrays = {name for name, value in found.items() if value.dtype is not None}
        if not arrays.issuperset(set(self.cuts.live(number + 1)) & found.keys()):
            self.cuts = self.cuts.joined(number)
            return
        self._types |= {name: self._type(found[name]) for name in arrays}
        outputs = tuple(name for name in part.outputs if name in arrays)
        self._segments.append(_Segment(session, replace(part, outputs=outputs)))

    def _typed(self, part: Part) -> onnx.ModelProto:
        return with_inputs(part.model, [self._types[name] for name in part.inputs])

    def _type(self, value: ModelInput) -> onnx.ValueInfoProto:
        """Return the type of an array, with sizes, and with names of sizes that the whole model's inputs have."""
        names = value.axes or [None] * len(value.shape or ())
        shape = [
            size or (name if name in self._axes else None) for size, name in zip(value.shape or (), names, strict=True)
        ]
        element = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype))
        return onnx.helper.make_tensor_value_info(value.name, element, shape if value.shape else None)


def quiet_session(model: OpenModel, providers: Sequence[str]) -> "onnxruntime.InferenceSession":
    """Return a session beside many others: its threads sleep where it does not run."""
    with runnable(model) as file:
        return make_session(file, watching_options(is_lean=True), providers)


def _fed(batch: Batch, values: Feeds) -> Batch:
    """Return a batch of values from inside the model, of which nothing is left out."""
    return replace(batch, feeds=values, rows=None, shared=frozenset())


def _keep(values: Feeds, names: Iterable[str]) -> None:
    for name in values.keys() - set(names):
        del values[name]

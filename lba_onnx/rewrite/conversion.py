"""A model in, the same model with low-bit accumulators out."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import onnx

from lba_onnx.files.outputs import check_outputs
from lba_onnx.rewrite import model_files
from lba_onnx.rewrite.analysis import Site
from lba_onnx.rewrite.attribute_checks import check_attributes
from lba_onnx.rewrite.bias_start import start_from_bias, with_bias_obstacles
from lba_onnx.rewrite.candidates import converted_products, find_candidates
from lba_onnx.rewrite.fresh_names import FreshNames
from lba_onnx.rewrite.given_specs import Specs, read_given
from lba_onnx.rewrite.insertion import Insertions
from lba_onnx.rewrite.integer_patch import drop_unread, patch_integer_node
from lba_onnx.rewrite.lowering import Lowering, lower_model
from lba_onnx.rewrite.lowering.record import drop_unread_constants
from lba_onnx.rewrite.macs import InputShapes, infer_macs
from lba_onnx.rewrite.model_files import ModelSource, OpenModel, open_model
from lba_onnx.rewrite.model_inputs import model_inputs, spec_inputs
from lba_onnx.rewrite.model_writer import save_model
from lba_onnx.rewrite.patch import patch_node
from lba_onnx.rewrite.portable import add_function_bodies
from lba_onnx.rewrite.provenance import import_operator_set, write_metadata
from lba_onnx.rewrite.report import ConversionReport, LedgerEntry
from lba_onnx.rewrite.selection import Decision, Selection, by_node, decide

_LOG = logging.getLogger(__name__)
_SPARE_BYTES = 1 << 26  # what a model needs beside its weights


@dataclass(frozen=True)
class _Wishes:
    """What a conversion is asked for beside specs, as `convert` explains it."""

    selection: Selection = Selection()
    portable: bool = False
    bias_start: bool = False
    model_output: str | os.PathLike[str] | None = None
    provenance: Mapping[str, Any] | None = None

    def described(self) -> dict[str, Any]:
        """Return the options as JSON values, for the converted model's metadata."""
        bias_start = {"bias_start": True} if self.bias_start else {}
        return {**self.selection.described(), "portable": self.portable, **bias_start}


def convert(
    model: ModelSource,
    spec: Specs,
    *,
    selection: Selection = Selection(),
    portable: bool = False,
    bias_start: bool = False,
    model_output: str | os.PathLike[str] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> tuple[onnx.ModelProto, ConversionReport]:
    """Replace MatMul, Gemm, Conv and the operators of integers by their low-bit-accumulator twins.

    An accumulator of integers takes integer nodes: QLinearConv and its kin, and MatMul, Gemm and Conv between
    DequantizeLinear and QuantizeLinear. One of floats takes MatMul, Gemm and Conv, wherever their operands come from.

    The main graph, the bodies of If, Loop and Scan and the model's functions are all searched. Names, shapes,
    value_info, metadata and everything else stay as they are.

    Args:
        model: A path, the bytes of a file, or a ModelProto, which is not changed.
        spec: One for all nodes, as an AccumulatorSpec or its text such as "M7E4b10"; or one for each node, as a mapping
            of names to these, a Calibration or the path of a biases file that it was saved to; nodes without one are
            left.
        selection: Which nodes to convert.
        portable: Whether the model also carries a float32 body for each operator, so that it runs, without low-bit
            accumulators, where the library is not registered.
        bias_start: Whether the sums of Gemm and Conv start from their bias, as in fused kernels, in place of zero; else
            it is added in float32 behind them. A Gemm with a bias whose alpha is not 1 is then left.
        model_output: A file to write the result to; a `ModelFile` says where the weights go.
        provenance: Where the specs come from, as JSON values, kept in metadata_props; by default what a Calibration or
            a biases file tells (`Calibration.provenance`).

    Returns:
        The converted model and the ledger of its nodes. Where the result has external data, it refers to files beside
        model_output; without model_output external data is loaded, or, beyond 2 GB, refers to files beside `model`.

    Raises:
        DataError: The biases file cannot be read, or specs tell the hash of another model than this one.
        FileNotFoundError: The model's file or the output's folder does not exist.
        ModelError: The model cannot be read, converted or written.
        OutputError: model_output is the model itself, holds external data of it, or is the file of the specs.
        SelectionError: A name or pattern selects nothing, or something that cannot be converted.
        TypeError: An argument has the wrong type.
        ValueError: A text is neither a spec nor a file.
    """
    wishes = _Wishes(selection, portable, bias_start, model_output, provenance)
    proto, report = _convert(model, spec, wishes, counts_macs=True)
    _LOG.info("%s", report.summary())
    warn_of_share(report)
    return proto, report


def convert_quietly(model: ModelSource, spec: Specs, **settings: Any) -> tuple[onnx.ModelProto, ConversionReport]:
    """Convert as `convert` does, and tell nothing of MACs: for models whose ledger nobody reads.

    Args:
        model: As in `convert`.
        spec: As in `convert`.
        **settings: What else `convert` takes.
    """
    return _convert(model, spec, _Wishes(**settings), counts_macs=False)


def warn_of_share(report: ConversionReport) -> None:
    """Warn where a smaller share of the MACs is converted than one expects."""
    warning = report.warning()
    if warning is not None:
        _LOG.warning("%s", warning)


def _convert(
    model: ModelSource, spec: Specs, wishes: _Wishes, *, counts_macs: bool
) -> tuple[onnx.ModelProto, ConversionReport]:
    check_outputs({"converted model": wishes.model_output}, chain(model_inputs(model), spec_inputs(spec)))
    given, selection = read_given(spec, model), wishes.selection
    opened = open_model(model)
    lowering = lower_model(opened.proto, opened.path, selection.accumulate)
    candidates = find_candidates(opened.proto, opened.path, lowering)
    decisions = decide(with_bias_obstacles(candidates) if wishes.bias_start else candidates, given.specs, selection)
    for decision in decisions:
        is_refused = lowering.refusal(decision.candidate.site.node) is not None
        if decision.is_selected or (decision.is_wanted and is_refused):
            check_attributes(decision.candidate)
    macs = infer_macs(opened.proto, candidates) if counts_macs else [None] * len(candidates)
    report = ConversionReport(tuple(_entry(decision, count) for decision, count in zip(decisions, macs, strict=True)))
    _apply(opened.proto, _settle(opened.proto, lowering, decisions), wishes)
    provenance = given.provenance if wishes.provenance is None else wishes.provenance
    write_metadata(opened.proto, report.specs, wishes.described(), provenance)
    return deliver(opened, wishes.model_output), report


def list_candidates(
    model: ModelSource, input_shapes: InputShapes | None = None, selection: Selection = Selection()
) -> ConversionReport:
    """Return the ledger of a model without converting it.

    Args:
        model: A path, the bytes of a file, or a ModelProto; it is not changed.
        input_shapes: Shapes of inputs that the model leaves open, by name, for the counts of MACs.
        selection: Whose `accumulate` says what else is looked for; nothing else of it plays a part.

    Returns:
        The nodes that multiply and accumulate. `reason` is "" for those that convert would take; `spec` is that of
        nodes converted before.

    Raises:
        FileNotFoundError: The model's file does not exist.
        ModelError: The model cannot be read.
        TypeError: `model` is none of these.
        ValueError: The model has no input of a name in input_shapes, or it does not take the shape.
    """
    opened = open_model(model)
    lowering = lower_model(opened.proto, opened.path, selection.accumulate)
    candidates = find_candidates(opened.proto, opened.path, lowering)
    macs = infer_macs(opened.proto, candidates, input_shapes)
    decisions = [Decision(candidate, None, candidate.obstacle_to(None) or "") for candidate in candidates]
    return ConversionReport(tuple(_entry(decision, count) for decision, count in zip(decisions, macs, strict=True)))


def converted_nodes(model: onnx.ModelProto) -> list[tuple[str, onnx.NodeProto]]:
    """Return a converted model's low-bit-accumulator nodes, by the names that the ledger gives them.

    Args:
        model: A converted model; the nodes are its own, so that a change of theirs is a change of the model.
    """
    return list({product.node_name: product.site.node for product in converted_products(model)}.items())


def _entry(decision: Decision, macs: int | None) -> LedgerEntry:
    candidate = decision.candidate
    spec = decision.spec or candidate.present_spec
    return LedgerEntry(
        node=candidate.name,
        op_type=candidate.operator,
        location=candidate.site.location,
        weights=candidate.weights,
        element_type=candidate.type_under(spec),
        converted=decision.is_selected,
        spec=spec,
        reason=decision.reason,
        macs=macs,
    )


def _settle(model: onnx.ModelProto, lowering: Lowering, decisions: Sequence[Decision]) -> list[Decision]:
    """Put back what has been taken apart for nothing; return the decisions on what stays."""
    taken = {id(d.candidate.origin) for d in decisions if d.is_selected}
    restored = {id(origin): origin for origin in lowering.origins if id(origin) not in taken}
    lowering.restore(list(restored.values()))
    drop_unread_constants(model, [origin for origin in lowering.origins if id(origin) in taken])
    return [decision for decision in decisions if id(decision.candidate.origin) not in restored]


def _apply(model: onnx.ModelProto, decisions: Sequence[Decision], wishes: _Wishes) -> None:
    names, insertions = FreshNames(model), Insertions()
    dequantizers: list[Site] = []
    for own in by_node(decisions):
        specs = {decision.candidate.product: decision.spec for decision in own if decision.spec is not None}
        if not specs:
            continue
        candidate = own[0].candidate
        form = candidate.integer_form if any(spec.sums_codes for spec in specs.values()) else None
        if form is not None:
            patch_integer_node(candidate, form, specs, names, insertions)
            dequantizers += form.dequantizers
        else:
            patch_node(candidate, specs, names, insertions)
        if wishes.bias_start:
            start_from_bias(candidate.site.node)
        if candidate.site.function is not None:
            import_operator_set(candidate.site.function)
    insertions.apply()
    drop_unread(dequantizers)
    twins = [d.candidate.site.node for d in decisions if d.candidate.is_converted]
    if twins:
        import_operator_set(model)
    if wishes.portable and twins:
        add_function_bodies(model, twins)


def deliver(opened: OpenModel, model_output: str | os.PathLike[str] | None) -> onnx.ModelProto:
    """Write a model where asked to, and return it with its values, or with references that lead to them.

    Args:
        opened: The model, and the file beside which its external data lies.
        model_output: The file to write; None for none.
    """
    model = opened.proto
    if model_output is None:
        if opened.path and model_files.external_bytes(opened) + _SPARE_BYTES < model_files.MAX_PROTOBUF_BYTES:
            model_files.load_data(opened)
        return model
    written = save_model(model, model_output, source_path=opened.path)
    return written if next(model_files.external_tensors(model), None) else model

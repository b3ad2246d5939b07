"""What a model costs in hardware, converted or as if it were."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import onnx

from lba_onnx.arithmetic import Accumulator
from lba_onnx.arithmetic.operands import Operands
from lba_onnx.costing.cost_table import CostTable, load_table
from lba_onnx.costing.model_cost import ModelCost, StoredOperands, Totals
from lba_onnx.costing.node_cost import FLOAT32, INT8, INT32, NodeCost, stored_types
from lba_onnx.costing.operand_formats import OperandTypes, assumed_operands
from lba_onnx.costing.shapes import depth_of, padded_share
from lba_onnx.costing.unit_cost import UnitCost, UnpricedError, unit_cost
from lba_onnx.costing.zero_weights import zero_share
from lba_onnx.observation.executed_macs import count_run
from lba_onnx.rewrite.analysis import walk_sites
from lba_onnx.rewrite.candidates import Candidate, find_candidates, takes_codes
from lba_onnx.rewrite.given_specs import GivenSpecs, Specs, read_given
from lba_onnx.rewrite.lowering import lower_model
from lba_onnx.rewrite.macs import Execution, InputShapes, infer_executions, infer_macs
from lba_onnx.rewrite.model_files import ModelSource, open_model
from lba_onnx.rewrite.selection import Decision, Selection, decide
from lba_onnx.rewrite.values import Values

_NO_SPEC = "no spec given"
_NO_DEPTH = "its depth is not known"
_ANY_DEPTH = 1  # of chains and units whose price does not depend on it


@dataclass(frozen=True)
class _Settings:
    """What nodes are priced by.

    Attributes:
        table: The table.
        operands: The formats that the user says; None for none.
        is_as_stored: Whether operands that the model does not tell count as they are stored.
    """

    table: CostTable
    operands: Operands | None
    is_as_stored: bool = False


def cost(
    model: ModelSource,
    spec: "Specs | None" = None,
    *,
    operand_format: str | None = None,
    selection: Selection = Selection(),
    input_shapes: InputShapes | None = None,
    data: Any = None,
    cost_table: "CostTable | str | os.PathLike[str] | None" = None,
    reference: "ModelSource | None" = None,
) -> ModelCost:
    """Return what a model's sums of products cost: gates, energy, area and storage, node by node.

    Args:
        model: Path, bytes or ModelProto; converted nodes have their accumulators in them.
        spec: What other nodes are priced with, as if they were converted: as in `convert`; None for float32.
        operand_format: The formats of what is multiplied where it comes of no codes that the model holds, such as
            "M4E3", "float32", "int8" or "uint8*int8"; None for those that a named accumulator such as fp16-fma has,
            else M4E3.
        selection: Which nodes the spec is for.
        input_shapes: Shapes of inputs that the model leaves open, by name.
        data: Samples, of which the first one is run to count products; None to count them from shapes.
        cost_table: A table of costs, or its file; None for that of the package.
        reference: Another model to hold this one against, priced with its own accumulators.

    Raises:
        DataError: The table or the data cannot be read, or the spec is a calibration of another model.
        ModelError: A model cannot be read.
        SelectionError: A name or pattern selects nothing.
        ValueError: A text is wrong, or input_shapes do not fit the model.
    """
    table = cost_table if isinstance(cost_table, CostTable) else load_table(cost_table)
    operands = None if operand_format is None else Operands.parse(operand_format)
    given = None if spec is None else read_given(spec, model)
    found = _Model.of(model, selection, input_shapes, data).with_specs(given, selection)
    nodes = found.priced(_Settings(table, operands))
    int8 = unit_cost(INT32, INT8, _ANY_DEPTH, table)
    stored, types = None, stored_types(nodes)
    if types:
        stored = StoredOperands(types, Totals.of(found.priced(_Settings(table, operands, is_as_stored=True)), int8))
    other = None
    if reference is not None:
        shapes = {"input_shapes": input_shapes, "data": data}
        other = cost(reference, operand_format=operand_format, cost_table=table, **shapes)
    return ModelCost(nodes, table, int8, stored, other)


def cost_each(
    model: ModelSource,
    specs: "Sequence[Specs | None]",
    *,
    operand_format: str | None,
    selection: Selection,
    data: Any,
    cost_table: CostTable,
) -> list[tuple[NodeCost, ...]]:
    """Return what the nodes cost with each of some specs, as `cost` does; products are counted once for all.

    Args:
        model: As in `cost`.
        specs: As in `cost`, one after the other.
        operand_format: As in `cost`.
        selection: As in `cost`.
        data: Samples, of which the first one is run to count products.
        cost_table: A table of costs.

    Raises:
        DataError, ModelError, SelectionError, ValueError: As `cost`.
    """
    settings = _Settings(cost_table, None if operand_format is None else Operands.parse(operand_format))
    given = [None if spec is None else read_given(spec, model) for spec in specs]
    found = _Model.of(model, selection, None, data)
    return [found.with_specs(spec, selection).priced(settings) for spec in given]


@dataclass(frozen=True)
class _Product:
    """What is known of one product before it is priced."""

    candidate: Candidate
    types: OperandTypes
    macs: int | None
    depth: int | None
    padded: Fraction | None
    zeros: Fraction | None
    spec: Accumulator | None = None
    reason: str = ""

    @classmethod
    def of(cls, candidate: Candidate, macs: int | None, executions: Sequence[Execution], values: Values) -> "_Product":
        """Return what is known of a product from the shapes that it executes with; it has no accumulator yet."""
        padded, zeros = padded_share(candidate, executions), zero_share(candidate, values)
        types = OperandTypes.of(candidate, values)
        return cls(candidate, types, macs, depth_of(candidate, executions), padded, zeros)

    def decided(self, decision: Decision) -> "_Product":
        """Return the product with what becomes of it."""
        return replace(self, spec=decision.spec, reason=decision.reason if decision.spec is None else "")

    def priced(self, settings: _Settings) -> NodeCost:
        """Return what it costs."""
        assumed, source = assumed_operands(self.spec, settings.operands)
        operands = self.types.told.completed(self.types.stored if settings.is_as_stored else assumed)
        unit, problem = self._unit(operands, settings.table)
        return NodeCost(
            node=self.candidate.name,
            op_type=self.candidate.operator,
            spec=None if self.spec is None else str(self.spec),
            operands=str(operands),
            told_operands=self.types.told.texts,
            assumed_operands=str(assumed),
            assumed_by=source,
            stored_types=self.types.not_told,
            reason=problem or self.reason,
            macs=self.macs,
            depth=self.depth,
            padded_macs=_share_of(self.padded, self.macs),
            zero_weight_macs=_share_of(self.zeros, self.macs),
            unit=unit,
            float32=unit_cost(FLOAT32, operands, _ANY_DEPTH, settings.table),
        )

    def _unit(self, operands: Operands, table: CostTable) -> tuple[UnitCost | None, str]:
        """Return what one product costs, or why that is not known."""
        if self.spec is None:
            text = INT32 if takes_codes(self.candidate.site.node) and operands.are_integers else FLOAT32
            return unit_cost(text, operands, self.depth or _ANY_DEPTH, table), ""
        if self.depth is None:
            return None, _NO_DEPTH
        try:
            return unit_cost(self.spec, operands, self.depth, table), ""
        except UnpricedError as error:
            return None, str(error)


@dataclass(frozen=True)
class _Model:
    """The products of a model."""

    products: tuple[_Product, ...]

    @classmethod
    def of(
        cls,
        model: ModelSource,
        selection: Selection,
        input_shapes: InputShapes | None,
        data: Any,
    ) -> "_Model":
        """Look at a model; see `cost`."""
        opened = open_model(model)
        lowering = lower_model(opened.proto, opened.path, selection.accumulate)
        candidates = find_candidates(opened.proto, opened.path, lowering)
        macs, executions = _counted(model, opened.proto, candidates, input_shapes, data, selection)
        values = Values(opened.proto, list(walk_sites(opened.proto)), opened.path)
        known = zip(candidates, macs, executions, strict=True)
        return cls(tuple(_Product.of(candidate, count, shapes, values) for candidate, count, shapes in known))

    def with_specs(self, given: GivenSpecs | None, selection: Selection) -> "_Model":
        """Return the products with their accumulators: their own, or those that are given."""
        decisions = _decisions([product.candidate for product in self.products], given, selection)
        pairs = zip(self.products, decisions, strict=True)
        return _Model(tuple(product.decided(decision) for product, decision in pairs))

    def priced(self, settings: _Settings) -> tuple[NodeCost, ...]:
        """Return what each product costs."""
        return tuple(product.priced(settings) for product in self.products)


def _counted(
    model: ModelSource,
    proto: onnx.ModelProto,
    candidates: Sequence[Candidate],
    input_shapes: InputShapes | None,
    data: Any,
    selection: Selection,
) -> tuple[list[int | None], list[list[Execution]]]:
    """Return how many products each candidate multiplies and adds, and with which shapes it executes."""
    if data is None:
        return infer_macs(proto, candidates, input_shapes), infer_executions(proto, candidates, input_shapes)
    run = count_run(model, data, selection=selection)
    macs = [run.macs.get(candidate.name) for candidate in candidates]
    try:
        return macs, infer_executions(proto, candidates, run.fed)
    except ValueError:  # one name of an axis for two sizes, which onnxruntime takes
        return macs, infer_executions(proto, candidates)


def _decisions(candidates: Sequence[Candidate], given: GivenSpecs | None, selection: Selection) -> list[Decision]:
    """Return the accumulator of each product: its own, or the one that is given for it."""
    if given is None:
        decisions = [Decision(candidate, None, candidate.obstacle_to(None) or _NO_SPEC) for candidate in candidates]
    else:
        decisions = decide(candidates, given.specs, selection)
    return [replace(decision, spec=decision.candidate.present_spec or decision.spec) for decision in decisions]


def _share_of(share: Fraction | None, macs: int | None) -> int | None:
    return None if share is None or macs is None else round(share * macs)

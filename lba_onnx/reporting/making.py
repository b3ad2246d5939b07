"""Makes the data of a report out of models, data, and results of other commands."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from lba_onnx.arithmetic import Accumulator
from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.costing import CostTable, cost, load_table
from lba_onnx.data.execution import Execution
from lba_onnx.data.samples import Samples
from lba_onnx.errors import DataError
from lba_onnx.files.hashes import file_hash
from lba_onnx.packages import package_version
from lba_onnx.reporting.from_comparison import accuracy_of_comparison, accuracy_of_evaluation
from lba_onnx.reporting.from_cost import cost_section
from lba_onnx.reporting.from_debug import layers_section
from lba_onnx.reporting.from_points import front_of_search, front_of_sweep
from lba_onnx.reporting.from_ranges import node_spreads, nonzero_share, spreads_of_calibration
from lba_onnx.reporting.measuring import measure
from lba_onnx.reporting.results import Results
from lba_onnx.reporting.same_models import check_models
from lba_onnx.reporting.sections import Cost, Ledger, LedgerRow, ModelFile, NodeSpreads, Report
from lba_onnx.reporting.sweep_prices import SweepPrices
from lba_onnx.rewrite import convert, list_candidates, load_model
from lba_onnx.rewrite.model_files import OpenModel
from lba_onnx.rewrite.model_writer import runnable
from lba_onnx.rewrite.provenance import SPEC_KEY, own_metadata
from lba_onnx.rewrite.report import LedgerEntry
from lba_onnx.session import get_library_path

if TYPE_CHECKING:
    from lba_onnx.rewrite import ConversionReport, Specs
    from lba_onnx.rewrite.macs import InputShapes

_VERSIONS = ("lba-onnx", "onnxruntime", "onnx", "numpy")
_ADVICE = {
    "accuracy": "--data_path measures it, --compare or --evaluate FILE feeds it",
    "cost": "--input_shapes gives the sizes that the model leaves open, --cost FILE feeds it",
    "layers": "--reference_path with --data_path measures them, --debug FILE feeds them",
    "spreads": "--data_path counts them, --calibration FILE feeds them",
    "front": "--search or --sweep FILE feeds it",
}
"""Sections to what would fill them."""
_UNCONVERTED = "nothing is converted; --spec converts the model for the report"


@dataclass(frozen=True)
class Subject:
    """What a report is about.

    Attributes:
        path: The model's file.
        reference: The float32 model's; None without.
        spec: What to convert the model to first, as in `convert`; None for one that is converted.
        input_shapes: Shapes of inputs that the model leaves open, by name.
        operand_format: What is multiplied where the model does not say, as in `cost`.
        cost_table: A table of costs, or its file; None for that of the package.
    """

    path: Path
    reference: Path | None = None
    spec: "Specs | None" = None
    input_shapes: "InputShapes | None" = None
    operand_format: str | None = None
    cost_table: "CostTable | str | os.PathLike[str] | None" = None

    @property
    def table(self) -> CostTable:
        """The table of costs.

        Raises:
            DataError: Its file cannot be read.
        """
        return self.cost_table if isinstance(self.cost_table, CostTable) else load_table(self.cost_table)


def make_report(
    subject: Subject,
    results: Results = Results(),  # noqa: B008
    data: Any = None,
    metric: Any = None,
    execution: Execution = Execution(),
) -> Report:
    """Return what there is to tell of a converted model.

    Args:
        subject: The model, and what is known of it.
        results: Results of other commands; what is among them is not measured again.
        data: `Samples`, or plain data in any form that they take, to measure on; None to measure nothing.
        metric: As in `compare`.
        execution: How models run.

    Raises:
        DataError: A result or the data cannot be read, a result is of another model, or two fill one section.
        ModelError: A model cannot be read.
        ValueError: A text is wrong, or input_shapes do not fit the model.
    """
    reference = subject.reference or (None if subject.spec is None else subject.path)
    results.check_sections()
    check_models(results, subject.path if subject.spec is None else None, reference)
    with _model(subject) as (model, converted):
        return _made(subject, model, converted, reference, results, data, metric, execution)


def _made(
    subject: Subject,
    model: Path | onnx.ModelProto,
    converted: "ConversionReport | None",
    reference: Path | None,
    results: Results,
    data: Any,
    metric: Any,
    execution: Execution,
) -> Report:
    settings = own_metadata(load_model(subject.path) if isinstance(model, Path) else model)
    settings.pop(SPEC_KEY, None)  # the ledger tells it
    settings |= results.hashes
    ranges: dict[str, NodeRange] = results.section("calibration", spreads_of_calibration) or {}
    if data is not None:
        samples = Samples.of(data)
        measured = measure(model, reference, samples, metric, execution, results.values)
        source = f"measured on {samples.data if isinstance(samples.data, (str, Path)) else 'the data given'}"
        results = results.with_measured(measured.results, source)
        ranges = {**ranges, **measured.ranges}
        settings |= {"data": source.removeprefix("measured on "), "data_sha256": measured.data_sha256}
    ledger = list_candidates(model, subject.input_shapes)
    if converted is not None:
        ledger = converted.with_macs({entry.node: entry.macs for entry in ledger})
        is_named = isinstance(subject.spec, (str, os.PathLike, Accumulator))
        settings |= {"converted for this report to": str(subject.spec) if is_named else "specs of each node"}
    priced = results
    if "cost" not in results.values:
        priced = results.with_measured({"cost": _cost(model, subject)}, "the model's shapes")
    return _assembled(subject, reference, ledger, priced, ranges, settings)


@contextmanager
def _model(subject: Subject) -> "Iterator[tuple[Path | onnx.ModelProto, ConversionReport | None]]":
    """Yield the converted model, and the ledger of its conversion where it is converted here."""
    if subject.spec is None:
        yield subject.path, None
        return
    converted, ledger = convert(subject.path, subject.spec)
    with runnable(OpenModel(converted, subject.path)) as model:
        yield model, ledger


def _cost(model: Path | onnx.ModelProto, subject: Subject) -> dict[str, Any]:
    settings: dict[str, Any] = {"operand_format": subject.operand_format, "cost_table": subject.table}
    return cost(model, input_shapes=subject.input_shapes, **settings).to_json()


def _assembled(
    subject: Subject,
    reference: Path | None,
    ledger: "ConversionReport",
    results: Results,
    ranges: Mapping[str, NodeRange],
    settings: Mapping[str, str],
) -> Report:
    accuracy = results.section("compare", accuracy_of_comparison) or results.section("evaluate", accuracy_of_evaluation)
    priced = results.section("cost", cost_section)
    nonzero = {node: share for node, seen in ranges.items() if (share := nonzero_share(seen)) is not None}
    products = _products(ledger, priced, ranges)
    layers = results.section("debug", lambda value: layers_section(products, value, nonzero))
    prices = _sweep_prices(subject, reference, results, priced)
    swept = results.section("sweep", lambda value: front_of_sweep(value, prices))
    fronts = tuple(front for front in (results.section("search", front_of_search), swept) if front is not None)
    layers = layers or layers_section(products, None, nonzero)
    spreads = _spreads({layer.node: layer.spec for layer in layers.rows}, ranges)
    found: dict[str, Any] = {"accuracy": accuracy, "cost": priced, "layers": layers.is_measured or None}
    found |= {"spreads": spreads or None, "front": fronts or None}
    advice = _ADVICE if products else {**_ADVICE, "layers": _UNCONVERTED, "spreads": _UNCONVERTED}
    return Report(
        subject.path.stem,
        _file(subject.path),
        None if reference is None else _file(reference),
        "reference" if any(spec.sums_codes for spec in ledger.specs.values()) else "float32",
        _ledger(ledger),
        accuracy,
        priced,
        layers,
        spreads,
        fronts,
        {**settings, "library_sha256": file_hash(Path(get_library_path()))},
        {name: package_version(name) for name in _VERSIONS},
        dict(results.sources),
        {name: words for name, words in advice.items() if found[name] is None},
    )


def _sweep_prices(
    subject: Subject, reference: Path | None, results: Results, priced: Cost | None
) -> SweepPrices | None:
    """Return what prices points of a sweep; None where there is none, or no cost.

    Raises:
        DataError: The cost that is given was priced by another table.
    """
    if priced is None or "sweep" not in results.values:
        return None
    told, expected = results.values["cost"]["table"], subject.table.to_json()
    if told != expected:
        raise DataError(
            f"{results.sources['cost']}: expected costs by the table {expected['name']!r}, by which points of a sweep "
            f"are priced, got {told['name']!r} or other figures; --cost_table names the table"
        )
    return SweepPrices(reference or subject.path, priced, subject.table)


def _products(
    ledger: "ConversionReport", priced: Cost | None, ranges: Mapping[str, NodeRange]
) -> list[tuple[str, str, int | None]]:
    """Return the converted products with their accumulators and depths."""
    depths = {node: seen.depth or None for node, seen in ranges.items()}
    depths |= {} if priced is None else {row.node: row.depth for row in priced.rows if row.depth}
    return [(node, str(spec), depths.get(node)) for node, spec in ledger.specs.items()]


def _spreads(specs: Mapping[str, str], ranges: Mapping[str, NodeRange]) -> tuple[NodeSpreads, ...]:
    found = (node_spreads(node, spec, ranges[node]) for node, spec in specs.items() if node in ranges)
    return tuple(spreads for spreads in found if spreads is not None)


def _ledger(ledger: "ConversionReport") -> Ledger:
    rows = tuple(
        LedgerRow(e.node, e.op_type, e.location, str(e.spec) if e.spec else None, _remark(e), e.macs) for e in ledger
    )
    return Ledger(rows, ledger.macs.total, ledger.macs.converted)


def _remark(entry: LedgerEntry) -> str:
    if entry.is_done:
        return ""
    return entry.reason or "can be converted"


def _file(path: Path) -> ModelFile:
    return ModelFile(str(path), file_hash(path), os.path.getsize(path))

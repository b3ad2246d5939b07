"""What a report tells, section by section: the data behind the page; docs/report.md describes their JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

KIND = "lba_onnx.report"
SCHEMA = 1

MEASURED, EXPECTED = "measured", "expected"


@dataclass(frozen=True)
class Estimate:
    """A figure, and its 95 % interval where there is one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ModelFile:
    """A model that the report is about.

    Attributes:
        path: As it was given.
        sha256: Hash of the file; external data are not in it.
        size_bytes: Of the file.
    """

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class LedgerRow:
    """One product of the ledger: which node, what it accumulates in or why it stays, and how much of the work it is."""

    node: str
    op_type: str
    location: str
    spec: str | None
    reason: str
    macs: int | None


@dataclass(frozen=True)
class Ledger:
    """What is converted and what is left.

    Attributes:
        rows: All products.
        macs: Products of operands that are multiplied and added in one run, where they are known.
        converted_macs: Those of converted nodes.
    """

    rows: tuple[LedgerRow, ...]
    macs: int
    converted_macs: int


@dataclass(frozen=True)
class AccuracyFigure:
    """One figure of both models.

    Attributes:
        name: Such as "top-1".
        unit: Such as "%"; "" for none.
        reference: Of float32; None where it was not measured.
        candidate: Of the converted model; None for what compares both.
        difference: The candidate's minus the reference's, on the same samples; None without a reference.
        is_significant: Whether the interval of the difference leaves 0 out.
        larger_is_better: Which direction is good.
    """

    name: str
    unit: str
    reference: Estimate | None
    candidate: Estimate | None
    difference: Estimate | None = None
    is_significant: bool = False
    larger_is_better: bool = True


@dataclass(frozen=True)
class OutputLikeness:
    """How close one output is to the reference's."""

    name: str
    mean_cosine: float | None
    sqnr_db: Estimate | None
    max_abs_difference: float | None


@dataclass(frozen=True)
class Accuracy:
    """What the model is worth on data."""

    samples: int
    figures: tuple[AccuracyFigure, ...]
    outputs: tuple[OutputLikeness, ...]
    agreement: Estimate | None


@dataclass(frozen=True)
class CostRow:
    """What one product of the model costs: gates of a multiply-accumulate, beside float32 sums."""

    node: str
    spec: str | None
    operands: str
    told_operands: tuple[str | None, str | None]
    macs: int | None
    depth: int | None
    gates: float | None
    float32_gates: float


@dataclass(frozen=True)
class Cost:
    """What the sums of products take in hardware.

    Attributes:
        operand_format: What is multiplied where the model does not say.
        operand_sources: Each of these formats, to what says so, as of `cost`.
        table: The table of costs.
        over_float32: Gates over those of float32 sums of the same operands.
        over_int8: Gates over those of int8 operands and int32 sums.
        pj_over_float32: Energy, likewise; an estimate.
        stored_types: What operands are stored in whose formats the model does not tell, such as "float32".
        over_float32_as_stored: Gates over those of float32 sums, were they such; None where the model tells all.
        groups: Gates of a mean multiply-accumulate by what they are for, and those of float32 sums.
        rows: Each product.
    """

    operand_format: str
    operand_sources: Mapping[str, str]
    table: str
    over_float32: float | None
    over_int8: float | None
    pj_over_float32: float | None
    stored_types: tuple[str, ...]
    over_float32_as_stored: float | None
    groups: Mapping[str, tuple[float, float]]
    rows: tuple[CostRow, ...]


@dataclass(frozen=True)
class Layer:
    """One converted product: what is expected of it, and what was measured.

    Attributes:
        node: Its key.
        spec: Its accumulator.
        depth: Products per dot product; None where that is not known.
        nonzero: The share of its products that is not zero; None where nothing was counted.
        expected_shrink: By which share rounding is expected to make its sums smaller.
        expected_sqnr_db: The SQNR that rounding alone is expected to leave.
        own_sqnr_db: That of what it computes from the reference's own inputs.
        output_sqnr_db: That of the model's output where it alone is converted.
        cause: What makes most of its error.
        events: How often something goes wrong in it, by event.
    """

    node: str
    spec: str
    depth: int | None
    nonzero: float | None = None
    expected_shrink: float | None = None
    expected_sqnr_db: float | None = None
    own_sqnr_db: float | None = None
    output_sqnr_db: float | None = None
    cause: str = ""
    events: Mapping[str, float | None] | None = None


@dataclass(frozen=True)
class Layers:
    """The converted products, the worst first where they were measured; else in the model's order."""

    rows: tuple[Layer, ...]
    samples: int | None
    sentences: tuple[str, ...]

    @property
    def is_measured(self) -> bool:
        """Whether anything was."""
        return self.samples is not None


@dataclass(frozen=True)
class Spread:
    """How the values of one rounding point are spread over powers of two, and what its format holds.

    Attributes:
        place: "products" or "sums".
        text: The format.
        least: The lowest exponent that it holds.
        most: The highest.
        largest: The largest magnitude of all.
        bins: Pairs (exponent, share of the values).
        above: Share beyond the format.
        below: Share under it.
    """

    place: str
    text: str
    least: int
    most: int
    largest: float
    bins: tuple[tuple[int, float], ...]
    above: float
    below: float


@dataclass(frozen=True)
class NodeSpreads:
    """The spreads of a product of the model."""

    node: str
    spec: str
    spreads: tuple[Spread, ...]


@dataclass(frozen=True)
class FrontPoint:
    """One way to convert the model: what it costs, and what it loses.

    Attributes:
        label: What it is.
        cost: What it costs.
        loss: What it loses.
        is_uniform: Whether all products have the same accumulator.
        is_on_front: Whether no other point beats it.
        choices: Of a search, what each product computes with; empty for others.
        against: Of a search, how it fares beside the best accumulator for all at the same budget or loss: "wins",
            "ties" or "loses"; else "".
        number: Which of the search's points it is, from 1 on; None for others.
    """

    label: str
    cost: float
    loss: Estimate
    is_uniform: bool
    is_on_front: bool
    choices: Mapping[str, str]
    against: str = ""
    number: int | None = None


@dataclass(frozen=True)
class Front:
    """Points of a search or a sweep.

    Attributes:
        source: "search" or "sweep".
        cost_name: What the cost is, with its unit.
        loss_name: What the loss is.
        float32_cost: The cost of float32 sums; None where it is not known.
        operand_format: Of which operands costs are; None where the model tells the formats of all.
        effort: How models were corrected; None for not at all.
        samples: On how many samples losses were measured.
        points: By rising cost.
    """

    source: str
    cost_name: str
    loss_name: str
    float32_cost: float | None
    operand_format: str | None
    effort: str | None
    samples: int | None
    points: tuple[FrontPoint, ...]

    @property
    def cost_label(self) -> str:
        """What the cost is, and of which operands."""
        return f"{self.cost_name}, operands {self.operand_format or 'as the model says'}"


@dataclass(frozen=True)
class Report:
    """All that a page tells; a section without data is None, and `absent` says how to get it.

    Attributes:
        title: The model's name.
        model: The converted model, or the one that is looked at as if it were converted.
        reference: The model that it was made from; None where none was given.
        reference_name: What that is called: "float32", or "reference" of a model of integers.
        ledger: What is converted.
        accuracy: What it is worth.
        cost: What it takes in hardware.
        layers: Its layers.
        spreads: How values are spread; empty where that was not counted.
        fronts: What else there is to choose, by a search and by a sweep; empty without either.
        settings: What the model says of how it was made, and what it was measured with.
        versions: Packages and their versions.
        sources: Sections to where they come from.
        absent: Sections that are missing to what would fill them.
    """

    title: str
    model: ModelFile
    reference: ModelFile | None
    reference_name: str
    ledger: Ledger
    accuracy: Accuracy | None
    cost: Cost | None
    layers: Layers
    spreads: tuple[NodeSpreads, ...]
    fronts: tuple[Front, ...]
    settings: Mapping[str, str]
    versions: Mapping[str, str]
    sources: Mapping[str, str]
    absent: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"kind": KIND, "schema": SCHEMA, **asdict(self)}

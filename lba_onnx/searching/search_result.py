"""What a search found, and its JSON form.

{"kind": "lba_onnx.search", "schema": 1,
 "quantity": "gates" | "energy" | "bits", "unit": "gates per MAC", "operand_format": "M4E3",
 "operand_sources": {"M4E3": "default"},
 "stored_types": ["float32"], "cost_table": "...",
 "loss": "KL divergence" | "relative squared error", "effort": "default" | null, "solver": "dynamic" | "highs",
 "samples": {"seen": 64, "chosen_by": 64, "checked": 64},
 "choices": ["M4E4", "M7E4", ...],
 "float32": {"cost": 2265.0, "evaluation": {as in Evaluation.to_json}},
 "products": [{"node": "conv1", "macs": 112896, "group": 0, "is_fixed": false,
               "specs": ["M4E4b12/M4E4b11", ...], "costs": [701.0, ...], "losses": [0.031, ...]}],
 "points": [{"budget": 800.0 | null, "granted_loss": 0.02 | null, "cost": 792.1, "over_float32": 0.35,
             "uniform": null | "M7E4", "choices": {"conv1": "M7E4", ...}, "specs": {"conv1": "M7E4b12/M7E4b10", ...},
             "predicted_loss": 0.02, "measured_loss": 0.018, "tried": 3, "recipe": "refit" | null,
             "is_on_front": true, "loss": {as in MeanEstimate.to_json},
             "comparison": {as in Comparison.to_json}, "against": {...} | null, "model_path": "..." | null}],
 "uniform": [points of one choice for all products],
 "passes": {as in Passes.to_json},
 "model_sha256": "...", "data_sha256": "...", "versions": {...}}

`against` is the best uniform choice that costs no more than the budget, or the cheapest of no more than the granted
loss:
{"choice": "M7E4", "cost": 801.0, "loss_difference": {MeanEstimate, "is_significant": true}, "verdict": "wins"}
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lba_onnx.costing.operand_formats import operand_format_of
from lba_onnx.evaluation import Comparison, Evaluation, MeanEstimate
from lba_onnx.evaluation.estimates import finite_or_none
from lba_onnx.files.json_file import write_json
from lba_onnx.files.outputs import Input, check_outputs
from lba_onnx.searching.passes import Passes

KIND = "lba_onnx.search"
SCHEMA = 1
WINS, TIES, LOSES = "wins", "ties", "loses"


@dataclass(frozen=True)
class ProductSensitivity:
    """What each choice costs a product, and what it does to the model's output.

    Attributes:
        node: The product's key, as in the ledger.
        macs: How many products it multiplies and adds for a sample.
        group: Products of one group share a choice.
        is_fixed: Whether the user has chosen for it.
        specs: By choice the accumulator's text; None for float32, or where the product does not take the choice.
        costs: By choice what it costs for each product of the whole model; None where it does not take the choice.
        losses: By choice the loss of the model in which it alone is converted; None where that was not measured.
    """

    node: str
    macs: int
    group: int
    is_fixed: bool
    specs: tuple[str | None, ...]
    costs: tuple[float | None, ...]
    losses: tuple[float | None, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        lists = {name: list(getattr(self, name)) for name in ("specs", "costs", "losses")}
        return {**vars(self), **lists}


@dataclass(frozen=True)
class Against:
    """A point beside the best uniform choice within the same budget, or the same loss, on the same samples.

    Attributes:
        choice: The uniform choice.
        cost: What it costs.
        loss_difference: By how much the point's loss is higher, sample by sample.
    """

    choice: str
    cost: float
    loss_difference: MeanEstimate

    @property
    def verdict(self) -> str:
        """Whether the point wins, loses, or the samples show no difference."""
        if not self.loss_difference.is_significant:
            return TIES
        return WINS if self.loss_difference.mean < 0 else LOSES

    def to_json(self) -> dict[str, Any]:
        """Return the fields and the verdict as a JSON object."""
        difference = {**self.loss_difference.to_json(), "is_significant": self.loss_difference.is_significant}
        return {"choice": self.choice, "cost": self.cost, "loss_difference": difference, "verdict": self.verdict}


@dataclass(frozen=True)
class SearchPoint:
    """A choice for each product, and how the model computes with it.

    Attributes:
        budget: What it may cost; None where a loss is granted.
        granted_loss: The loss that is granted, on the samples to choose by; None where there is a budget.
        cost: What it costs for each product of the model, in the unit of the search.
        over_float32: That over the cost of float32 sums.
        choices: Product keys to the texts of choices.
        specs: Product keys to accumulators; products in float32 are left out. So `convert` takes a point for its specs.
        predicted_loss: The sum of the products' losses.
        measured_loss: The loss that was measured, on the samples that models are chosen by.
        tried: How many models were tried for it: the predicted best one and neighbours.
        recipe: What it is corrected by; None for nothing.
        loss: The loss on samples kept apart.
        comparison: All figures on these samples, beside float32.
        uniform: The choice that all products have; None for a mixed point.
        is_on_front: Whether no other point costs as little and has less loss, on the samples to choose by.
        against: The best uniform choice within the budget, or the cheapest within the loss; None where there is none.
        model_path: The model that was written; None for none.
    """

    budget: float | None
    granted_loss: float | None
    cost: float
    over_float32: float
    choices: Mapping[str, str]
    specs: Mapping[str, str]
    predicted_loss: float
    measured_loss: float
    tried: int
    recipe: str | None
    loss: MeanEstimate
    comparison: Comparison
    uniform: str | None = None
    is_on_front: bool = True
    against: Against | None = None
    model_path: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; null for numbers that JSON cannot hold."""
        plain = {name: finite_or_none(value) for name, value in vars(self).items()}
        return {
            **plain,
            "choices": dict(self.choices),
            "specs": dict(self.specs),
            "loss": self.loss.to_json(),
            "comparison": self.comparison.to_json(),
            "against": None if self.against is None else self.against.to_json(),
        }


@dataclass(frozen=True)
class Settings:
    """What was asked for, as the result tells it.

    Attributes:
        quantity: What is saved: "gates", "energy" or "bits".
        unit: The unit of costs.
        operand_sources: Formats of operands that the model does not tell, to what says so, as of `cost`.
        stored_types: What these operands are stored in, such as "float32"; none where the model tells all formats.
        cost_table: The name of the table of costs.
        loss: What a loss is.
        effort: How models were corrected; None for not at all.
        solver: Which solver chose: "dynamic" or "highs".
        choices: The texts of what there is to choose from.
    """

    quantity: str
    unit: str
    operand_sources: Mapping[str, str]
    stored_types: tuple[str, ...]
    cost_table: str
    loss: str
    effort: str | None
    solver: str
    choices: tuple[str, ...]

    @property
    def operand_format(self) -> str:
        """The formats of operands that the model does not tell, such as "M4E3"; "" where it tells all."""
        return operand_format_of(self.operand_sources)


@dataclass(frozen=True)
class Search:
    """The best accumulators for the products of a model, at several costs.

    Attributes:
        settings: What was asked for.
        products: What was measured of each product.
        points: What was chosen, from the cheapest on.
        uniform: One choice for all products, for each that there is.
        float32: The model itself on the samples kept apart.
        float32_cost: What float32 sums cost.
        samples: How many samples were "seen", for sensitivities and corrections, "chosen_by", and "checked".
        passes: How much was run.
        model_sha256: Hash of the model.
        data_sha256: Hash of what the model was fed for sensitivities.
        versions: Names of packages to their versions.
        sources: The files that were read, which no result is written over; not kept in files.
    """

    settings: Settings
    products: tuple[ProductSensitivity, ...]
    points: tuple[SearchPoint, ...]
    uniform: tuple[SearchPoint, ...]
    float32: Evaluation
    float32_cost: float
    samples: Mapping[str, int]
    passes: Passes
    model_sha256: str
    data_sha256: str
    versions: Mapping[str, str]
    sources: tuple[Input, ...] = field(default=(), repr=False, compare=False)

    @property
    def front(self) -> tuple[SearchPoint, ...]:
        """The points that no other one is better than at no more cost."""
        return tuple(point for point in self.points if point.is_on_front)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object described above."""
        return {
            "kind": KIND,
            "schema": SCHEMA,
            **vars(self.settings),
            "operand_format": self.settings.operand_format,
            "operand_sources": dict(self.settings.operand_sources),
            "stored_types": list(self.settings.stored_types),
            "choices": list(self.settings.choices),
            "samples": dict(self.samples),
            "float32": {"cost": self.float32_cost, "evaluation": self.float32.to_json()},
            **{name: [item.to_json() for item in getattr(self, name)] for name in ("products", "points", "uniform")},
            "passes": self.passes.to_json(),
            "model_sha256": self.model_sha256,
            "data_sha256": self.data_sha256,
            "versions": dict(self.versions),
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON file, whole or not at all.

        Raises:
            OSError: It cannot be written.
            OutputError: It is one of the files that the search has read.
        """
        check_outputs({"search": path}, self.sources)
        write_json(path, self.to_json())

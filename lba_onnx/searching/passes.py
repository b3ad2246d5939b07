"""How much a search runs, in float32 passes: runs of the whole model over the samples that sensitivities see.

A model counts 1 whatever it computes in, on other samples by their number; a part of a model, and a layer that a
correction computes again, count by their shares of the products. Least squares of corrections are not counted.

    (products + 10) x choices + 30 x points        what a search may take

Refinements that would take more are left out. What is tried whatever it takes, the uniform choices and one model for
each point, may exceed that where corrections are dear and the model is small; then `has_room` is false from there on.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from lba_onnx.data.tally import Tally


def most_passes(products: int, choices: int, points: int) -> int:
    """Return how many passes a search may take; points are the budgets and losses that it is asked for."""
    return (products + 10) * choices + 30 * points


@dataclass(frozen=True)
class Passes:
    """What a search has run; checks on samples kept apart are no part of `all`.

    Attributes:
        calibration: For biases of families.
        sensitivity: For the losses of single products, float32's outputs among them.
        correction: For the corrections of models.
        trial: For the losses of whole models, float32's outputs among them.
        check: Runs over samples kept apart.
        bound: What `all` may be.
        models: How many models were converted, corrected and run.
    """

    calibration: float
    sensitivity: float
    correction: float
    trial: float
    check: float
    bound: int
    models: int

    @property
    def all(self) -> float:
        """All that the bound is of."""
        return self.calibration + self.sensitivity + self.correction + self.trial

    def to_json(self) -> dict[str, Any]:
        """Return the fields, and all of them, as a JSON object."""
        return {"all": self.all, **asdict(self)}


@dataclass
class Spending:
    """What a search runs, as it goes on.

    Attributes:
        samples: How many samples sensitivities see.
        macs: How many products there are to choose for, of a sample.
        bound: How many passes the search may take.
        calibration: What ran for biases.
        sensitivity: The passes for the losses of single products.
        correction: What corrections ran.
        trial: What ran for the losses of whole models.
        check: What ran over samples kept apart.
        models: By model that was tried, its passes.
    """

    samples: int
    macs: int
    bound: int
    calibration: Tally
    sensitivity: float
    correction: Tally = field(default_factory=Tally)
    trial: Tally = field(default_factory=Tally)
    check: Tally = field(default_factory=Tally)
    models: list[float] = field(default_factory=list)

    def add_model(self, correction: Tally, trial: Tally) -> None:
        """Count a model."""
        self.correction.add(correction.samples, correction.products)
        self.trial.add(trial.samples, trial.products)
        self.models.append(self._passes(correction) + self._passes(trial))

    @property
    def has_room(self) -> bool:
        """Whether a model as dear as the dearest so far is within the bound."""
        return self.passes().all + max(self.models, default=0.0) <= self.bound

    def passes(self) -> Passes:
        """Return how much that is."""
        return Passes(
            calibration=self._passes(self.calibration),
            sensitivity=self.sensitivity,
            correction=self._passes(self.correction),
            trial=self._passes(self.trial),
            check=self._passes(self.check),
            bound=self.bound,
            models=len(self.models),
        )

    def _passes(self, tally: Tally) -> float:
        return (tally.samples + tally.products / self.macs) / self.samples

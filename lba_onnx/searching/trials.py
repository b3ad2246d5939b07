"""Whole models, made and measured: converted as chosen, corrected, and run beside float32.

choices -> convert -> correct (on the samples to fit) --+--> loss on the samples to choose by
                                                        +--> loss and figures on samples kept apart
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.hooks import function_name
from lba_onnx.data.tally import Tally, tallied
from lba_onnx.data.watching import passing
from lba_onnx.evaluation import Comparison
from lba_onnx.evaluation.figures import ComparisonFigures
from lba_onnx.evaluation.outputs import Outputs, run_by_name, tensor_outputs
from lba_onnx.rewrite.model_files import load_model
from lba_onnx.rewrite.model_writer import save_model
from lba_onnx.searching.loss import Losses, Reference
from lba_onnx.searching.making import Making, Specs
from lba_onnx.searching.passes import Spending
from lba_onnx.searching.progress_file import ProgressFile
from lba_onnx.session import make_session


@dataclass(frozen=True, eq=False)
class Trial:
    """A model that was tried.

    Attributes:
        losses: Of each sample to choose by, float64 [samples].
        recipe: What it is corrected by; None for nothing.
    """

    losses: Losses
    recipe: str | None

    @property
    def loss(self) -> float:
        """The mean loss."""
        return float(self.losses.mean())


@dataclass(frozen=True, eq=False)
class Checked:
    """A model on the samples kept apart.

    Attributes:
        losses: Of each sample, float64 [samples].
        comparison: All figures beside float32.
    """

    losses: Losses
    comparison: Comparison


class Trials:
    """Makes and runs models, each once.

    Attributes:
        spending: What was run, by an interrupted search for what it has noted, too.
    """

    def __init__(
        self,
        making: Making,
        chosen_by: Reference,
        kept_apart: Reference,
        folder: Path,
        notes: ProgressFile,
        spending: Spending,
    ) -> None:
        """Start with none.

        Args:
            making: How models are made.
            chosen_by: The samples to choose by.
            kept_apart: Those to check with.
            folder: Where models are kept, as long as the trials are used.
            notes: Where trials that were done are found, and noted.
            spending: Where to count what is run.
        """
        self.spending = spending
        self._making, self._chosen_by, self._kept_apart = making, chosen_by, kept_apart
        self._folder, self._notes = folder, notes
        self._trials: dict[str, Trial] = {}

    def run(self, specs: Specs) -> Trial:
        """Return how a model fares on the samples to choose by."""
        key = _key(specs)
        if key not in self._trials:
            known = self._notes.find(f"model {key}")
            if known is None:
                known = self._measured(key, specs)
                self._notes.add(f"model {key}", known)
            self._trials[key] = Trial(np.array(known["losses"]), known["recipe"])
            self.spending.add_model(*(Tally(**known["ran"][part]) for part in ("correction", "trial")))
            if self._making.execution.progress is not None:
                self._making.execution.progress(len(self._trials), None)
        return self._trials[key]

    def check(self, specs: Specs) -> Checked:
        """Return how it fares on the samples kept apart."""
        metric, reference = self._making.metric, self._kept_apart
        figures = ComparisonFigures(None if metric is None else function_name(metric))
        losses: list[NDArray[np.float64]] = []

        def see(number: int, outputs: Outputs) -> None:
            batch, expected = reference.batches[number], reference.expected[number]
            figures.update(batch, expected, outputs, reference.classes, metric)
            losses.append(reference.losses(number, outputs))

        path = self.path(specs)
        with tallied() as tally:
            self._run(path, reference, see)
        self.spending.check.add(tally.samples, tally.products)
        return Checked(np.concatenate(losses), figures.result())

    def path(self, specs: Specs) -> Path:
        """Return the file of a model; it is made again where an interrupted search had made it."""
        path = self._folder / f"{_key(specs)}.onnx"
        if not path.exists():
            self._making.make(specs, path)
        return path

    def write(self, specs: Specs, path: Path) -> None:
        """Write a model to where the user wants it."""
        tried = self.path(specs)
        save_model(load_model(tried), path, source_path=tried)

    def _measured(self, key: str, specs: Specs) -> dict[str, Any]:
        path = self._folder / f"{key}.onnx"
        losses: list[NDArray[np.float64]] = []
        with tallied() as tally:
            recipe = self._making.make(specs, path)
            corrected = tally.taken()
            reference = self._chosen_by
            self._run(path, reference, lambda number, outputs: losses.append(reference.losses(number, outputs)))
        ran = {"correction": corrected.to_json(), "trial": tally.to_json()}
        return {"losses": np.concatenate(losses).tolist(), "recipe": recipe, "ran": ran}

    def _run(self, path: Path, reference: Reference, see: Callable[[int, Outputs], None]) -> None:
        session = make_session(path, providers=self._making.execution.providers)
        names = tensor_outputs(session)
        for number, batch in enumerate(passing(reference.batches)):
            see(number, run_by_name(session, batch, names, "the model"))


def _key(specs: Specs) -> str:
    """Return a text that stands for the accumulators of a model."""
    described = "\n".join(f"{name} {spec}" for name, spec in sorted(specs.items()))
    return hashlib.sha256(described.encode()).hexdigest()[:32]

"""Finds the best accumulators for the products of a model: what users call.

data --+-- three samples of four --+-- seen ----> calibrate each choice -> sensitivities -> solve -> models, corrected
|                           +-- chosen by -----------------------------------------> the best of them
+-- one of four, up to 512 ----------------------------------------------------> checked beside float32
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lba_onnx.calibration.methods import DEFAULT_METHOD, Method
from lba_onnx.correction import DEFAULT_EFFORT
from lba_onnx.correction.recipes import EFFORTS
from lba_onnx.costing import CostTable
from lba_onnx.data.execution import Execution
from lba_onnx.data.hooks import function_name
from lba_onnx.data.samples import Samples
from lba_onnx.data.sources import data_inputs, function_inputs
from lba_onnx.data.tally import tallied
from lba_onnx.evaluation.user_metric import Metric, load_metric
from lba_onnx.files.outputs import check_outputs, kept
from lba_onnx.packages import package_version
from lba_onnx.rewrite.model_files import ModelSource, OpenModel, external_tensors, open_model
from lba_onnx.rewrite.model_hash import model_hash
from lba_onnx.rewrite.model_inputs import model_inputs
from lba_onnx.rewrite.model_writer import save_model, scratch_beside
from lba_onnx.rewrite.selection import Selection
from lba_onnx.searching.choices import derive_choices
from lba_onnx.searching.constraints import make_groups
from lba_onnx.searching.front import Explorer
from lba_onnx.searching.goals import read_budgets, read_losses
from lba_onnx.searching.loss import Reference
from lba_onnx.searching.making import Making
from lba_onnx.searching.parts import Parts
from lba_onnx.searching.passes import Spending, most_passes
from lba_onnx.searching.plan import Plan
from lba_onnx.searching.prices import Pricing, price_choices
from lba_onnx.searching.progress_file import ProgressFile
from lba_onnx.searching.search_result import Search, SearchPoint, Settings
from lba_onnx.searching.sensitivity import measure_sensitivities
from lba_onnx.searching.solvers import find_solver
from lba_onnx.searching.trials import Trials

DEFAULT_SAMPLES = 64
DEFAULT_POINTS = 5
_PACKAGES = ("lba-onnx", "onnx", "onnxruntime", "numpy")


def search(
    model: ModelSource,
    data: Any,
    choices: Sequence[str],
    *,
    quantity: str = "gates",
    budgets: Sequence[float | str] = (),
    losses: Sequence[float | str] = (),
    points: int = DEFAULT_POINTS,
    share: Iterable[str] = (),
    fix: Mapping[str, str] | None = None,
    operand_format: str | None = None,
    cost_table: "CostTable | str | os.PathLike[str] | None" = None,
    method: str | Method = DEFAULT_METHOD,
    effort: str | None = DEFAULT_EFFORT,
    metric: Metric | str | None = None,
    solver: str | None = None,
    selection: Selection = Selection(),
    bias_start: bool = False,
    sensitivity_samples: int = DEFAULT_SAMPLES,
    write: int = 0,
    model_output: str | os.PathLike[str] | None = None,
    resume_path: str | os.PathLike[str] | None = None,
    execution: Execution = Execution(),
) -> Search:
    """Find the best accumulator for each product of a model, at several costs.

    One sample in four, up to 512, is kept apart: neither calibration, sensitivities, correction nor the choice see it,
    and all intervals are of these.

    Args:
        model: Path, bytes or ModelProto; a path for one with external data, which no model that is tried copies.
        data: `Samples`, or plain data in any form that they take, at least 8 samples.
        choices: What the hardware offers: accumulators such as "M7E4b10", families such as "M7E4", whose biases are
            calibrated once, and "float32".
        quantity: What is saved: "gates" or "energy" (see docs/cost.md) or "bits" of a sum.
        budgets: What a mean product may cost: numbers, shares of float32 such as "40%", or one of the choices for what
            it costs everywhere; a point for each.
        losses: Losses that are granted: numbers, or one of the choices for its loss everywhere; for each the cheapest
            point.
        points: How many points there are where neither is given: at the costs of uniform choices, if there are
            enough of them.
        share: Names or regular expressions: all products that match one have the same choice.
        fix: Names or expressions to the choices of these products, which need not be among `choices`.
        operand_format: As in `cost`.
        cost_table: As in `cost`.
        method: How biases of families are chosen, as `calibrate` takes it.
        effort: How much the correction of each model tries, as `correct` takes it; None for no correction.
        metric: As in `evaluate`: the correction goes by it, and checks tell it. Losses do not.
        solver: "dynamic" or "highs"; None for highs where scipy is installed.
        selection: Which products there are to choose for.
        bias_start: As in `convert`.
        sensitivity_samples: How many samples serve for sensitivities and correction; as many others to choose by among
            models that are tried. Half and half, where there are fewer.
        write: How many points to write as models, evenly spread over them.
        model_output: Their file; the number of the point goes before its ending.
        resume_path: A file to note the progress in, and to go on from where it exists; removed at the end.
        execution: How models run. Progress is told in products, then in models.

    Raises:
        BudgetError: Nothing fits a budget, or a loss that is granted.
        DataError: The data cannot be read or do not fit the model, there are too few, or the file at `resume_path`
            belongs to another search.
        ModelError: The model cannot be read, or holds no product for these choices.
        OutputError: An output is one of the files that are read, or another output.
        SelectionError: A pattern selects nothing, or contradicts another.
        UnpricedError: An accumulator has no price.
        ValueError: A text or number is not as described.
    """
    read = [*model_inputs(model), *data_inputs(data), *function_inputs(metric=metric)]
    check_outputs({"progress file": resume_path, "searched model": model_output}, read)
    if effort is not None and effort not in EFFORTS:
        raise ValueError(f"expected an effort out of {', '.join(EFFORTS)}, or none, got {effort!r}")
    if write and model_output is None:
        raise ValueError("write: expected a model_output to write to, got none")
    if write and model_output is not None:
        for number in range(len(budgets) + len(losses) or points):
            check_outputs({"searched model": _numbered(model_output, number)}, read)
    pricing, (solver_name, solve) = Pricing.of(quantity, operand_format, cost_table, selection), find_solver(solver)
    fixed = dict(fix or {})
    with ExitStack() as stack:
        opened = open_model(model)
        folder = stack.enter_context(scratch_beside(opened))
        opened = _placed(opened, folder)
        making = Making(opened, Samples.of(data), effort, load_metric(metric), selection, bias_start, execution)
        parts = Parts.open(stack, making, sensitivity_samples)
        making = replace(making, to_fit=parts.to_fit)
        texts = [*choices, *dict.fromkeys(text for text in fixed.values() if text not in choices)]
        sha256 = model_hash(model)
        notes = ProgressFile(resume_path, {"model_sha256": sha256, **_described(making, parts, texts, method)})
        with tallied() as calibration:
            found = derive_choices(texts, making, method, notes)
            prices = price_choices(opened.source, found, parts.first, pricing)
        groups = make_groups(list(prices.costs), found, len(choices), share, fixed)
        unmeasured = dict.fromkeys(prices.costs, (None,) * len(found))
        plan = Plan(found, len(choices), groups, prices, unmeasured, pricing.unit)
        limits, granted = read_budgets(plan, budgets), read_losses(plan, losses)
        seen = Reference.of(opened.source, parts.seen, execution.providers)
        measured = measure_sensitivities(making, seen, found, prices.macs, notes)
        plan = replace(plan, losses=measured.losses)
        with tallied() as trial:
            chosen_by = Reference.of(opened.source, parts.chosen_by, execution.providers)
        with tallied() as check:
            kept_apart = Reference.of(opened.source, parts.kept_apart, execution.providers)
        bound = most_passes(len(prices.costs), len(found), len(limits) + len(granted) or points)
        macs = sum(prices.macs.values()) or 1
        spending = Spending(seen.samples, macs, bound, calibration, measured.passes, trial=trial, check=check)
        trials = Trials(making, chosen_by, kept_apart, folder, notes, spending)
        explored = Explorer(plan, trials, solve).explore(limits, granted, points)
        found_points = _write(explored.points, plan, trials, write, model_output)
        notes.remove()
    operands = prices.operand_sources, prices.stored_types
    told = (quantity, pricing.unit, *operands, pricing.table.name, seen.name, effort, solver_name)
    return Search(
        settings=Settings(*told, tuple(choices)),
        products=plan.sensitivities(),
        points=found_points,
        uniform=explored.uniform,
        float32=found_points[0].comparison.reference,
        float32_cost=prices.float32,
        samples={"seen": seen.samples, "chosen_by": chosen_by.samples, "checked": kept_apart.samples},
        passes=spending.passes(),
        model_sha256=sha256,
        data_sha256=parts.hexdigest(),
        versions={name: package_version(name) for name in _PACKAGES},
        sources=kept(read),
    )


def _placed(opened: OpenModel, folder: Path) -> OpenModel:
    """Return a model in memory, or, with external data, in a folder where models that are tried refer to it."""
    if next(external_tensors(opened.proto), None) is None:
        return OpenModel(opened.proto, None)
    path = folder / "float32.onnx"
    save_model(opened.proto, path, source_path=opened.path)
    return open_model(path)


def _described(making: Making, parts: Parts, texts: Sequence[str], method: str | Method) -> dict[str, Any]:
    """Return what the progress of a search depends on, as JSON values."""
    return {
        "data_sha256": parts.hexdigest(),
        "batches": parts.sizes(),
        "choices": list(texts),
        "method": method if isinstance(method, str) else repr(method),
        "effort": making.effort,
        "metric": None if making.metric is None else function_name(making.metric),
        "bias_start": making.bias_start,
        **making.selection.described(),
        "version": package_version("lba-onnx"),
    }


def _write(
    points: tuple[SearchPoint, ...],
    plan: Plan,
    trials: Trials,
    count: int,
    model_output: str | os.PathLike[str] | None,
) -> tuple[SearchPoint, ...]:
    """Write models of some points, evenly spread over them; return the points, which tell where."""
    if not count or model_output is None:
        return points
    chosen = {round(place) for place in np.linspace(0, len(points) - 1, min(count, len(points)))}
    written = list(points)
    for number in sorted(chosen):
        path = _numbered(model_output, number)
        trials.write(plan.specs_of(points[number].choices), path)
        written[number] = replace(points[number], model_path=str(path))
    return tuple(written)


def _numbered(model_output: str | os.PathLike[str], number: int) -> Path:
    """Return the file of a point: its number, from 1 on, goes before the ending."""
    path = Path(model_output)
    return path.with_name(f"{path.stem}_{number + 1}{path.suffix}")

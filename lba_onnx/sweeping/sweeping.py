"""Measures a model with every combination of families and biases."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lba_onnx.calibration.methods import DEFAULT_METHOD
from lba_onnx.data.batches import Batch, read_batches
from lba_onnx.data.blocks import sample_count
from lba_onnx.data.execution import Execution, Progress
from lba_onnx.data.hashing import DataHash
from lba_onnx.data.hooks import function_name
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.data.samples import Samples
from lba_onnx.data.sources import data_inputs, function_inputs
from lba_onnx.data.watching import enter_phase
from lba_onnx.evaluation import Comparison
from lba_onnx.evaluation.figures import ComparisonFigures
from lba_onnx.evaluation.user_metric import Metric, load_metric
from lba_onnx.files.outputs import check_outputs, kept
from lba_onnx.packages import package_version
from lba_onnx.rewrite.model_files import ModelSource
from lba_onnx.rewrite.model_inputs import model_inputs
from lba_onnx.rewrite.selection import Selection
from lba_onnx.sweeping.biases import choose_specs
from lba_onnx.sweeping.cluster import ClusterPool, connected
from lba_onnx.sweeping.grid import Bias, make_grid
from lba_onnx.sweeping.job import Job, make_job
from lba_onnx.sweeping.journal import Journal
from lba_onnx.sweeping.parts import open_session
from lba_onnx.sweeping.pools import Pool, ProcessPool, SerialPool
from lba_onnx.sweeping.schedule import Part, Schedule
from lba_onnx.sweeping.shards import cut_shards
from lba_onnx.sweeping.sweep_result import Sweep, SweepPoint
from lba_onnx.sweeping.work import Work

_PACKAGES = ("lba-onnx", "onnx", "onnxruntime", "numpy")


def sweep(
    model: ModelSource,
    data: Any,
    *,
    families: Sequence[str] | str = ("M7E4",),
    biases: Sequence[Bias] | Bias = (DEFAULT_METHOD,),
    calibration_data: Any = None,
    reference: "ModelSource | None" = None,
    metric: Metric | str | None = None,
    selection: Selection = Selection(),
    bias_start: bool = False,
    work: Work = Work(),
    execution: Execution = Execution(),
) -> Sweep:
    """Measure a model with every combination of families and biases.

    With one thing varied and the rest fixed these are the tables of the paper on training and inference with 12-bit
    accumulators: mantissa effect (families) and exponent-bias effect (biases).

    The data are read once, here, shard after shard, and sent to the workers; no more shards than are being worked on
    are in memory. The result does not depend on `work`, nor on which workers are lost, as long as onnxruntime computes
    the float32 parts alike on all of them.

    Args:
        model: The float32 model, as path, bytes or ModelProto.
        data: `Samples`, or plain data in any form that they take. What prepares them runs in this process.
        families: Texts of accumulators without their bias, such as "M7E4" or "M7E4,chunk=32,round=nearest"; or with
            it, which the biases then do not apply to.
        biases: Exponent biases of the accumulator, for all nodes alike, the product's bias following by the rule of
            the paper; and names of calibration methods, which choose both biases for each node.
        calibration_data: As `data`, to calibrate on; as often readable as there are calibrations.
        reference: What to compare with; None for the model itself.
        metric: As in `evaluate`.
        selection: Which nodes to convert.
        bias_start: As in `convert`.
        work: Who does the work.
        execution: How models run. Progress is told in samples, over all points.

    Raises:
        DataError: The data cannot be read or do not fit the model, or calibration data is missing.
        ModelError: The model cannot be read or converted.
        OutputError: journal_path is one of the files that are read.
        SelectionError: A name or pattern selects nothing.
        ValueError: A family, bias, method or number is not as described.
        WorkerError: The scheduler or its workers cannot be reached, or workers were lost too often.
    """
    read = [
        *model_inputs(model),
        *model_inputs(reference, "reference"),
        *data_inputs(data),
        *data_inputs(calibration_data, "calibration data"),
        *function_inputs(metric=metric),
    ]
    check_outputs({"journal": work.journal_path}, read)
    grid, samples = make_grid(families, biases), Samples.of(data)
    job = make_job(model, reference, selection, bias_start, load_metric(metric), execution.providers)
    journal = Journal(None if work.journal_path is None else Path(work.journal_path), job.digest)
    with _open_pool(job, work) as pool:
        specs, calibration_hash = choose_specs(grid, job, calibration_data)
        inputs = describe_inputs(open_session(job, job.model))
        stream = _Hashed(read_batches(samples, inputs))
        totals = _Totals(job, len(grid), execution.progress, sample_count(samples))
        enter_phase("points", total=totals.samples)
        Schedule(specs, pool, journal, totals.add).run(cut_shards(stream, work.shard_size))
    comparisons = totals.results()
    return Sweep(
        points=tuple(SweepPoint(point, found) for point, found in zip(grid, comparisons, strict=True)),
        float32=comparisons[0].reference,
        model_sha256=job.model_sha256,
        reference_sha256=job.reference_sha256,
        data_sha256=stream.hexdigest(),
        calibration_data_sha256=calibration_hash,
        selection=selection.described(),
        versions={name: package_version(name) for name in _PACKAGES},
        sources=kept(read),
    )


@contextlib.contextmanager
def _open_pool(job: Job, work: Work) -> Iterator[Pool]:
    with contextlib.ExitStack() as stack:
        pool: Pool = SerialPool(job)
        if work.workers is not None:
            pool = ProcessPool(job, work.workers)
        if work.scheduler is not None:
            pool = ClusterPool(job, stack.enter_context(connected(work.scheduler)))
        stack.callback(pool.close)
        yield pool


class _Hashed:
    """Batches, and the hash of those that have been read."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self._hash = DataHash()

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            self._hash.update(batch)
            yield batch

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class _Totals:
    """Figures of each point, merged as parts come in."""

    def __init__(self, job: Job, points: int, progress: Progress | None, samples: int | None) -> None:
        name = None if job.metric is None else function_name(job.metric)
        self._figures = [ComparisonFigures(name) for _ in range(points)]
        self._progress = progress
        self.samples = None if samples is None else samples * points

    def add(self, part: Part, figures: ComparisonFigures) -> None:
        self._figures[part.point].merge(figures)
        if self._progress is not None:
            self._progress(sum(f.samples for f in self._figures), self.samples)

    def results(self) -> list[Comparison]:
        return [figures.result() for figures in self._figures]

"""Measures a model with every combination of formats, biases and chunk sizes."""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lba_onnx.arithmetic.chunked_float.order import DEFAULT_CHUNK_SIZE
from lba_onnx.calibration.methods import DEFAULT_METHOD
from lba_onnx.data.batches import DEFAULT_BATCH_SIZE, Batch, Preprocess, read_batches
from lba_onnx.data.blocks import sample_count
from lba_onnx.data.execution import Progress
from lba_onnx.data.hashing import DataHash
from lba_onnx.data.hooks import function_name
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.data.sources import data_inputs, function_inputs
from lba_onnx.data.watching import enter_phase
from lba_onnx.evaluation import Comparison
from lba_onnx.evaluation.figures import ComparisonFigures
from lba_onnx.evaluation.labels import Labels, with_labels
from lba_onnx.evaluation.user_metric import Metric, load_metric
from lba_onnx.files.outputs import check_outputs, kept
from lba_onnx.integers import as_count
from lba_onnx.packages import package_version
from lba_onnx.rewrite.model_files import ModelSource
from lba_onnx.rewrite.model_inputs import model_inputs
from lba_onnx.rewrite.selection import Selection
from lba_onnx.sweeping.biases import choose_specs
from lba_onnx.sweeping.cluster import ClusterPool, connected
from lba_onnx.sweeping.grid import Bias, make_grid
from lba_onnx.sweeping.job import Job, digest, make_job
from lba_onnx.sweeping.journal import Journal
from lba_onnx.sweeping.parts import open_session
from lba_onnx.sweeping.pools import Pool, ProcessPool, SerialPool
from lba_onnx.sweeping.schedule import Part, Schedule
from lba_onnx.sweeping.shards import cut_shards
from lba_onnx.sweeping.sweep_result import Sweep, SweepPoint

if TYPE_CHECKING:
    import distributed

DEFAULT_SHARD_SIZE = 128

_PACKAGES = ("lba-onnx", "onnx", "onnxruntime", "numpy")


def sweep(
    model: ModelSource,
    data: Any,
    labels: Labels | None = None,
    *,
    families: Sequence[str] | str = ("M7E4",),
    biases: Sequence[Bias] | Bias = (DEFAULT_METHOD,),
    chunk_sizes: Sequence[int | None] | int | None = (DEFAULT_CHUNK_SIZE,),
    underflow: Sequence[bool] | bool = (True,),
    calibration_data: Any = None,
    reference: "ModelSource | None" = None,
    metric: Metric | str | None = None,
    nodes_to_exclude: Sequence[str] = (),
    nodes_to_convert: Sequence[str] = (),
    op_types_to_convert: Sequence[str] | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    max_samples: int | None = None,
    preprocess: Preprocess | None = None,
    shared_inputs: Collection[str] = (),
    shard_size: int = DEFAULT_SHARD_SIZE,
    workers: int | None = None,
    scheduler: "str | distributed.Client | None" = None,
    journal_path: str | PathLike[str] | None = None,
    progress: Progress | None = None,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> Sweep:
    """Measure a model with every combination of families, biases, chunk sizes and underflow.

    With one thing varied and the rest fixed these are the tables of the paper on training and inference with 12-bit
    accumulators: mantissa effect (families) and exponent-bias effect (biases).

    The data are read once, here, shard after shard, and sent to the workers; no more shards than are being worked on
    are in memory. The result does not depend on shard_size, on how many workers there are or on which of them are
    lost, as long as onnxruntime computes the float32 parts alike on all of them.

    Args:
        model: The float32 model, as path, bytes or ModelProto.
        data: Samples, in any form that `data.blocks.open_blocks` takes; an entry "label" or "labels" is set apart.
        labels: Class numbers [samples], or the path of an .npy file with them; instead of labels in the data.
        families: Texts of accumulators without their bias, such as "M7E4" or "M7E4,chunk=32,round=nearest"; or with
            it, which the biases then do not apply to.
        biases: Exponent biases of the accumulator, for all nodes alike, the product's bias following by the rule of
            the paper; and names of calibration methods, which choose both biases for each node.
        chunk_sizes: Products per chunk, where a text does not say; None for the whole depth.
        underflow: Whether small values become zero, where a text does not say.
        calibration_data: Samples to calibrate on, in the same forms; as often readable as there are calibrations.
        reference: What to compare with; None for the model itself.
        metric: As in `evaluate`.
        nodes_to_exclude: Names and regular expressions of nodes to leave as they are.
        nodes_to_convert: Names and regular expressions of the only nodes to convert; all when empty.
        op_types_to_convert: Operator types to convert; None for all.
        batch_size: Samples per run where the model leaves it open.
        max_samples: Where to stop; None for the end of the data.
        preprocess: Called with the arrays of each feed, in this process; returns what the model is fed.
        shared_inputs: Names of the inputs that are the same for all samples, such as a mask; see `read_batches`.
        shard_size: Samples per unit of work, rounded up to whole batches.
        workers: Processes on this machine to work in, which share its processors; None for this process.
        scheduler: A Dask scheduler, such as "tcp://host:8786", or a client of one, whose workers do the work.
        journal_path: A file to keep what is found in, and to read it from when the sweep is started again; the caller
            removes it when the result is safe.
        progress: Called with the samples done, over all points, and the number in all (None where unknown).
        providers: onnxruntime's execution providers.

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
        *data_inputs(labels, "labels"),
        *data_inputs(calibration_data, "calibration data"),
        *function_inputs(metric=metric, preprocess=preprocess),
    ]
    check_outputs({"journal": journal_path}, read)
    grid = make_grid(families, biases, chunk_sizes, underflow)
    _check_numbers(shard_size, workers, scheduler)
    selection = Selection.of(nodes_to_exclude, nodes_to_convert, op_types_to_convert)
    job = make_job(model, reference, selection, load_metric(metric), providers)
    journal = Journal(None if journal_path is None else Path(journal_path), job.digest)
    reading: dict[str, Any] = {
        "batch_size": batch_size,
        "preprocess": preprocess,
        "shared_inputs": tuple(shared_inputs),
    }
    calibrating = {**vars(selection), **reading, "metric": job.metric, "providers": providers}
    with _open_pool(job, workers, scheduler) as pool:
        specs, calibration_hash = choose_specs(grid, job.model, calibration_data, calibrating)
        inputs = describe_inputs(open_session(job, job.model))
        stream = _Hashed(read_batches(data, inputs, max_samples=max_samples, **reading))
        shards = cut_shards(with_labels(stream, labels, is_whole=max_samples is None), shard_size)
        totals = _Totals(job, len(grid), progress, sample_count(data, max_samples, shared_inputs))
        enter_phase("points", total=totals.samples)
        Schedule(specs, pool, journal, totals.add).run(shards)
    comparisons = totals.results()
    return Sweep(
        points=tuple(SweepPoint(point, found) for point, found in zip(grid, comparisons, strict=True)),
        float32=comparisons[0].reference,
        model_sha256=digest(job.model),
        reference_sha256=digest(job.reference),
        data_sha256=stream.hexdigest(),
        calibration_data_sha256=calibration_hash,
        versions={name: package_version(name) for name in _PACKAGES},
        sources=kept(read),
    )


def _check_numbers(shard_size: int, workers: int | None, scheduler: Any) -> None:
    as_count("shard_size", shard_size)
    if workers is not None:
        as_count("workers", workers)
    if workers is not None and scheduler is not None:
        raise ValueError("expected workers on this machine or a scheduler, got both")


@contextlib.contextmanager
def _open_pool(job: Job, workers: int | None, scheduler: "str | distributed.Client | None") -> Iterator[Pool]:
    with contextlib.ExitStack() as stack:
        pool: Pool = SerialPool(job)
        if workers is not None:
            pool = ProcessPool(job, workers)
        if scheduler is not None:
            pool = ClusterPool(job, stack.enter_context(connected(scheduler)))
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

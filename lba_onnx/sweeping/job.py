"""What all parts of a sweep share: the models, which nodes to convert, the metric."""

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lba_onnx.data.hooks import Hook, function_name
from lba_onnx.evaluation.class_outputs import ClassOutputs, find_class_outputs
from lba_onnx.evaluation.user_metric import Metric
from lba_onnx.packages import package_version
from lba_onnx.rewrite.model_files import ModelSource
from lba_onnx.rewrite.model_hash import model_hash
from lba_onnx.rewrite.selection import Selection
from lba_onnx.sweeping.models import Packed, pack


@dataclass(frozen=True)
class Job:
    """What all parts of a sweep share.

    Attributes:
        model: The model to convert.
        reference: The model to compare with.
        selection: Which nodes to convert.
        bias_start: Whether sums start from biases.
        classes: Which of the reference's outputs may be scores of classes.
        metric: The user's metric, or None.
        providers: onnxruntime's execution providers.
        model_sha256: Hash of the model, as its source has it.
        reference_sha256: Hash of the reference.
        digest: Hash of all of these and of what computes: equal where parts find the same.
        version: Of this package.
        threads: Threads of each session; 0 for one per processor.
    """

    model: Packed = field(repr=False)
    reference: Packed = field(repr=False)
    selection: Selection
    bias_start: bool
    classes: ClassOutputs
    metric: Metric | None
    providers: tuple[str, ...]
    model_sha256: str
    reference_sha256: str
    digest: str
    version: str
    threads: int = 0


def make_job(
    model: ModelSource,
    reference: "ModelSource | None",
    selection: Selection,
    bias_start: bool,
    metric: Metric | None,
    providers: Sequence[str],
) -> Job:
    """Read the models.

    Args:
        model: The model to convert.
        reference: The model to compare with; None for the same.
        selection: Which nodes to convert.
        bias_start: Whether sums start from biases.
        metric: The user's metric, or None.
        providers: onnxruntime's execution providers.

    Raises:
        FileNotFoundError: There is no such file.
        ModelError: A model cannot be read.
    """
    packed = pack(model)
    expected = packed if reference is None else pack(reference)
    model_sha256 = model_hash(model)
    reference_sha256 = model_sha256 if reference is None else model_hash(reference)
    parts = (model_sha256, reference_sha256, selection, bias_start, _metric_source(metric), tuple(providers))
    versions = tuple(package_version(name) for name in ("lba-onnx", "onnxruntime"))
    return Job(
        model=packed,
        reference=expected,
        selection=selection,
        bias_start=bias_start,
        classes=find_class_outputs(expected),
        metric=metric,
        providers=tuple(providers),
        model_sha256=model_sha256,
        reference_sha256=reference_sha256,
        digest=hashlib.sha256(repr((parts, versions)).encode()).hexdigest(),
        version=versions[0],
    )


def _metric_source(metric: Metric | None) -> Any:
    """Return the name of a metric and the hash of the file that defines it, as far as there is one."""
    if metric is None:
        return None
    function = metric.function if isinstance(metric, Hook) else metric
    try:
        content = Path(inspect.getfile(function)).read_bytes()
    except (OSError, TypeError):  # built in, typed in, or an object that can be called
        content = b""
    return function_name(metric), hashlib.sha256(content).hexdigest()

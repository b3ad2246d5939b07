"""The unit of work of a sweep: one arithmetic on one shard of the data.

A part is a pure function of what it is given, so that it may run in any process, and again where a process was lost.
A process keeps the sessions that it used last.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lba_onnx.data.batches import Batch
from lba_onnx.data.watching import passing
from lba_onnx.errors import LbaError
from lba_onnx.evaluation.evaluating import Measured, gather_comparison
from lba_onnx.evaluation.figures import ComparisonFigures
from lba_onnx.evaluation.outputs import check_same_interface
from lba_onnx.files.leftovers import scratch_folder
from lba_onnx.packages import package_version
from lba_onnx.rewrite.given_specs import Specs
from lba_onnx.sweeping.job import Job
from lba_onnx.sweeping.models import Packed, convert_packed

if TYPE_CHECKING:
    import onnxruntime

_CACHE_BYTES = 1 << 29
_MAX_SESSIONS = 32
_SILENT = 4  # whatever onnxruntime logs as an error, it raises too


def run_part(job: Job, spec: Specs, batches: Sequence[Batch]) -> ComparisonFigures:
    """Run a shard through the converted model and the reference, and return the figures.

    Args:
        job: What all parts share.
        spec: The arithmetic: of all nodes, or by node.
        batches: The shard.

    Raises:
        DataError: A model cannot run on the data.
        LbaError: This process has another version of the package.
        ModelError: The model cannot be converted.
    """
    here = package_version()
    if job.version != here:
        raise LbaError(f"expected lba-onnx {job.version} on every worker, as where the sweep started; one has {here}")
    reference = _SESSIONS.get((job.digest, ""), lambda: open_session(job, job.reference), _capacity(job))
    candidate = _SESSIONS.get((job.digest, repr(spec)), lambda: _converted(job, spec), _capacity(job))
    check_same_interface(reference, candidate)
    return gather_comparison(reference, candidate, passing(batches), Measured(job.classes, job.metric))


class _Sessions:
    """The sessions used last; one is made at a time, whoever asks."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[tuple[str, str], onnxruntime.InferenceSession] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self, key: tuple[str, str], make: "Callable[[], onnxruntime.InferenceSession]", capacity: int
    ) -> "onnxruntime.InferenceSession":
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = make()
            self._sessions.move_to_end(key)
            while len(self._sessions) > capacity:
                self._sessions.popitem(last=False)
            return self._sessions[key]


_SESSIONS = _Sessions()


def _capacity(job: Job) -> int:
    size_bytes = len(job.model) if isinstance(job.model, bytes) else _CACHE_BYTES
    return min(max(2, _CACHE_BYTES // max(1, size_bytes)), _MAX_SESSIONS)


def _converted(job: Job, spec: Specs) -> "onnxruntime.InferenceSession":
    with scratch_folder() as folder:
        return open_session(job, convert_packed(job.model, spec, job.selection, folder, bias_start=job.bias_start))


def open_session(job: Job, model: Packed | Path) -> "onnxruntime.InferenceSession":
    """Return a session of a model with the job's threads and providers.

    Raises:
        FileNotFoundError: The model's file is missing, on this machine.
        ModelError: onnxruntime rejects the model.
    """
    import onnxruntime

    from lba_onnx.session import make_session

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT
    options.intra_op_num_threads = job.threads
    return make_session(model, options, job.providers)

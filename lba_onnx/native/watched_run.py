"""A run of a session, or other native work that begins on one thread, which another thread stops and watches.

with run.entered():                 # in the thread that works
    session.run(...)
run.stop(); run.progress()          # in another
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lba_onnx.native.library import RunProgressStruct, load_library


@dataclass(frozen=True)
class RunProgress:
    """How far a run has come.

    Attributes:
        created_nodes: Nodes of this package's operators that were created, where a session is.
        ended_nodes: Executions of such nodes that have ended.
        node_share: What is done of the one at work, 0 to 1.
    """

    created_nodes: int
    ended_nodes: int
    node_share: float


class Run:
    """A run; threads that have not entered it are not affected, whatever they run."""

    def __init__(self) -> None:
        self._library = load_library()
        self._handle = self._library.lba_run_open()
        if not self._handle:
            raise MemoryError("out of memory")

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.lba_run_close(self._handle)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let what the calling thread does be part of the run while the block runs."""
        self._library.lba_run_enter(self._handle)
        try:
            yield
        finally:
            self._library.lba_run_enter(None)

    def stop(self) -> None:
        """Make its nodes and products fail, within some milliseconds."""
        self._library.lba_run_stop(self._handle)

    def progress(self) -> RunProgress:
        """Return how far it has come."""
        raw = RunProgressStruct()
        self._library.lba_run_progress(self._handle, raw)
        return RunProgress(raw.created_nodes, raw.ended_nodes, raw.node_share)

"""A PyTorch model as what is calibrated."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from torch import nn

from lba_onnx import native
from lba_onnx.arithmetic import Accumulator
from lba_onnx.data.batch import Batch
from lba_onnx.evaluation import Comparison
from lba_onnx.evaluation.user_metric import Metric
from lba_onnx.torch.calibration.batches import BatchReader
from lba_onnx.torch.calibration.judge import LikenessJudge, MetricJudge, open_judge
from lba_onnx.torch.calibration.model_copy import ModelCopy, SiteCollector


@dataclass(frozen=True)
class ModuleSubject:
    """The model, as `calibration.subject.Subject` describes it; its nodes are sites.

    Attributes:
        model: The user's model; what it returns is the reference.
        copy: Its copy, on which everything is tried out.
        reader: Knows how to call them.
        metric: What to judge the output by; None for the likeness to the model's.
    """

    model: nn.Module
    copy: ModelCopy
    reader: BatchReader
    metric: Metric | None

    packages = ("lba-onnx", "torch", "numpy")

    @property
    def node_names(self) -> tuple[str, ...]:
        """The sites, in the model's order."""
        return self.copy.site_names

    def collecting(
        self, sampled_fraction: float, specs: Mapping[str, Accumulator] | None = None
    ) -> AbstractContextManager[SiteCollector]:
        """Let the sites collect while a block runs."""
        return self.copy.collecting(sampled_fraction, specs)

    def observing(self, observer: native.Observer) -> AbstractContextManager[Callable[[Batch], None]]:
        """Let the sites show each of their calls to an observer while a block runs; yields what runs a batch."""
        return self.copy.observing(observer)

    def comparing(self, batches: Sequence[Batch]) -> Callable[[Mapping[str, Accumulator]], Comparison]:
        """Refuse: what is chosen by a comparison are the bits of integers, and PyTorch models multiply floats.

        Raises:
            ValueError: Always.
        """
        raise ValueError("expected a method that chooses the biases of floats, as PyTorch models multiply these")

    def judge(self, batches: Sequence[Batch]) -> LikenessJudge | MetricJudge:
        """Return what judges accumulators by the model's output for these samples."""
        return open_judge(self.model, self.copy, self.reader, batches, self.metric)

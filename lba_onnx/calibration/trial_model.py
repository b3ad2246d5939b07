"""A model converted once, whose accumulators change from trial to trial by their attributes alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lba_onnx.arithmetic import Accumulator
from lba_onnx.errors import ModelError

if TYPE_CHECKING:
    import onnx

    from lba_onnx.rewrite.report import ConversionReport
    from lba_onnx.rewrite.selection import Selection


class TrialModel:
    """The converted model.

    Attributes:
        node_names: The nodes that were converted, in the model's order.
    """

    def __init__(self, converted: "onnx.ModelProto", node_names: tuple[str, ...], folder: Path | None) -> None:
        self.node_names = node_names
        self._converted = converted
        self._folder = folder

    def wide(self) -> "onnx.ModelProto | Path":
        """Return the model with accumulators that stand for float32."""
        return self._stored(self._converted, "wide.onnx")

    def with_specs(self, specs: Mapping[str, Accumulator]) -> "onnx.ModelProto | Path":
        """Return the model with these accumulators; nodes that are not named keep the wide one.

        Where it is a path, the next call overwrites the file.
        """
        from lba_onnx.rewrite.specs import change_specs

        changed = change_specs(self._converted, lambda name, present: specs.get(name, present))
        return self._stored(changed, "trial.onnx")

    def _stored(self, model: "onnx.ModelProto", name: str) -> "onnx.ModelProto | Path":
        if self._folder is None:
            return model
        path = self._folder / name
        path.write_bytes(model.SerializeToString())
        return path


@contextmanager
def open_trial_model(model: Any, wide: Accumulator, selection: "Selection", bias_start: bool) -> Iterator[TrialModel]:
    """Convert a model to wide accumulators, in memory or, where its weights are too large for that, on disk.

    Args:
        model: Path, bytes or ModelProto.
        wide: The accumulator that stands for float32.
        selection: Which nodes to convert.
        bias_start: Whether sums start from biases.

    Raises:
        ModelError: No node is selected and convertible, or the model cannot be read.
    """
    from lba_onnx.rewrite.conversion import convert_quietly
    from lba_onnx.rewrite.model_files import external_tensors, open_model
    from lba_onnx.rewrite.model_writer import scratch_beside

    converted, report = convert_quietly(model, wide, selection=selection, bias_start=bias_start)
    names = _converted_names(report)
    if not (isinstance(model, (str, PathLike)) and next(external_tensors(converted), None) is not None):
        yield TrialModel(converted, names, None)
        return
    with scratch_beside(open_model(model)) as folder:
        output = folder / "converted.onnx"
        converted, _ = convert_quietly(model, wide, selection=selection, bias_start=bias_start, model_output=output)
        yield TrialModel(converted, names, folder)


def _converted_names(report: "ConversionReport") -> tuple[str, ...]:
    if report.converted:
        return tuple(entry.node for entry in report.converted)
    reasons = ", ".join(sorted({entry.reason for entry in report.left}))
    raise ModelError(
        "expected at least one MatMul, Gemm or Conv to calibrate, got none that can be converted"
        + (f" ({len(report.left)} left: {reasons})" if reasons else "")
    )

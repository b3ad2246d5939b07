"""From a model and its data to the calibration, whatever runs the model.

request
   | keep                     which samples the method needs
data pass  ->  DataSeen       ranges of every node, hash, samples kept
   |
method     ->  Chosen         exponents of every node, and how they fared by the model's output
   |
events     ->  Statistics     a run on a few samples with these accumulators
   |
assembly   ->  Calibration    rates, notes and warnings
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from lba_onnx.calibration.assembly import assemble, report
from lba_onnx.calibration.calibration_result import Calibration
from lba_onnx.calibration.data_pass import DataPass, sampled_fraction
from lba_onnx.calibration.passed_levels import PassedLevels
from lba_onnx.calibration.progress_file import ProgressFile
from lba_onnx.calibration.rates import count_events
from lba_onnx.calibration.request import Request
from lba_onnx.calibration.seen import DataSeen
from lba_onnx.calibration.subject import Subject
from lba_onnx.data.batch import Batch
from lba_onnx.data.execution import Progress
from lba_onnx.data.inputs import ModelInput
from lba_onnx.data.watching import enter_phase


@dataclass(frozen=True)
class Data:
    """The samples.

    Attributes:
        read: Returns them in batches, for these inputs of the model.
        total: Number of samples; None where unknown.
    """

    read: Callable[[tuple[ModelInput, ...]], Iterable[Batch]]
    total: int | None


def calibrate_subject(
    subject: Subject, data: Data, request: Request, progress_file: ProgressFile, progress: Progress | None
) -> Calibration:
    """Choose the accumulators of every node.

    Args:
        subject: The model.
        data: The samples, read once.
        request: What is asked for.
        progress_file: Where to go on, and where to note how far the pass has come; removed at the end.
        progress: Called with the samples done and in all; then with what the method does on top.

    Raises:
        DataError: The data do not fit the model, hold NaN or infinities, or are not those of the interrupted run.
    """
    seen = see_data(subject, data, request, progress_file, progress)
    result = calibrate_seen(subject, seen, request, progress)
    progress_file.remove()
    report(result)
    return result


def calibrate_seen(subject: Subject, seen: DataSeen, request: Request, progress: Progress | None) -> Calibration:
    """Choose the accumulators of every node from what the data pass left; arguments as of `calibrate_subject`."""
    settings = replace(request.settings, depths={n: found.depth for n, found in seen.ranges.items() if found})
    chosen = request.method.choose(seen, subject, settings, progress)
    events = count_events(subject, settings.specs(chosen.exponents), seen.counted)
    return assemble(request, settings, seen, chosen, events, subject.packages)


def see_data(
    subject: Subject, data: Data, request: Request, progress_file: ProgressFile, progress: Progress | None
) -> DataSeen:
    """Run the data pass, which families with the same order of sums share; arguments as of `calibrate_subject`."""
    with subject.collecting(sampled_fraction(data.total)) as collector:
        data_pass = DataPass(
            PassedLevels(collector, request.family), subject.node_names, progress_file, progress, data.total
        )
        batches = data.read(collector.inputs)
        enter_phase("ranges", total=data.total)
        return data_pass.run(batches, collector.inputs, request.method.keeps)

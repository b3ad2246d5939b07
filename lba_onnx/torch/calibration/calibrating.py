"""From a loader to the accumulators of every site of a PyTorch model, by the methods of `lba_onnx.calibration`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn

from lba_onnx.arithmetic import as_spec
from lba_onnx.calibration import Calibration
from lba_onnx.calibration.flow import Data, calibrate_subject
from lba_onnx.calibration.methods import DEFAULT_METHOD, Method
from lba_onnx.calibration.progress_file import ProgressFile
from lba_onnx.calibration.request import Request
from lba_onnx.data.execution import Progress
from lba_onnx.evaluation.user_metric import load_metric
from lba_onnx.torch.calibration.batches import Batches, BatchReader
from lba_onnx.torch.calibration.model_copy import ModelCopy
from lba_onnx.torch.calibration.subject import ModuleSubject
from lba_onnx.torch.layers.candidates import Filter

ModuleMetric = Callable[[Any, Any], Any]
"""Called with the model's outputs and the batch; returns numbers or truths [samples], larger is better."""


def calibrate(
    model: nn.Module,
    data: "Batches | Iterable[Any]",
    family: str = "M7E4",
    method: str | Method = DEFAULT_METHOD,
    *,
    attention: Sequence[str] = (),
    filter_fn: Filter | None = None,
    bias_start: bool = False,
    metric: ModuleMetric | str | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Choose the exponent biases of every layer of a PyTorch model from batches of its data.

    The methods and the statistics are those of `lba_onnx.calibrate` (docs/calibration.md); nothing is exported. A deep
    copy of the model runs, in eval mode and without gradients; the model stays as it is, and so does PyTorch's random
    state. `LbaConfig(calibration.specs, attention=attention)` takes the result.

    A model that is converted already is calibrated at its sites, with its quantizers: the present specs play no part,
    and float32 means the same model with accumulators that stand for it. `set_specs_(model, calibration.specs)` then
    leaves estimators and quantizers as they are.

    Args:
        model: A float32 model on the CPU, converted or not.
        data: `Batches`, or plain batches in any form that it takes, such as a DataLoader.
        family: Text of what to choose the biases of, such as "M7E4" or "M7E4,chunk=32,round=nearest".
        method: How the biases are chosen, as `lba_onnx.calibrate` takes it; see docs/calibration.md.
        attention: Attention modules whose matrix products are calibrated too, as `LbaConfig` takes them.
        filter_fn: Called with each module and its name; says which to calibrate, as `quantize_` takes it.
        bias_start: Whether sums start from biases, as `LbaConfig` takes it.
        metric: What methods judge the model's output by, as a function or as "module:function": called
            with what the model returned and the batch, returns a number per sample, larger is better. None for the
            likeness to the float32 outputs.
        progress: Called after each batch with the samples done and the samples in all (None where unknown); then again
            from 1 up for what the method does on top, in samples or evaluations.

    Returns:
        The calibration, with sites (as `lba_sites` names them) as its nodes.

    Raises:
        DataError: There are no data, they have another form, hold NaN or infinities, or the model does not run on them.
        ModelError: The model cannot be copied, is not on the CPU, or has modules that cannot be converted.
        SelectionError: There is nothing to calibrate, or an attention name or pattern selects nothing.
        TypeError: The model is no module.
        ValueError: The family, the method or a number is not as described, or modules or biases are selected of a model
            that is converted already.
    """
    request, metric, batches = Request.of(family, method), load_metric(metric), Batches.of(data)
    if request.family.is_of_integers:
        raise ValueError(f"expected a family of floats, which PyTorch models multiply, got {request.family}")
    with torch.random.fork_rng(devices=[]):
        copy = ModelCopy(model, as_spec(request.family.wide()), attention, filter_fn, bias_start)
        reader = BatchReader(batches, with_labels=metric is not None)
        copy.prepare(reader)
        subject, to_read = ModuleSubject(model, copy, reader, metric), Data(lambda _: reader, batches.count())
        return calibrate_subject(subject, to_read, request, ProgressFile(None, {}), progress)

"""From a loader to the accumulators of every site of a PyTorch model, by the methods of `lba_onnx.calibration`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn

from lba_onnx.arithmetic import as_spec
from lba_onnx.arithmetic.chunked_float.order import DEFAULT_CHUNK_SIZE
from lba_onnx.calibration import Calibration
from lba_onnx.calibration.flow import Data, calibrate_subject
from lba_onnx.calibration.methods import DEFAULT_METHOD, NUMBERS
from lba_onnx.calibration.progress_file import ProgressFile
from lba_onnx.calibration.request import Request
from lba_onnx.data.execution import Progress
from lba_onnx.evaluation.user_metric import load_metric
from lba_onnx.torch.calibration.batches import BatchReader, Forward
from lba_onnx.torch.calibration.model_copy import ModelCopy
from lba_onnx.torch.calibration.subject import ModuleSubject
from lba_onnx.torch.layers.candidates import Filter

ModuleMetric = Callable[[Any, Any], Any]
"""Called with the model's outputs and the batch; returns numbers or truths [samples], larger is better."""


def calibrate(
    model: nn.Module,
    loader: Iterable[Any],
    family: str = "M7E4",
    method: str = DEFAULT_METHOD,
    *,
    attention: Sequence[str] = (),
    filter_fn: Filter | None = None,
    granularity: str = "layer",
    tied: bool = False,
    percentile: float = NUMBERS["percentile"].default,
    evaluations: int = NUMBERS["evaluations"].default,
    layer_evaluations: int = NUMBERS["layer_evaluations"].default,
    metric: ModuleMetric | str | None = None,
    chunk_size: int | None = DEFAULT_CHUNK_SIZE,
    underflow: bool = True,
    max_samples: int | None = None,
    forward: Forward | None = None,
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
        loader: A DataLoader or another iterable of batches. A batch is a tensor; (input,) or (input, labels), where the
            input may be a tuple of several; or a dictionary of keyword arguments, where "label" and "labels" are no
            arguments. With `forward`, batches may have any form made of tensors, NumPy arrays (handed on as tensors),
            numbers, strings, tuples, lists and mappings (handed on as dictionaries).
        family: Text of what to choose the biases of, such as "M7E4" or "M7E4,chunk=32,round=nearest".
        method: How the biases are chosen, one of `calibration.methods.METHODS`; see docs/calibration.md.
        attention: Attention modules whose matrix products are calibrated too, as `LbaConfig` takes them.
        filter_fn: Called with each module and its name; says which to calibrate, as `quantize_` takes it.
        granularity: "layer" for biases of each layer's own, "model" for the same everywhere.
        tied: Whether the product's bias follows from the accumulator's by the rule of the paper.
        percentile: Percent of the sampled products and sums to hold, for methods that go by it.
        evaluations: Most evaluations of the model that a search spends on changes to all layers at once.
        layer_evaluations: Further ones that it spends on changes to single layers.
        metric: What methods judge the model's output by, as a function or as "module:function": called
            with what the model returned and the batch, returns a number per sample, larger is better. None for the
            likeness to the float32 outputs.
        chunk_size: Products per chunk, where the family does not say; None for the whole depth.
        underflow: Whether small values underflow, where the family does not say.
        max_samples: Where to stop; None for the end of the data.
        forward: Runs a model on a batch, `forward(model, batch)`, and returns the outputs; None to call the model.
        progress: Called after each batch with the samples done and the samples in all (None where unknown); then again
            from 1 up for what the method does on top, in samples or evaluations.

    Returns:
        The calibration, with sites (as `lba_sites` names them) as its nodes.

    Raises:
        DataError: There are no data, they have another form, hold NaN or infinities, or the model does not run on them.
        ModelError: The model cannot be copied, is not on the CPU, or has modules that cannot be converted.
        SelectionError: There is nothing to calibrate, or an attention name or pattern selects nothing.
        TypeError: The model is no module.
        ValueError: The family, the method or a number is not as described, or modules are selected of a model that is
            converted already.
    """
    request = Request.of(
        family,
        method,
        granularity=granularity,
        tied=tied,
        chunk_size=chunk_size,
        underflow=underflow,
        percentile=percentile,
        evaluations=evaluations,
        layer_evaluations=layer_evaluations,
    )
    metric = load_metric(metric)
    total = _sample_count(loader, max_samples)
    with torch.random.fork_rng(devices=[]):
        copy = ModelCopy(model, as_spec(request.settings.family.wide()), attention, filter_fn)
        reader = BatchReader(loader, forward, metric is not None, max_samples)
        copy.prepare(reader)
        subject = ModuleSubject(model, copy, reader, metric)
        return calibrate_subject(subject, Data(lambda _: reader, total), request, ProgressFile(None, {}), progress)


def _sample_count(loader: Any, max_samples: int | None) -> int | None:
    """Return how many samples a DataLoader with a sampler of known length has; None for others."""
    try:
        count = len(loader.sampler)
    except (AttributeError, TypeError):
        return None
    if loader.batch_sampler is None:  # what the sampler counts are whole batches
        return None
    return count if max_samples is None else min(count, max_samples)

"""torch.onnx.export, made quiet: a program with low-bit-accumulator nodes, or one error that says what failed."""

import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import torch
from torch import Tensor, nn

from lba_onnx.errors import ModelError
from lba_onnx.torch.exporting.calls import naming_sites
from lba_onnx.torch.exporting.translation import translation_table
from lba_onnx.torch.layers.float8 import Float8InputQuantizer

_LOGGERS = ("torch", "torch.export", "torch.fx", "torch.onnx", "torch._dynamo", "onnxscript", "onnx_ir")
_PLACE = re.compile(r'File "([^"]+)", line (\d+), in forward')


def check_is_evaluated(model: nn.Module) -> None:
    """Refuse a model of which a part is in training mode.

    Raises:
        ModelError: It is; the message names the first such module.
    """
    training = next((name for name, module in model.named_modules() if module.training), None)
    if training is not None:
        where = f"its module {training!r}" if training else "it"
        raise ModelError(f"expected a {type(model).__name__} in evaluation mode, but {where} trains; call model.eval()")


def as_args(args: Tensor | Sequence[Any]) -> tuple[Any, ...]:
    """Return positional arguments as a tuple; a single tensor is one of them.

    Raises:
        TypeError: `args` is neither.
    """
    if isinstance(args, Tensor):
        return (args,)
    if not isinstance(args, (tuple, list)):
        raise TypeError(f"expected a tensor or a tuple of arguments, got {type(args).__name__}")
    return tuple(args)


def trace(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    opset_version: int | None,
    input_names: Sequence[str] | None,
    output_names: Sequence[str] | None,
    dynamic_shapes: Any,
) -> "torch.onnx.ONNXProgram":
    """Return the program that torch.onnx.export makes of a model; its nodes hold their names in `statistics`.

    Raises:
        ModelError: PyTorch cannot trace or translate the model, or not to that opset; or an input quantizer that takes
            part has no range.
        LbaError: onnxscript is not installed.
    """
    table = translation_table()
    with naming_sites(model), _rangeless_quantizers(model) as rangeless, torch.no_grad(), _silence():
        try:
            program = torch.onnx.export(
                model,
                args,
                kwargs=dict(kwargs),
                dynamo=True,
                verbose=False,
                opset_version=opset_version,
                input_names=input_names,
                output_names=output_names,
                dynamic_shapes=dynamic_shapes,
                custom_translation_table=table,
            )
        except Exception as error:
            raise ModelError(f"{type(model).__name__} cannot be exported: {_reason(error)}") from error
    assert program is not None
    if rangeless:
        raise ModelError(
            f"{type(model).__name__} cannot be exported: the quantizer {rangeless[0]!r} has no range; run at least one "
            "batch with it in training mode"
        )
    reached = program.model.opset_imports[""]
    if opset_version is not None and reached != opset_version:
        raise ModelError(
            f"{type(model).__name__} cannot be exported to opset {opset_version}: PyTorch makes it opset {reached}"
        )
    return program


@contextmanager
def _rangeless_quantizers(model: nn.Module) -> Iterator[list[str]]:
    """Yield a list to which quantizers without a range add their names when they are called in the block."""
    called: list[str] = []
    handles = [
        module.register_forward_pre_hook(lambda module, args, name=name: called.append(name))
        for name, module in model.named_modules()
        if isinstance(module, Float8InputQuantizer) and not module.has_range
    ]
    try:
        yield called
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what the exporter prints, warns of and logs from the terminal; what matters in it is raised."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _reason(error: BaseException) -> str:
    """Return what first went wrong, without the exporter's advice on itself."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    places = _PLACE.findall(text)
    return f"{type(error).__name__}: {first}" + (f" ({places[-1][0]}, line {places[-1][1]})" if places else "")

"""Static int8 models: a float32 model of the zoo through onnxruntime's own quantizer, in every form that it writes."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from models.fetch import write_to_cache
from models.zoo import ZooModel

_LAYOUTS = {"qdq": QuantFormat.QDQ, "qoperator": QuantFormat.QOperator}
_TYPES = {"u8s8": (QuantType.QUInt8, QuantType.QInt8), "s8s8": (QuantType.QInt8, QuantType.QInt8)}
_SCALES = {"channel": True, "tensor": False}


@dataclass(frozen=True)
class Form:
    """How a model is quantized; its text is such as "qdq-u8s8-channel".

    Attributes:
        layout: "qdq" has float operators between QuantizeLinear and DequantizeLinear; "qoperator" has QLinearConv.
        types: of activations and weights, "u8s8" or "s8s8".
        scales: of weights, one a "tensor" or one a "channel".
    """

    layout: str
    types: str
    scales: str

    def __str__(self) -> str:
        return f"{self.layout}-{self.types}-{self.scales}"


FORMS = tuple(Form(layout, types, scales) for layout in _LAYOUTS for types in _TYPES for scales in _SCALES)


def quantize(model: ZooModel, form: Form) -> ZooModel:
    """Returns a float32 model in int8; the ranges of its activations are those of all its calibration samples."""
    activations, weights = _TYPES[form.types]
    assert isinstance(model.calibration, Mapping), "static models have samples of one shape"
    with tempfile.TemporaryDirectory() as folder:
        source, written = Path(folder, "float32.onnx"), Path(folder, "int8.onnx")
        shutil.copy(model.model_path, source)  # the quantizer writes beside it, as other processes may at this time
        quantize_static(
            source,
            written,
            _Samples(model.calibration),
            quant_format=_LAYOUTS[form.layout],
            activation_type=activations,
            weight_type=weights,
            per_channel=_SCALES[form.scales],
        )
        content = onnx.load(written).SerializeToString(deterministic=True)
    return replace(model, model_path=write_to_cache(f"{model.name}-{form}.onnx", content))


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    """Feeds the quantizer one sample after the other."""

    def __init__(self, samples: Mapping[str, NDArray[Any]]) -> None:
        self._feeds = _read(samples)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._feeds, None)


def _read(samples: Mapping[str, NDArray[Any]]) -> Iterator[dict[str, NDArray[Any]]]:
    inputs = {name: values for name, values in samples.items() if name != "label"}
    for index in range(len(next(iter(inputs.values())))):
        yield {name: values[index : index + 1] for name, values in inputs.items()}

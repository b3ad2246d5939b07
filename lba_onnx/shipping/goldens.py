"""Sample inputs of a model, and the outputs that it gives for them, as plain .npy files.

    samples/0/input_0.npy  input_1.npy  ...      in the model's order
    samples/0/output_0.npy ...

No file of them is a pickle.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.execution import run_session
from lba_onnx.data.inputs import ModelInput, describe_inputs
from lba_onnx.data.language_inputs import MASK, POSITIONS, TOKEN_IDS, with_language_inputs
from lba_onnx.data.reading import read_samples
from lba_onnx.data.samples import Samples
from lba_onnx.errors import DataError, ModelError
from lba_onnx.integers import as_count

if TYPE_CHECKING:
    import onnxruntime

_MOST_SAMPLES = 16


@dataclass(frozen=True)
class SampleInputs:
    """What a bundle's samples are.

    Attributes:
        samples: Data, of which the first 16 are taken unless `max_samples` says more; None to draw inputs at random.
        seed: Of the random inputs: normal floats, and token ids, truth values and whole numbers of 0 and 1.
        input_shapes: Of the random inputs, where the model leaves sizes open. An open first axis alone is 2.
    """

    samples: Samples | None = None
    seed: int = 0
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the seed."""
        as_count("seed", self.seed + 1)

    def describe(self) -> str:
        """Return where the inputs come from, in words."""
        if self.samples is None:
            return f"random, seed {self.seed}"
        return Path(self.samples.data).name if isinstance(self.samples.data, (str, PathLike)) else "data"

    def feeds(self, session: "onnxruntime.InferenceSession") -> Iterator[dict[str, Any]]:
        """Yield feeds, one in memory at a time.

        Raises:
            DataError: The data do not fit the model, or its inputs cannot be drawn.
        """
        inputs = describe_inputs(session)
        unknown = set(self.input_shapes) - {i.name for i in inputs}
        if unknown:
            raise DataError(f"expected shapes of the inputs {_listed(inputs)}, got one of {sorted(unknown)[0]!r}")
        if self.samples is None:
            yield _draw(inputs, self.seed, self.input_shapes)
            return
        yield from (batch.feeds for batch in read_samples(self.samples.up_to(_MOST_SAMPLES), inputs))


def write_samples(session: "onnxruntime.InferenceSession", sample_inputs: SampleInputs, folder: Path) -> list[str]:
    """Run a model and write what it was fed and what it gave, a folder a run; returns the names of the folders.

    Raises:
        DataError: The data do not fit the model, or its inputs cannot be drawn.
        ModelError: The model does not run on them, or an input or output is no array of numbers.
    """
    names = []
    for number, feeds in enumerate(sample_inputs.feeds(session)):
        target = folder / str(number)
        target.mkdir(parents=True)
        for index, value in enumerate(session.get_inputs()):
            _save(target / f"input_{index}.npy", feeds[value.name], value.name)
        for index, (value, output) in enumerate(zip(session.get_outputs(), _run(session, feeds), strict=True)):
            _save(target / f"output_{index}.npy", output, value.name)
        names.append(str(number))
    return names


def compare_samples(session: "onnxruntime.InferenceSession", folder: Path) -> Iterator[str]:
    """Yield a sentence for each output that a model gives otherwise than a folder of samples has it."""
    feeds = {v.name: _load(folder / f"input_{i}.npy") for i, v in enumerate(session.get_inputs())}
    outputs = _run(session, feeds)
    for index, (value, output) in enumerate(zip(session.get_outputs(), outputs, strict=True)):
        expected = _load(folder / f"output_{index}.npy")
        difference = _difference(np.asarray(output), expected)
        if difference:
            yield f"samples/{folder.name}, output {value.name!r}: {difference}"


def _difference(got: NDArray[Any], expected: NDArray[Any]) -> str:
    if (got.dtype, got.shape) != (expected.dtype, expected.shape):
        return f"expected {expected.dtype} {list(expected.shape)}, got {got.dtype} {list(got.shape)}"
    bits = f"V{got.itemsize}"
    is_other = np.ascontiguousarray(got).reshape(-1).view(bits) != np.ascontiguousarray(expected).reshape(-1).view(bits)
    if not is_other.any():
        return ""
    with np.errstate(all="ignore"):
        largest = np.nanmax(np.abs(got.astype(np.float64) - expected.astype(np.float64)))
    return f"expected the golden bits, got {int(is_other.sum())} of {got.size} values with others, by up to {largest:g}"


def _run(session: "onnxruntime.InferenceSession", feeds: Mapping[str, Any]) -> list[Any]:
    try:
        return run_session(session, None, feeds)
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise ModelError(f"the model does not run on its samples: {error}") from error


def _save(path: Path, value: Any, name: str) -> None:
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        raise ModelError(f"{name}: expected an array of numbers, got {type(value).__name__}")
    np.save(path, np.asarray(value, order="C"), allow_pickle=False)


def _load(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as .npy: {error}") from error


def _draw(inputs: tuple[ModelInput, ...], seed: int, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return random feeds; masks, positions and empty caches of a language model follow from its token ids."""
    random = np.random.default_rng(seed)
    told = (MASK, POSITIONS) if any(i.name == TOKEN_IDS for i in inputs) else ()
    drawn: dict[str, Any] = {}
    for model_input in inputs:
        if model_input.name not in told and not (told and model_input.name.startswith("past_")):
            drawn[model_input.name] = _draw_one(model_input, random, shapes.get(model_input.name))
    return with_language_inputs(drawn, inputs, "random inputs")


def _draw_one(model_input: ModelInput, random: np.random.Generator, given: tuple[int, ...] | None) -> NDArray[Any]:
    if model_input.dtype is None:
        raise DataError(f"{model_input}: expected numbers to draw at random, got another type; give data")
    shape = given if given is not None else _shape(model_input)
    if np.dtype(model_input.dtype).kind == "f":
        return random.standard_normal(shape).astype(model_input.dtype)
    return random.integers(0, 2, shape).astype(model_input.dtype)


def _shape(model_input: ModelInput) -> tuple[int, ...]:
    first, *rest = model_input.shape or (1,)
    if None in rest:
        raise DataError(f"{model_input}: expected sizes of all axes but the first, got open ones; give shapes or data")
    known = (2 if first is None else first, *(size for size in rest if size is not None))
    return known if model_input.shape else ()


def _listed(inputs: tuple[ModelInput, ...]) -> str:
    return ", ".join(repr(i.name) for i in inputs)

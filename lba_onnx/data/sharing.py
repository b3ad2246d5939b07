"""Which inputs are the same for all samples: those that are named, and those that fit in no other way.

x    [32, 8] for ['n', 't']      32 samples
mask [8, 8]  for ['t', 't']      the same for all: the axis 't' is also one inside a sample
state [2, 64] for [2, 64]        the same for all: the model fixes the size 2 beside the free 'n'
scale [1, 8] for [?, 8]          the same for all: one entry beside 32

A guess is logged, once for each input. What is guessed wrongly can be named.
"""

import logging
from collections import Counter
from collections.abc import Collection, Mapping

from lba_onnx.data.arrays import Rows
from lba_onnx.data.inputs import ModelInput, fits
from lba_onnx.errors import DataError

_LOG = logging.getLogger(__name__)


class Sharing:
    """Says of each block of data which inputs are shared."""

    def __init__(self, inputs: tuple[ModelInput, ...], named: Collection[str]) -> None:
        """Start with what the user says.

        Args:
            inputs: The model's inputs.
            named: Names of inputs, or of arrays that a function makes inputs of, which are the same for all samples.
        """
        self.named = frozenset(named)
        self._inputs = inputs
        self._inner_axes = {axis for i in inputs for axis in i.axes[1:] if axis is not None}
        self._said: set[str] = set()

    def find(self, arrays: Mapping[str, Rows], is_stacked: bool, origin: str) -> frozenset[str]:
        """Return the inputs that are shared.

        Args:
            arrays: An array for each input.
            is_stacked: Whether the first axes run over samples and have to be of the same length.
            origin: For messages.

        Raises:
            DataError: A named input does not have the shape that the model takes.
        """
        named = [i for i in self._inputs if i.name in self.named]
        for model_input in named:
            if not fits(model_input.shape, arrays[model_input.name].shape):
                got = f"{arrays[model_input.name].dtype} {list(arrays[model_input.name].shape)}"
                raise DataError(f"{origin}: expected {model_input}, the same for every sample, got {got}")
        rest = [i for i in self._inputs if i.shape and i.is_tensor and i not in named and arrays[i.name].ndim]
        found = self._inside_samples(rest, arrays)
        if is_stacked:
            left = [i for i in rest if i.name not in found]
            found |= _entry_by_entry(left, arrays) or _fixed_beside_free(left, arrays) or _of_other_length(left, arrays)
        for name, reason in found.items():
            self._say(name, arrays[name], reason)
        return frozenset((*(i.name for i in named), *found))

    def _inside_samples(self, inputs: list[ModelInput], arrays: Mapping[str, Rows]) -> dict[str, str]:
        """Find inputs whose first axis is, by its name, one inside the samples."""
        found = {
            i.name: f"{i.axes[0]!r}, its first axis, is one inside the samples"
            for i in inputs
            if i.axes and i.axes[0] in self._inner_axes and fits(i.shape, arrays[i.name].shape)
        }
        return found if len(found) < len(inputs) else {}

    def _say(self, name: str, array: Rows, reason: str) -> None:
        if name not in self._said:
            self._said.add(name)
            shape = list(array.shape)
            text = "%s: the same %s for every sample, since %s; naming it among shared_inputs says so"
            _LOG.warning(text, name, shape, reason)


def _entry_by_entry(inputs: list[ModelInput], arrays: Mapping[str, Rows]) -> dict[str, str]:
    """Find inputs given as the model takes them, beside others with one axis more."""
    stacked = [i.name for i in inputs if arrays[i.name].ndim == len(i.shape or ()) + 1]
    lengths = {arrays[name].shape[0] for name in stacked}
    reason = f"it has the model's shape, and {', '.join(stacked)} one axis more"
    as_it_is = [i for i in inputs if i.name not in stacked and fits(i.shape, arrays[i.name].shape)]
    is_fixed = {i.name: i.shape is not None and i.shape[0] is not None for i in as_it_is}
    return {name: reason for name in is_fixed if stacked and (is_fixed[name] or arrays[name].shape[0] not in lengths)}


def _fixed_beside_free(inputs: list[ModelInput], arrays: Mapping[str, Rows]) -> dict[str, str]:
    """Find inputs whose first size the model fixes, beside others that it leaves open."""
    free = [i.name for i in inputs if i.shape is not None and i.shape[0] is None]
    fixed = [i for i in inputs if i.name not in free and fits(i.shape, arrays[i.name].shape)]
    return {i.name: f"the model fixes its shape, and leaves {', '.join(free)} open" for i in fixed if free}


def _of_other_length(inputs: list[ModelInput], arrays: Mapping[str, Rows]) -> dict[str, str]:
    """Find inputs with one entry, or another number of entries than most."""
    counts = {i.name: _feeds(i, arrays[i.name]) for i in inputs if arrays[i.name].ndim == len(i.shape or ())}
    several = {name: count for name, count in counts.items() if count > 1}
    ranked = Counter(several.values()).most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return {}
    most = ranked[0][0]
    others = [i for i in inputs if counts.get(i.name, most) != most and fits(i.shape, arrays[i.name].shape)]
    rest = ", ".join(name for name, count in counts.items() if count == most)
    return {i.name: f"it has the model's shape, and {rest} hold {most} entries" for i in others}


def _feeds(model_input: ModelInput, array: Rows) -> int:
    size = (model_input.shape or (None,))[0]
    return array.shape[0] if not size else -(-array.shape[0] // size)

"""Sites: the modules of a converted model that multiply and accumulate, each with an arithmetic of its own.

    lba_sites(model) -> {"fc1": LbaLinear(...), "layer.0.attention.self.scores": LbaMatmul(...), ...}

A site is a module: hooks on it see the operands and the result.
"""

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from lba_onnx.arithmetic import Accumulator
from lba_onnx.errors import ModelError
from lba_onnx.estimators import DEFAULT_ESTIMATOR, as_estimator
from lba_onnx.torch.operators.operands import spec_of_floats

ATTENTION_CHILD = "lba_attention"
"""Name of the child module that holds the sites of an attention module."""


class LbaSite(nn.Module):
    """Base of the modules whose dot products run in a low bit-width accumulator.

    Attributes:
        spec: The arithmetic; text is taken too, and read when set.
        estimator: How the backward pass treats what the accumulator loses.
        statistics: A key "run/site" under which products and sums are counted while that run is open, or "".
        input_quantizer: Applied to the input, of a product of two computed matrices to the first; None for nothing.
    """

    QUANTIZERS: ClassVar[Mapping[str, str]]
    """The attributes that hold quantizers, to the fields of `LbaConfig` that make them."""

    input_quantizer: nn.Module | None

    def __init__(self, *args: Any, spec: Accumulator | str, estimator: str = DEFAULT_ESTIMATOR, **kwargs: Any) -> None:
        """Make the site, a float32 layer included where it is one.

        Args:
            args: Those of the float32 layer.
            spec: The arithmetic, or its text.
            estimator: How the backward pass treats what the accumulator loses.
            kwargs: Quantizers by the names in `QUANTIZERS`, and what else the float32 layer takes.

        Raises:
            TypeError: As `configure`.
            ValueError: As `configure`.
        """
        quantizers = {name: kwargs.pop(name, None) for name in self.QUANTIZERS}
        super().__init__(*args, **kwargs)
        self.configure(spec, estimator, **quantizers)

    def configure(self, spec: Accumulator | str, estimator: str, **quantizers: Any) -> None:
        """Give the site all its settings; `statistics` becomes "".

        Args:
            spec: The arithmetic, or its text.
            estimator: How the backward pass treats what the accumulator loses.
            quantizers: Modules by the names in `QUANTIZERS`, which take over the site's mode; None where left out.

        Raises:
            TypeError: The spec is neither a spec nor text, the estimator no string, or there is no such quantizer.
            ValueError: The spec cannot be read, or the estimator is unknown.
        """
        if unknown := quantizers.keys() - self.QUANTIZERS.keys():
            raise TypeError(f"expected quantizers among {', '.join(self.QUANTIZERS)}, got {', '.join(sorted(unknown))}")
        self.spec = spec
        self.estimator = estimator
        for name in self.QUANTIZERS:
            quantizer = quantizers.get(name)
            setattr(self, name, quantizer if quantizer is None else quantizer.train(self.training))
        self.statistics = ""

    @property
    def spec(self) -> Accumulator:
        """The arithmetic."""
        return self._spec

    @spec.setter
    def spec(self, spec: Accumulator | str) -> None:
        self._spec = _one_object(spec_of_floats(spec))

    @property
    def estimator(self) -> str:
        """How the backward pass treats what the accumulator loses."""
        return self._estimator

    @estimator.setter
    def estimator(self, estimator: str) -> None:
        self._estimator = as_estimator(estimator)

    @property
    def settings(self) -> dict[str, Any]:
        """The spec, the estimator and the statistics key, as the functional forms take them."""
        return {"spec": self._spec, "estimator": self._estimator, "statistics": self.statistics}

    def quantize_input(self, input: Tensor) -> Tensor:
        """Return the input as it enters the product."""
        return input if self.input_quantizer is None else self.input_quantizer(input)

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles take over: all but the statistics key, under which this site alone counts."""
        return {**self.__dict__, "statistics": ""}

    def extra_repr(self) -> str:
        """Return what the printed model says of the site: its spec and estimator."""
        inherited = super().extra_repr()
        own = f"spec={self._spec}, estimator={self._estimator}"
        return f"{inherited}, {own}" if inherited else own


@functools.cache
def _one_object(spec: Accumulator) -> Accumulator:
    """Return the same object for equal specs: compiled code is compiled again when it sees another."""
    return spec


def lba_sites(model: nn.Module) -> dict[str, LbaSite]:
    """Return every site of a model by name, in the order of `named_modules`.

    A layer goes by its module name; a product inside an attention module by that module's name and "scores",
    "context", "matmul_<i>" for a third and later ones, "in_proj" or "out_proj".

    Args:
        model: A model, or any part of one; one that is not converted has no sites.
    """
    return {
        name.replace(f"{ATTENTION_CHILD}.", ""): module
        for name, module in model.named_modules()
        if isinstance(module, LbaSite)
    }


def lba_modules(model: nn.Module) -> dict[str, LbaSite]:
    """Return the converted layers of a model by name: the sites without those inside attention modules."""
    return {
        name: module for name, module in model.named_modules() if isinstance(module, LbaSite) and not _is_part(name)
    }


def require_sites(model: nn.Module) -> dict[str, LbaSite]:
    """Return the sites of a model.

    Raises:
        ModelError: There are none.
    """
    sites = lba_sites(model)
    if not sites:
        raise ModelError(
            f"expected a model with low-bit-accumulator modules, got a {type(model).__name__} without; call quantize_"
        )
    return sites


def _is_part(name: str) -> bool:
    return ATTENTION_CHILD in name.split(".")

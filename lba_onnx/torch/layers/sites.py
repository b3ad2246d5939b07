"""Sites: the modules of a converted model that multiply and accumulate, each with an arithmetic of its own.

    lba_sites(model) -> {"fc1": LbaLinear(...), "layer.0.attention.self.scores": LbaMatmul(...), ...}

A site is a module: hooks on it see the operands and the result.
"""

from typing import Any

from torch import Tensor, nn

from lba_onnx.accumulator import AccumulatorSpec
from lba_onnx.errors import ModelError
from lba_onnx.torch.arguments import as_estimator, as_spec

ATTENTION_CHILD = "lba_attention"
"""Name of the child module that holds the sites of an attention module."""


class LbaSite(nn.Module):
    """Base of the modules whose dot products run in a low bit-width accumulator.

    Attributes:
        spec: The arithmetic; text is taken too, and read when set.
        estimator: How the backward pass treats what the accumulator loses.
        statistics: A key "run/site" under which products and sums are counted while that run is open, or "".
        weight_quantizer: Applied to the weight before the product; None for nothing.
        input_quantizer: Applied to the input before the product (to both operands where both are computed).
    """

    weight_quantizer: nn.Module | None
    input_quantizer: nn.Module | None

    def __init__(
        self,
        *args: Any,
        spec: AccumulatorSpec | str,
        estimator: str = "identity",
        weight_quantizer: nn.Module | None = None,
        input_quantizer: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.configure(spec, estimator, weight_quantizer, input_quantizer)

    def configure(
        self,
        spec: AccumulatorSpec | str,
        estimator: str,
        weight_quantizer: nn.Module | None,
        input_quantizer: nn.Module | None,
    ) -> None:
        """Give the site all its settings; `statistics` becomes "".

        Raises:
            TypeError: The spec is neither a spec nor text, or the estimator no string.
            ValueError: The spec cannot be read, or the estimator is unknown.
        """
        self.spec = spec
        self.estimator = estimator
        self.weight_quantizer = weight_quantizer
        self.input_quantizer = input_quantizer
        self.statistics = ""

    @property
    def spec(self) -> AccumulatorSpec:
        """The arithmetic."""
        return self._spec

    @spec.setter
    def spec(self, spec: AccumulatorSpec | str) -> None:
        self._spec = as_spec(spec)

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

    def quantize_weight(self, weight: Tensor) -> Tensor:
        """Return the weight as it enters the product."""
        return weight if self.weight_quantizer is None else self.weight_quantizer(weight)

    def extra_repr(self) -> str:
        """Return what the printed model says of the site: its spec and estimator."""
        inherited = super().extra_repr()
        own = f"spec={self._spec}, estimator={self._estimator}"
        return f"{inherited}, {own}" if inherited else own


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

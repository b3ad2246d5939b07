"""Matrix products inside attention modules: found while the module's forward runs, and computed by sites.

    forward of "layer.0.attention.self":  torch.matmul(query, key_t)   -> site "layer.0.attention.self.scores"
                                          torch.matmul(weights, value) -> site "layer.0.attention.self.context"

A converted attention module keeps its own forward; around it stands a torch function mode that takes matmul, @, mm,
bmm, baddbmm, addmm and scaled_dot_product_attention (in the order of the calls: scores, context, then matmul_2 and so
on), and inside nn.MultiheadAttention the projections too. Calls of modules within count as the module's own. Other
products of matrices and vectors (einsum, tensordot, inner, mv and the like) are an error, and so is a forward that
multiplies nothing; functional.linear with weights of its own stays in float32. A forward that checkpoints a part of
itself with products in it (torch.utils.checkpoint) would have them computed again without the mode, and so with other
gradients: that is an error, too. Checkpointing of the whole module, or of what holds it, is not.
"""

import copy
import functools
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, NoReturn, cast

import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from lba_onnx.errors import ModelError
from lba_onnx.torch.layers.modules import LbaMatmul, LbaProjection
from lba_onnx.torch.layers.sites import ATTENTION_CHILD, LbaSite
from lba_onnx.torch.operators.dot_product_attention import dot_product_attention

PRODUCTS = ("scores", "context")
PROJECTIONS = ("in_proj", "out_proj")


class LbaAttention(nn.Module):
    """The sites of one attention module, as children.

    Attributes:
        module_name: Name of the attention module, for errors.
    """

    def __init__(self, module_name: str) -> None:
        super().__init__()
        self.module_name = module_name
        self._unused_quantizers: dict[str, nn.Module | None] = {}  # not registered: models for later products

    def configure(self, sites: dict[str, dict[str, Any]]) -> None:
        """Give sites their settings; those that are not there are added.

        Args:
            sites: Names of sites to the arguments of `LbaSite.configure`.
        """
        for name, settings in sites.items():
            if hasattr(self, name):
                self.site(name).configure(**settings)
            else:
                self.add_module(name, site_type(name)(**settings).train(self.training))
        if "context" in sites:
            quantizers = {name: sites["context"].get(name) for name in LbaMatmul.QUANTIZERS}
            self._unused_quantizers = copy.deepcopy(quantizers)

    def site(self, name: str) -> LbaSite:
        """Return the site of a name, which has to be there."""
        return cast(LbaSite, self.get_submodule(name))

    def product(self, index: int) -> LbaMatmul:
        """Return the site of the product that comes at an index; one past those known takes the context's settings."""
        name = product_name(index)
        if not hasattr(self, name):
            self.add_product(name)
        return cast(LbaMatmul, self.site(name))

    def add_product(self, name: str) -> None:
        """Add a product's site with the settings of the context, and quantizers of its own."""
        context = self.site("context")
        quantizers = copy.deepcopy(self._unused_quantizers)
        self.configure({name: {"spec": context.spec, "estimator": context.estimator, **quantizers}})


def product_name(index: int) -> str:
    """Return the name of the product that comes at an index, from 0."""
    return PRODUCTS[index] if index < len(PRODUCTS) else f"matmul_{index}"


def site_names(module: nn.Module) -> list[str]:
    """Return the names of an attention module's sites, those it has or those it will have when converted."""
    if is_attention(module):
        return [name for name, _ in attention_sites(module).named_children()]
    is_multihead = isinstance(module, nn.MultiheadAttention)
    return [PROJECTIONS[0], *PRODUCTS, PROJECTIONS[1]] if is_multihead else list(PRODUCTS)


def site_type(name: str) -> type[LbaSite]:
    """Return the class of the site of a name inside an attention module."""
    return LbaProjection if name in PROJECTIONS else LbaMatmul


def is_attention(module: nn.Module) -> bool:
    """Whether a module is a converted attention module."""
    return isinstance(module, _AttentionForward)


def attention_sites(module: nn.Module) -> LbaAttention:
    """Return what holds the sites of a converted attention module."""
    return cast(LbaAttention, module.get_submodule(ATTENTION_CHILD))


def convert_attention(module: nn.Module, name: str, sites: dict[str, dict[str, Any]]) -> None:
    """Make a module an attention module in place, or give the sites of one other settings.

    Args:
        module: The module.
        name: Its name.
        sites: Names of its sites, as `site_names` gives them or "matmul_<i>", to the arguments of `LbaSite.configure`.
    """
    if not is_attention(module):
        module.__class__ = _attention_class(type(module))
        module.add_module(ATTENTION_CHILD, LbaAttention(name).train(module.training))
    attention_sites(module).configure(sites)


def block_fast_paths(model: nn.Module) -> None:
    """Keep PyTorch's encoder from computing a whole layer at once from its weights, past all sites.

    Its layers look for forward hooks before they do so; the encoder's nested tensors are for that path alone.
    """
    for module in model.modules():
        has_sites = any(isinstance(part, LbaSite) for part in module.modules())
        if isinstance(module, nn.TransformerEncoderLayer) and has_sites:
            if _no_fast_path not in module._forward_pre_hooks.values():
                module.register_forward_pre_hook(_no_fast_path)
        elif isinstance(module, nn.TransformerEncoder) and has_sites:
            module.use_nested_tensor = False


def _no_fast_path(module: nn.Module, args: tuple[Any, ...]) -> None:
    """Do nothing; being there is enough."""


class _AttentionForward:
    """Marks the classes of converted attention modules, and lets them be copied and pickled."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _new_attention, (type(self).__bases__[1],), self.__getstate__()  # type: ignore[attr-defined]


def _new_attention(cls: type[nn.Module]) -> nn.Module:
    return object.__new__(_attention_class(cls))


@functools.cache
def _cached_attention_class(cls: Any) -> Any:
    @functools.wraps(cls.forward)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        products = _Products(self)
        with products:
            result = cls.forward(self, *args, **kwargs)
        products.check()
        return result

    entries = {"forward": forward, "__module__": cls.__module__, "__doc__": cls.__doc__}
    return type(cls)(f"Lba{cls.__name__}", (_AttentionForward, cls), entries)


_attention_class: Callable[[Any], Any] = _cached_attention_class


class _Products(TorchFunctionMode):
    """Sends the products of one forward to the module's sites."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.attention = attention_sites(module)
        self.count = 0
        self.is_differentiated = torch.is_grad_enabled()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute a call, by a site if it is a product."""
        if func in _REFUSED:
            self.refuse(func)
        taken = _TAKEN.get(func, func)
        return func(*args, **kwargs or {}) if taken is func else taken(self, *args, **kwargs or {})

    def check(self) -> None:
        """Refuse a forward that multiplied nothing.

        Raises:
            ModelError: It did.
        """
        if not self.count:
            raise ModelError(
                f"attention module {self.attention.module_name!r} ({type(self.module).__name__}): expected "
                f"its forward to call {_TAKEN_NAMES}, but it calls none of them"
            )

    def next_product(self) -> LbaMatmul:
        """Return the site of the next product.

        Raises:
            ModelError: The product is in a part of the forward that is checkpointed.
        """
        if self.is_differentiated and not torch.compiler.is_compiling() and _is_checkpointed():
            raise ModelError(
                f"attention module {self.attention.module_name!r} ({type(self.module).__name__}): expected a forward "
                "without checkpoints around its products, which would be computed again in float32, got one with "
                "torch.utils.checkpoint; checkpoint the whole module"
            )
        self.count += 1
        return self.attention.product(self.count - 1)

    def matmul(self, input: Tensor, other: Tensor) -> Tensor:
        """Compute torch.matmul."""
        if not (input.is_floating_point() and other.is_floating_point()):
            return torch.matmul(input, other)
        return self.next_product()(input, other)

    def bmm(self, input: Tensor, mat2: Tensor) -> Tensor:
        """Compute torch.bmm or torch.mm."""
        return self.matmul(input, mat2)

    def baddbmm(self, input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """Compute torch.baddbmm; the factors and the sum in float32."""
        product = self.matmul(batch1, batch2)
        product = product if alpha == 1 else alpha * product
        if beta == 0:  # then torch.baddbmm does not look at the input, NaN or not
            return product
        return (input if beta == 1 else beta * input) + product

    def addmm(self, input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """Compute torch.addmm; the factors and the sum in float32."""
        return self.baddbmm(input, mat1, mat2, beta=beta, alpha=alpha)

    def attend(self, *args: Any, **kwargs: Any) -> Tensor:
        """Compute scaled_dot_product_attention."""
        return dot_product_attention(self.next_product(), self.next_product(), *args, **kwargs)

    def linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Compute a projection of nn.MultiheadAttention; other calls of functional.linear stay as they are."""
        if not isinstance(self.module, nn.MultiheadAttention):
            return functional.linear(input, weight, bias)
        is_output = weight is self.module.out_proj.weight
        return cast(Tensor, self.attention.site(PROJECTIONS[is_output])(input, weight, bias))

    def multihead(self, *args: Any, **kwargs: Any) -> Any:
        """Compute functional.multi_head_attention_forward with the mode on, so that its products are seen."""
        with self:
            return _multi_head_attention_forward(*args, **kwargs)

    def refuse(self, func: Callable[..., Any]) -> NoReturn:
        """Refuse a call that would multiply in float32 unseen.

        Raises:
            ModelError: Always.
        """
        raise ModelError(
            f"attention module {self.attention.module_name!r} ({type(self.module).__name__}): expected {_TAKEN_NAMES}, "
            f"got a call of {func.__name__.removeprefix('linalg_')}, which is not converted; write it as matmul"
        )


def _is_checkpointed() -> bool:
    """Whether there is a call of torch.utils.checkpoint between the running forward of an attention module and here."""
    frame = sys._getframe()
    while frame.f_back is not None and (frame.f_globals is not globals() or frame.f_code.co_name != "forward"):
        if frame.f_globals.get("__name__") == torch.utils.checkpoint.__name__:
            return True
        frame = frame.f_back
    return False


_TAKEN: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.matmul: _Products.matmul,
    torch.Tensor.matmul: _Products.matmul,
    torch.Tensor.__matmul__: _Products.matmul,
    torch.linalg.matmul: _Products.matmul,
    torch.bmm: _Products.bmm,
    torch.Tensor.bmm: _Products.bmm,
    torch.mm: _Products.bmm,
    torch.Tensor.mm: _Products.bmm,
    torch.baddbmm: _Products.baddbmm,
    torch.Tensor.baddbmm: _Products.baddbmm,
    torch.addmm: _Products.addmm,
    torch.Tensor.addmm: _Products.addmm,
    functional.scaled_dot_product_attention: _Products.attend,
    functional.linear: _Products.linear,
    functional.multi_head_attention_forward: _Products.multihead,
}
_TAKEN_NAMES = "matmul, mm, bmm, baddbmm, addmm or scaled_dot_product_attention"
_REFUSED_NAMES = ("addbmm", "addmv", "dot", "inner", "mv", "vdot")
_REFUSED: frozenset[Callable[..., Any]] = frozenset(
    {
        torch.einsum,
        torch.tensordot,
        torch.chain_matmul,
        torch.linalg.multi_dot,
        torch.linalg.vecdot,
        torch.Tensor.addmm_,
        torch.Tensor.baddbmm_,
        torch.Tensor.addbmm_,
        torch.Tensor.addmv_,
        *(getattr(namespace, name) for namespace in (torch, torch.Tensor) for name in _REFUSED_NAMES),
    }
)


def _without_override_check(function: Any) -> Callable[..., Any]:
    """Return a function of torch.nn.functional that does not hand itself to the mode again."""
    names = {**function.__globals__, "has_torch_function": lambda operands: False}
    twin = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    twin.__kwdefaults__ = function.__kwdefaults__
    return twin


_multi_head_attention_forward = _without_override_check(functional.multi_head_attention_forward)

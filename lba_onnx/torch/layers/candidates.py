"""The modules of a model that `quantize_` could convert, and what stands in the way of the others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils.parametrize import is_parametrized

from lba_onnx.errors import ModelError, SelectionError
from lba_onnx.torch.layers.attention import is_attention
from lba_onnx.torch.layers.config import PATTERN_PREFIX, nearest, select
from lba_onnx.torch.layers.float8_layers import FLOAT8_TYPES, Float8Layer
from lba_onnx.torch.layers.modules import LAYER_TYPES
from lba_onnx.torch.layers.sites import ATTENTION_CHILD, LbaSite

Filter = Callable[[nn.Module, str], bool]

_HARMLESS = {
    "__annotations__", "__constants__", "__doc__", "__firstlineno__", "__init__", "__module__", "__static_attributes__",
    "extra_repr", "reset_parameters",
}  # fmt: skip
_BASES = {*LAYER_TYPES, *FLOAT8_TYPES.values()}


@dataclass(frozen=True)
class Layer:
    """A module that is a Linear or a convolution.

    Attributes:
        module: The module.
        obstacle: Why it cannot be converted; "" where it can.
        is_foreign: Whether the obstacle is that it computes something of its own, so that it stays as it is.
    """

    module: nn.Module
    obstacle: str = ""
    is_foreign: bool = False


def find_layers(model: nn.Module, filter_fn: Filter | None) -> dict[str, Layer]:
    """Return the layers of a model by name, without those that `filter_fn` leaves out."""
    modules = named_modules(model)
    projections = {id(module.out_proj) for module in modules.values() if isinstance(module, nn.MultiheadAttention)}
    return {
        name: _layer(module)
        for name, module in modules.items()
        if isinstance(module, tuple(LAYER_TYPES))
        and id(module) not in projections
        and (filter_fn is None or filter_fn(module, name))
    }


def named_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules of a model by the first of their names, without what conversion has put into them."""
    return {name: module for name, module in model.named_modules() if ATTENTION_CHILD not in name.split(".")}


def find_attention(model: nn.Module, keys: Sequence[str]) -> dict[str, nn.Module]:
    """Return the modules that names and patterns choose as attention modules; of nested matches the outermost.

    Raises:
        SelectionError: A key matches nothing, or names a module that multiplies nothing by itself.
        ModelError: A module cannot be converted.
    """
    modules, first_names = named_modules(model), aliases(model)
    able = [name for name, module in modules.items() if name and not _is_plain(module) and not _holds_attention(module)]
    chosen: set[str] = set()
    for key in (first_names.get(key, key) for key in keys):
        if key.startswith(PATTERN_PREFIX):
            chosen.update(select(key, able, "attention"))
        elif key not in modules:
            raise SelectionError(f"attention: no module is called {key!r}; {nearest(key, able)}")
        elif _is_plain(modules[key]):
            raise SelectionError(
                f"attention: expected a module whose own forward multiplies matrices, but {key!r} is a "
                f"{type(modules[key]).__name__}"
            )
        elif _holds_attention(modules[key]):
            raise SelectionError(f"attention: module {key!r} holds attention modules; name those instead")
        else:
            chosen.add(key)
    converted = {name for name, module in modules.items() if is_attention(module)}
    found = {name: modules[name] for name in modules if name in chosen and not _is_inside(name, chosen)}
    for name, module in found.items():
        if _is_inside(name, converted):
            raise SelectionError(f"attention: module {name!r} is inside an attention module that is converted already")
        if not is_attention(module) and (obstacle := _changed_by_hand(module)):
            raise ModelError(f"attention: module {name!r} ({type(module).__name__}) cannot be converted: {obstacle}")
    return found


def explain(key: str, model: nn.Module, layers: Mapping[str, Layer], names: Sequence[str]) -> str:
    """Return why an exact name selects nothing."""
    modules = dict(model.named_modules(remove_duplicate=False))
    if key not in modules:
        return f"no module is called {key!r}; {nearest(key, names)}"
    module = modules[key]
    kind = type(module).__name__
    parent = modules.get(key.rpartition(".")[0])
    if isinstance(parent, nn.MultiheadAttention):
        owner = key.rpartition(".")[0]
        return f"{key!r} is computed by the {type(parent).__name__} {owner!r}; name {owner!r} in attention"
    if isinstance(module, tuple(LAYER_TYPES)):
        return f"{key!r} ({kind}) is left out by filter_fn"
    supported = ", ".join(layer.__name__ for layer in LAYER_TYPES)
    return f"expected {key!r} to be one of {supported}, got a {kind}"


def aliases(model: nn.Module) -> dict[str, str]:
    """Return the further names of modules that a model holds more than once, to their first names."""
    first: dict[int, str] = {}
    found = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if first.setdefault(id(module), name) != name:
            found[name] = first[id(module)]
    return found


def _layer(module: nn.Module) -> Layer:
    if isinstance(module, LbaSite):
        return Layer(module)
    if isinstance(module, LazyModuleMixin):
        return Layer(module, "its parameters are not there yet; run the model once before")
    if obstacle := _changed_by_hand(module):
        return Layer(module, obstacle)
    base = next(cls for cls in type(module).__mro__ if cls in _BASES)
    own = sorted(_own_members(type(module), base))
    if own:
        return Layer(module, f"it is a {base.__name__} with its own {', '.join(own)}", is_foreign=True)
    return Layer(module)


def _changed_by_hand(module: nn.Module) -> str:
    if is_parametrized(module):
        return "its tensors are parametrized; convert before that, or remove the parametrizations"
    if "forward" in module.__dict__:
        return "its forward has been replaced on the instance; convert before that"
    return ""


def _own_members(cls: type, base: type) -> set[str]:
    before = cls.__mro__[: cls.__mro__.index(base)]
    return {name for ancestor in before for name in vars(ancestor)} - _HARMLESS


def _is_plain(module: nn.Module) -> bool:
    """Whether a module is one of PyTorch's own, and not its attention."""
    if isinstance(module, nn.MultiheadAttention):
        return False
    return isinstance(module, (LbaSite, Float8Layer)) or type(module).__module__.startswith(("torch.nn.", "torch.ao."))


def _holds_attention(module: nn.Module) -> bool:
    """Whether there is nn.MultiheadAttention, or a converted attention module, inside a module."""
    inside = (part for part in module.modules() if part is not module)
    return any(isinstance(part, nn.MultiheadAttention) or is_attention(part) for part in inside)


def _is_inside(name: str, others: set[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:end]) in others for end in range(1, len(parts)))

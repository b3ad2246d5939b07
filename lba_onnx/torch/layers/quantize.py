"""`quantize_`: layers and attention products of a model become LBA ones, in place, with the same parameters."""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from torch import nn

from lba_onnx.arithmetic import Accumulator, as_spec
from lba_onnx.errors import ModelError, SelectionError
from lba_onnx.estimators import DEFAULT_ESTIMATOR
from lba_onnx.torch.layers.attention import (
    attention_sites,
    block_fast_paths,
    convert_attention,
    is_attention,
    site_names,
    site_type,
)
from lba_onnx.torch.layers.candidates import Filter, Layer, aliases, explain, find_attention, find_layers, named_modules
from lba_onnx.torch.layers.config import PATTERN_PREFIX, REST, LbaConfig, assign, assign_specs
from lba_onnx.torch.layers.float8_layers import Float8Layer
from lba_onnx.torch.layers.modules import LAYER_TYPES, WeightSite
from lba_onnx.torch.layers.quantizers import make_quantizer
from lba_onnx.torch.layers.sites import LbaSite, require_sites

Specs: TypeAlias = Accumulator | str | Mapping[str, Accumulator | str]

_LATER_PRODUCT = re.compile(r"matmul_([2-9]|[1-9]\d+)")


def quantize_(model: nn.Module, config: LbaConfig | Specs, filter_fn: Filter | None = None) -> None:
    """Convert a model in place: its nn.Linear, nn.Conv1d, nn.Conv2d and nn.Conv3d, and the attention modules named.

    Each module stays the object that it is, in every place that holds it, with its parameters, hooks and mode; only its
    class changes (to `LbaLinear`, ...), so the model itself may be a layer. Transposed convolutions, and subclasses of
    layers with code of their own, stay as they are. nn.MultiheadAttention is converted as a whole, where `attention`
    names it. On a model that is converted already, the sites that the config selects get its settings. A layer that
    `quantize_float8_` has treated keeps its quantizers, with the ranges they have seen, unless the config makes others.
    When anything is wrong, nothing is changed.

    Args:
        model: The model.
        config: What to convert and how; a spec, its text or a mapping of names to specs stands for `LbaConfig` of it.
        filter_fn: Called with each layer and its name; layers for which it is false stay as they are. None for all.
            Attention modules are not asked about.

    Raises:
        TypeError: The config, or something in it, has another type.
        ValueError: A spec has no exponent bias or cannot be read, or an estimator is unknown.
        SelectionError: A name or pattern selects nothing or something that cannot be converted; or nothing is selected.
        ModelError: A selected module cannot be converted: its parameters are not there yet, it is parametrized, or its
            forward has been replaced on the instance.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected an nn.Module, got {type(model).__name__}")
    config = config if isinstance(config, LbaConfig) else LbaConfig(config)
    layers = find_layers(model, filter_fn)
    attention = _attention_modules(model, config)
    names = _names(model, config, layers, attention)
    specs = _specs(model, config, layers, names)
    estimators = _estimators(model, config, layers, names)
    settings = {
        name: {"spec": spec, "estimator": estimators[name], **_other_settings(config, name, layers)}
        for name, spec in specs.items()
    }
    _apply(layers, attention, settings)
    block_fast_paths(model)


def set_underflow_(model: nn.Module, underflow: bool) -> None:
    """Switch the underflow of every site of a converted model, the two stages of fine-tuning.

    Args:
        model: The model.
        underflow: Whether magnitudes below a format's smallest value become zero.

    Raises:
        ModelError: The model has no sites.
        TypeError: `underflow` is no bool.
    """
    if not isinstance(underflow, bool):
        raise TypeError(f"expected underflow to be a bool, got {type(underflow).__name__} {underflow!r}")
    sites = require_sites(model)
    specs = {name: site.spec.relaxed(not underflow) for name, site in sites.items()}
    for name, site in sites.items():
        site.spec = specs[name]


def set_specs_(model: nn.Module, specs: Specs) -> None:
    """Give sites of a converted model other specs; those that no key selects keep theirs.

    Args:
        model: The model.
        specs: A spec for all sites; or a mapping of site names, "re:" patterns and "*" to specs, as in `LbaConfig`.

    Raises:
        ModelError: The model has no sites.
        SelectionError: A name or pattern selects nothing.
        TypeError: A spec is neither a spec nor text.
        ValueError: A spec has no exponent bias or cannot be read.
    """
    sites = require_sites(model)
    read = LbaConfig(specs).spec
    attention = {name: module for name, module in named_modules(model).items() if is_attention(module)}
    names = list(sites)
    if isinstance(read, Mapping):
        names += [name for name in _later_products(read, attention) if name not in sites]
        others = aliases(model)
        chosen = assign_specs({others.get(key, key): as_spec(spec) for key, spec in read.items()}, names, "specs")
    else:
        chosen = assign_specs({REST: as_spec(read)}, names, "specs")
    for name in chosen.keys() - sites.keys():
        owner, _, product = name.rpartition(".")
        attention_sites(attention[owner]).add_product(product)
    for name, site in require_sites(model).items():
        site.spec = chosen.get(name, site.spec)


def _attention_modules(model: nn.Module, config: LbaConfig) -> dict[str, nn.Module]:
    """Return the attention modules, those to convert and those that are, by name."""
    chosen = find_attention(model, config.attention)
    return {name: module for name, module in named_modules(model).items() if name in chosen or is_attention(module)}


def _names(
    model: nn.Module, config: LbaConfig, layers: Mapping[str, Layer], attention: Mapping[str, nn.Module]
) -> list[str]:
    """Return the names of all sites that the model could have, in its order."""
    names: list[str] = []
    for name in named_modules(model):
        if name in layers:
            names.append(name)
        if name in attention:
            names += [_joined(name, site) for site in site_names(attention[name])]
    if isinstance(config.spec, Mapping):
        names += [name for name in _later_products(config.spec, attention) if name not in names]
    return names


def _later_products(keys: Mapping[str, Any], attention: Mapping[str, nn.Module]) -> list[str]:
    """Return the keys that name a third or later product of an attention module."""
    split = {key: key.rpartition(".") for key in keys}
    return [key for key, (owner, _, site) in split.items() if owner in attention and _LATER_PRODUCT.fullmatch(site)]


def _specs(
    model: nn.Module, config: LbaConfig, layers: Mapping[str, Layer], names: list[str]
) -> dict[str, Accumulator]:
    if isinstance(config.spec, Mapping):
        keys = _resolved(config.spec, model, layers, names, "spec")
        specs = assign_specs(keys, names, "spec")
    else:
        keys, specs = {}, assign_specs({REST: as_spec(config.spec)}, names, "spec")
    _check_complete(model, config, specs)
    selected = {name: spec for name, spec in specs.items() if _takes(name, layers, name in keys)}
    if not selected:
        raise SelectionError(
            f"expected a model with Linear, convolution or attention modules to convert, but in this "
            f"{type(model).__name__} nothing is selected"
        )
    return selected


def _check_complete(model: nn.Module, config: LbaConfig, specs: Mapping[str, Accumulator]) -> None:
    for name, module in find_attention(model, config.attention).items():
        missing = [_joined(name, site) for site in site_names(module) if _joined(name, site) not in specs]
        if missing and not is_attention(module):
            raise SelectionError(
                f"attention: module {name!r} needs a spec for {', '.join(map(repr, missing))}; got none"
            )


def _takes(name: str, layers: Mapping[str, Layer], is_named: bool) -> bool:
    """Whether a selected site is converted; one that computes something of its own is not, unless named."""
    layer = layers.get(name)
    if layer is None or not layer.obstacle:
        return True
    if not layer.is_foreign:
        raise ModelError(f"module {name!r} ({type(layer.module).__name__}) cannot be converted: {layer.obstacle}")
    if is_named:
        raise SelectionError(
            f"spec: module {name!r} ({type(layer.module).__name__}) cannot be converted: {layer.obstacle}"
        )
    return False


def _estimators(model: nn.Module, config: LbaConfig, layers: Mapping[str, Layer], names: list[str]) -> dict[str, str]:
    if not isinstance(config.estimator, Mapping):
        return dict.fromkeys(names, config.estimator)
    chosen = assign(_resolved(config.estimator, model, layers, names, "estimator"), names, "estimator")
    return {**dict.fromkeys(names, DEFAULT_ESTIMATOR), **chosen}


def _resolved(
    keys: Mapping[str, Any], model: nn.Module, layers: Mapping[str, Layer], names: list[str], argument: str
) -> dict[str, Any]:
    """Return the keys with each module under its first name.

    Raises:
        SelectionError: An exact name is none that can be selected, or two names of one module have different values.
    """
    others = aliases(model)
    resolved: dict[str, Any] = {}
    for key, value in keys.items():
        name = others.get(key, key)
        if name not in names and name != REST and not name.startswith(PATTERN_PREFIX):
            raise SelectionError(f"{argument}: {explain(key, model, layers, names)}")
        if resolved.setdefault(name, value) != value:
            raise SelectionError(
                f"{argument}: {key!r} is the same module as {name!r}, but they are given different values"
            )
    return resolved


def _other_settings(config: LbaConfig, name: str, layers: Mapping[str, Layer]) -> dict[str, Any]:
    """Return the quantizers of a site, and whether its sums start from its bias, where it may have one."""
    module = layers[name].module if name in layers else None
    taken = WeightSite if module is not None else site_type(name.rpartition(".")[2])
    quantizers = _quantizers(config, module, taken)
    return {**quantizers, "bias_start": config.bias_start} if issubclass(taken, WeightSite) else quantizers


def _quantizers(config: LbaConfig, module: nn.Module | None, taken: type[LbaSite]) -> dict[str, nn.Module | None]:
    """Return the quantizers of a site: new ones; of a float8 layer those that it has, where the config makes none."""
    factories = {attribute: (field, getattr(config, field)) for attribute, field in taken.QUANTIZERS.items()}
    quantizers = {
        attribute: None if factory is None else make_quantizer(field, factory)
        for attribute, (field, factory) in factories.items()
    }
    if isinstance(module, Float8Layer):
        own = {attribute: getattr(module, attribute) for attribute in quantizers}
        quantizers = {**own, **{attribute: made for attribute, made in quantizers.items() if made is not None}}
    return quantizers


def _apply(
    layers: Mapping[str, Layer], attention: Mapping[str, nn.Module], settings: dict[str, dict[str, Any]]
) -> None:
    for name in settings.keys() & layers.keys():
        module = layers[name].module
        if not isinstance(module, LbaSite):
            module.__class__ = next(LAYER_TYPES[cls] for cls in type(module).__mro__ if cls in LAYER_TYPES)
        module.configure(**settings[name])
    for name, module in attention.items():
        sites = {site: settings[_joined(name, site)] for site in _sites_of(name, settings, layers)}
        if sites:
            convert_attention(module, name, sites)


def _sites_of(name: str, settings: Mapping[str, Any], layers: Mapping[str, Layer]) -> list[str]:
    split = {key: key.rpartition(".") for key in settings if key not in layers}
    return [site for owner, _, site in split.values() if owner == name]


def _joined(name: str, site: str) -> str:
    return f"{name}.{site}" if name else site

"""Quantizers as users give them: something that makes a new module each time, one for each operand."""

from collections.abc import Callable

from torch import nn


def make_quantizer(argument: str, factory: Callable[[], nn.Module]) -> nn.Module:
    """Return a new quantizer.

    Args:
        argument: What to call the factory in errors.
        factory: Returns a new module.

    Raises:
        TypeError: It returns something else.
    """
    made: object = factory()
    if not isinstance(made, nn.Module):
        raise TypeError(f"expected {argument} to return an nn.Module, got {type(made).__name__}")
    return made

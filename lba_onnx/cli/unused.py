"""Options that were given and would change nothing: refused, never ignored without a word."""

from collections.abc import Iterable

import click
from click.core import ParameterSource

OF_FEEDING = ("preprocess", "shared_inputs")
"""Options that say how a model is fed."""
OF_RUNS = ("batch_size", "max_samples", *OF_FEEDING, "metric", "providers")
"""Options that say how samples are read, and models run on them."""


def is_given(name: str) -> bool:
    """Tell whether an option of the present command was given, by the name of its parameter."""
    return click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT


def spelled(name: str) -> str:
    """Return an option of the present command as people write it."""
    command = click.get_current_context().command
    return next(parameter.opts[0] for parameter in command.params if parameter.name == name)


def refuse_unused(names: Iterable[str], why: str) -> None:
    """Refuse options that were given and would change nothing.

    Args:
        names: The names of their parameters.
        why: What follows "plays no part", such as "without --data_path".

    Raises:
        UsageError: One was given.
    """
    for name in names:
        if is_given(name):
            raise click.UsageError(f"{spelled(name)} plays no part {why}")

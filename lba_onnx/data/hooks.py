"""Functions of the user's own, named as text: "module:function"."""

import functools
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

_OWN = {"perplexity": "lba_onnx.evaluation.perplexity:perplexity"}
"""Short names of functions of this package."""


class Hook:
    """A function that was loaded by name; what it raises becomes an error that names it.

    Copies sent to other processes load the function again, by the same name.

    Attributes:
        name: The text it was loaded by.
        function: The function.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        """Call the function.

        Raises:
            ValueError: The function raised something.
        """
        try:
            return self.function(*arguments)
        except Exception as error:
            raise ValueError(f"{self.name} failed: {type(error).__name__}: {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        return load_function, (self.name,)


def load_function(name: str) -> Hook:
    """Import a function, from the working directory too, which is put at the end of `sys.path` for good.

    Args:
        name: "module:function", such as "my_project.metrics:top3" for my_project/metrics.py; or "perplexity".

    Raises:
        ValueError: The text has another form, the module cannot be imported, or has no such function.
    """
    module_name, separator, function_name = _OWN.get(name, name).partition(":")
    if not (separator and module_name and function_name):
        raise ValueError(f"expected a function as module:function, got {name!r}")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    importlib.invalidate_caches()  # the file may have been written since the folder was last looked at
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the module's own among them
        raise ValueError(f"{name}: cannot import {module_name}: {type(error).__name__}: {error}") from error
    try:
        function = functools.reduce(getattr, function_name.split("."), module)
    except AttributeError as error:
        raise ValueError(f"{name}: expected a function in {_found(module)}, got none: {error}") from error
    if not callable(function):
        raise ValueError(f"{name}: expected a function, got {type(function).__name__}")
    return Hook(name, function)


def _found(module: ModuleType) -> str:
    """Say which module was imported: an installed one is found before one of the working directory."""
    home = getattr(module, "__file__", None) or "Python itself"
    own = Path(os.getcwd(), *module.__name__.split("."))
    hidden = next((path for path in (own.with_suffix(".py"), own / "__init__.py") if path.is_file()), None)
    if hidden is None or (home != "Python itself" and hidden.samefile(home)):
        return module.__name__
    return f"{module.__name__}, found in {home}, which hides {hidden} (give that file another name)"


def function_name(function: Callable[..., Any]) -> str:
    """Return how messages and results call a function: as it was loaded, else "module:function"."""
    if isinstance(function, Hook):
        return function.name
    home = getattr(function, "__module__", None) or type(function).__module__
    return f"{home}:{getattr(function, '__qualname__', type(function).__qualname__)}"

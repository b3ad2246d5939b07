"""Calls a function once a module is imported, so that `import lba_onnx` can extend a module that it does not load."""

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def after_import(name: str, call: Callable[[], None]) -> None:
    """Call a function: now where a module is imported already, else as soon as its import is complete.

    Args:
        name: The module, not one inside a package.
        call: What is called, once.
    """
    if name in sys.modules:
        call()
    else:
        sys.meta_path.insert(0, _Finder(name, call))  # not of its base class, which takes long to import


class _Finder:
    """Finds one module, by those that find all others, and leaves when it is imported."""

    def __init__(self, name: str, call: Callable[[], None]) -> None:
        self._name = name
        self._call = call

    def find_spec(self, fullname: str, *arguments: Any) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        found = (finder.find_spec(fullname, *arguments) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._finish)  # type: ignore[assignment]
        return spec

    def _finish(self) -> None:
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]
        self._call()


class _Loader:
    """Loads by another loader, then calls; is that loader for whoever asks more."""

    def __init__(self, loader: Any, call: Callable[[], None]) -> None:
        self._loader = loader
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._call()

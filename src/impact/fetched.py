"""Packages whose public names are fetched when they are first used, so that importing them costs nothing.

Which names, and whence, is what type checkers read: the imports under ``if TYPE_CHECKING`` in the package's
``__init__.py``.
"""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

_HOMES = "_homes"


class _Fetching(ModuleType):
    """A package; where a public function and its module have one name, that name is the function's."""

    def __getattr__(self, name: str) -> Any:
        homes = self.__dict__.get(_HOMES, {})
        if name not in homes:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        found = self.__dict__[name] = getattr(import_module(homes[name]), name)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        # When a module has been imported, Python names it in its package.
        if not (isinstance(value, ModuleType) and name in self.__dict__[_HOMES]):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__dict__[_HOMES]})


def fetch_when_used(package: str) -> None:
    """Let a package, which calls this from its ``__init__.py``, fetch its public names when they are used."""
    module = sys.modules[package]
    read = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    module.__dict__[_HOMES] = {
        alias.name: node.module
        for block in read.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    module.__class__ = _Fetching

"""Entries of the table of names: class attributes that are imported when they are asked for."""

import importlib
from typing import Any

__all__ = ["lazy"]


def lazy(module: str) -> Any:
    """Return an entry for what has its name in that module of ours."""
    return _Lazy(module)


class _Lazy:
    def __init__(self, module: str) -> None:
        self._module = module

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return getattr(importlib.import_module(self._module), self._name)

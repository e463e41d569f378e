"""Entries of the table of names: class attributes that are looked up when they are asked for."""

import functools
import importlib
from typing import Any

from procession._compat import stdlib

__all__ = ["borrowed", "lazy"]


def lazy(module: str) -> Any:
    """Return an entry for what has its name in that module of ours."""
    return _Lazy(module)


def borrowed() -> Any:
    """Return an entry for a maker of the standard library's, over its own context of the same start method.

    Not over ours: what it makes looks into the private parts of the locks that the context gives it.
    """
    return _Borrowed()


class _Lazy:
    def __init__(self, module: str) -> None:
        self._module = module

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return getattr(importlib.import_module(self._module), self._name)


class _Borrowed:
    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(_make, instance, self._name)


def _make(context: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(stdlib.their_contexts[context.get_start_method()], name)(*args, **kwargs)

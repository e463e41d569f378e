"""What a new interpreter of ours does before it imports anything of the program.

A layer above says it by name, since none may be imported from here; every start method carries the names on.
"""

import importlib
from collections.abc import Iterable

__all__ = ["add", "names", "perform"]

_names: list[str] = []


def add(name: str) -> None:
    """Let every child that is a new interpreter call this function first: "package.module:function"."""
    if name not in _names:
        _names.append(name)


def names() -> tuple[str, ...]:
    """Return what was added, in that order."""
    return tuple(_names)


def perform(given: Iterable[str]) -> None:
    """In the child: call them. One that is to reach the child's own children adds itself again."""
    for name in given:
        module, _, function = name.partition(":")
        getattr(importlib.import_module(module), function)()

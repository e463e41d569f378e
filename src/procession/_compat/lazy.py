"""A class attribute that is imported when it is first asked for."""

import importlib
from typing import Any

__all__ = ["Lazy"]


class Lazy:
    """Stands in a class for something of a module: ``Queue = Lazy("procession._channels.queue")``."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return getattr(importlib.import_module(self._module), self._name)

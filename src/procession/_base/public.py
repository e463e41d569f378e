"""How a public class is called: by the module in which users find it, not by the file that has it.

`repr`, `help()` and error messages show it, and pickles name it. Only classes have it: of a function no more is
shown than its name, and `typing.get_overloads` looks for them where they were made.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # a spawned child imports this file, and does without typing
    from collections.abc import Callable
    from typing import TypeVar

    C = TypeVar("C", bound=type)

__all__ = ["public", "public_in"]


def public_in(module: str) -> "Callable[[C], C]":
    """Return a decorator of the classes that are public in that module."""

    def name(cls: "C") -> "C":
        cls.__module__ = module
        return cls

    return name


public = public_in("procession")

"""The private corners of ``multiprocessing`` that contexts and ``install()`` touch, each with its reason."""

from multiprocessing import context

__all__ = ["concrete_contexts", "default_context"]

# Keeps the program's choice of a start method, for both libraries.
default_context: context.DefaultContext = context._default_context

# Where it, and what others have bound of it, looks for the context of a start method.
concrete_contexts: dict[str, context.BaseContext] = context._concrete_contexts  # type: ignore[attr-defined]

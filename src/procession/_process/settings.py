"""What a Process is told beyond what ``multiprocessing`` knows."""

from typing import Any, Literal, NamedTuple

__all__ = ["Orphan", "Settings", "settings_of"]

Orphan = Literal["kill", "keep"]
ATTRIBUTE = "_procession_settings"


class Settings(NamedTuple):
    """Kept, as a plain tuple, under one private name, so that no subclass's attribute collides with it."""

    start_method: str | None  # None: the program's default at start()
    orphan: Orphan  # "keep": may outlive its parent


def settings_of(process: Any) -> Settings:
    """Return the settings of a Process, or the defaults if its subclass never called __init__."""
    return Settings(*getattr(process, ATTRIBUTE, (None, "kill")))

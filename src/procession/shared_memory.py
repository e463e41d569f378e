"""The drop-in for ``multiprocessing.shared_memory``."""

from procession._shared.shareable_list import ShareableList as ShareableList
from procession._shared.shared_memory import SharedMemory as SharedMemory

__all__ = ["ShareableList", "SharedMemory"]

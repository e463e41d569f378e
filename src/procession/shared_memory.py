"""The drop-in for ``multiprocessing.shared_memory``."""

from procession._process import ancestors as _ancestors
from procession._shared import shared_memory as _shared_memory
from procession._shared.shareable_list import ShareableList as ShareableList
from procession._shared.shared_memory import SharedMemory as SharedMemory

__all__ = ["ShareableList", "SharedMemory"]

_shared_memory.elsewhere = _ancestors.block_of_an_ancestor

"""The drop-in for ``multiprocessing.sharedctypes``."""

from procession._shared.sharedctypes import Array as Array
from procession._shared.sharedctypes import RawArray as RawArray
from procession._shared.sharedctypes import RawValue as RawValue
from procession._shared.sharedctypes import Synchronized as Synchronized
from procession._shared.sharedctypes import SynchronizedArray as SynchronizedArray
from procession._shared.sharedctypes import SynchronizedBase as SynchronizedBase
from procession._shared.sharedctypes import SynchronizedString as SynchronizedString
from procession._shared.sharedctypes import Value as Value
from procession._shared.sharedctypes import copy as copy
from procession._shared.sharedctypes import synchronized as synchronized
from procession._shared.sharedctypes import typecode_to_type as typecode_to_type

__all__ = [
    "Array",
    "RawArray",
    "RawValue",
    "Synchronized",
    "SynchronizedArray",
    "SynchronizedBase",
    "SynchronizedString",
    "Value",
    "copy",
    "synchronized",
]

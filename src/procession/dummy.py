"""``multiprocessing.dummy`` itself: the same names made of threads. A thread dies with its process, so there is nothing to add."""

import sys
from multiprocessing import dummy
from multiprocessing.dummy import *  # noqa: F403

sys.modules[__name__] = dummy  # the very module: what it keeps, and what is private in it, is there once

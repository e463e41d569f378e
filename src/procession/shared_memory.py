"""``multiprocessing.shared_memory`` itself."""

import sys
from multiprocessing import shared_memory
from multiprocessing.shared_memory import *  # noqa: F403

sys.modules[__name__] = shared_memory  # the very module: what it keeps, and what is private in it, is there once

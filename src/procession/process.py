"""``multiprocessing.process`` itself: ``current_process``, ``active_children``, ``BaseProcess``. Ours are among them."""

import sys
from multiprocessing import process
from multiprocessing.process import *  # noqa: F403

sys.modules[__name__] = process  # the very module: what it keeps, and what is private in it, is there once

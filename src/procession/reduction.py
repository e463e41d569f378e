"""``multiprocessing.reduction`` itself: what is registered with its ForkingPickler counts for our queues and processes."""

import sys
from multiprocessing import reduction
from multiprocessing.reduction import *  # noqa: F403

sys.modules[__name__] = reduction  # the very module: what it keeps, and what is private in it, is there once

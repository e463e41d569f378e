"""``multiprocessing.util`` itself: loggers, finalizers, what is run after a fork. Processes of ours take part in all of it."""

import sys
from multiprocessing import util
from multiprocessing.util import *  # noqa: F403

sys.modules[__name__] = util  # the very module: what it keeps, and what is private in it, is there once

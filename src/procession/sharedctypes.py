"""``multiprocessing.sharedctypes`` itself."""

import sys
from multiprocessing import sharedctypes
from multiprocessing.sharedctypes import *  # noqa: F403

sys.modules[__name__] = sharedctypes  # the very module: what it keeps, and what is private in it, is there once

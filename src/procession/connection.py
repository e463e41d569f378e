"""``multiprocessing.connection`` itself."""

import sys
from multiprocessing import connection
from multiprocessing.connection import *  # noqa: F403

sys.modules[__name__] = connection  # the very module: what it keeps, and what is private in it, is there once

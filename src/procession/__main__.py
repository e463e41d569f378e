"""``python -m procession``."""

import sys

from procession._compat.command import main

if __name__ == "__main__":
    main(sys.argv[1:])

"""Random SIGKILLs through the public API, by which nothing may be lost, doubled, stuck or left behind.

    python tests/stress/torture.py --kills 500 --seed 1 [--stop] [--start-methods fork,spawn=0.2,forkserver]

It works in rounds (``rounds.py``). A round has some queues, locks and shared arrays and a dozen processes at seats around
them (``cast.py``): who is killed at a seat is replaced (``killer.py``). At its end the killing pauses, and everybody who
lives must get on; then all is drained and counted (``count.py``). After a round a whole program is killed at its root
(``trees.py``).

Definitions. *Lost*: put had returned, and it was neither returned by a get nor can it have been in the hand of a consumer
that was killed: at most what its last get or get_many had asked for. In every third round no consumer is killed, so that
nothing at all may be missing. With leases (``books.py``) nothing may be, whoever is killed, and what comes twice counts
its deliveries. *Torn*: large items, or arrays that somebody keeps, have other bytes than was put or written there
(``arrays.py``). *Stuck*: no progress for 3 s while somebody could have made some, had a CPU, and nobody is stopped.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Only here: what is spawned imports this file, and shall be at work soon.
    sys.path[0] = str(Path(__file__).parents[2])
    from tests.stress.run import main

    sys.exit(main(__doc__))

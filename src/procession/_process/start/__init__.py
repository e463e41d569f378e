"""How a child comes to be: one file for each start method.

``procession.Process`` is taken from here, so that who has it can start processes even if no file can be opened any more. A
spawned child takes it from its own file, and starts few.
"""

from procession._process.process import Process as Process
from procession._process.start import fork as fork
from procession._process.start import spawn as spawn

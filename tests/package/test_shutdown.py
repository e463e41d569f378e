"""The interpreter may end in any order: nothing is said and nothing hangs.

The short sleeps only make it likely that a thread has fallen asleep in the call; the promise holds without them too.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

MADE = """
import procession
lock, rlock, mutex = procession.Lock(), procession.RLock(), procession.Mutex()
queue, simple = procession.Queue(), procession.SimpleQueue()
every = [lock, rlock, mutex, queue, simple]
queue.put("left in it"); simple.put("left in it")
"""

PROGRAMS = {
    "nothing but the import": "import procession",
    "all of them in globals": MADE,
    "in a cycle": MADE + "every.append(every)\nclass Holder: pass\nh = Holder(); h.h = h; h.every = every",
    "outliving their module": MADE + "import builtins\nbuiltins.kept = every\ndel procession",
    "the module thrown out": MADE + "import sys\n[sys.modules.pop(n) for n in list(sys.modules) if 'procession' in n]",
    "used by atexit": MADE + "import atexit\natexit.register(queue.put, 1)\natexit.register(mutex.acquire)",
    "used by __del__": MADE + "class Late:\n  def __del__(self): queue.get(); queue.put(1)\nlate = Late()",
    "held locks": MADE + "mutex.acquire(); lock.acquire(); rlock.acquire(); rlock.acquire()",
    "closed queues": MADE + "queue.close(); queue.close(); simple.close()",
    "shut down queue": MADE + "queue.shutdown()",
    "queue in a queue": MADE + "queue.put(simple); queue.put(queue); simple.put(mutex)",
    "daemon thread asleep in get": MADE
    + "import threading, time\nempty = procession.Queue()\nt = threading.Thread(target=empty.get, daemon=True)\n"
    + "t.start()\ntime.sleep(0.1)",
    "daemon thread asleep in acquire": MADE
    + "import threading, time\nlock.acquire()\nt = threading.Thread(target=lock.acquire, daemon=True)\n"
    + "t.start()\ntime.sleep(0.1)",
    "daemon thread busy with a queue": MADE
    + "import threading, time\ndef busy():\n  while True: simple.put(1); simple.get()\n"
    + "threading.Thread(target=busy, daemon=True).start()\ntime.sleep(0.1)",
    "sys.exit": MADE + "import sys\nsys.exit(0)",
    "os._exit": MADE + "import os\nos._exit(0)",
    "a child joined": MADE + "p = procession.Process(target=queue.put, args=(1,), start_method='fork')\n"
    "p.start()\np.join()",
    "a child not joined": MADE + "procession.Process(target=queue.put, args=(1,), start_method='fork').start()",
    "a daemon not joined": MADE + "import time\n"
    "procession.Process(target=time.sleep, args=(60,), daemon=True, start_method='fork').start()",
    "a child never started": MADE + "p = procession.Process(target=queue.put, args=(1,))",
    "a child of the standard library": MADE + "import multiprocessing\n"
    "p = multiprocessing.get_context('fork').Process(target=queue.put, args=(1,))\np.start(); p.join()",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_interpreter_ends_silently(program: str) -> None:
    result = subprocess.run(
        # -X dev adds checks of memory and of unclosed things to what may be said.
        [sys.executable, "-W", "error", "-X", "dev", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stderr == ""
    assert (result.returncode, result.stdout) == (0, "")

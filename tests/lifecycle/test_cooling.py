"""The guardian gives back the memory of what was freed and not needed again."""

from __future__ import annotations

from procession import Process, Queue
from tests.lifecycle.tools import until


def test_idle_program_gives_memory_back() -> None:
    queue: Queue[bytes] = Queue()
    domain = queue._domain
    process = Process(target=queue.get)  # waits: the guardian is there as long as it is
    process.start()
    for _ in range(3):
        other: Queue[bytes] = Queue()
        other.put(bytes(20 << 20))
        other.get()
    assert domain.used()["warm"] >= 20 << 20  # at hand for the next one
    until(lambda: domain.used()["warm"] < 1 << 20, "giving back")
    queue.put(b"")
    process.join()

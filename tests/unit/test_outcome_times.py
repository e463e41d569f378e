"""What an Outcome says of time adds up."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from procession import Process
from procession._process.popen import Popen

if TYPE_CHECKING:
    import pytest


def work() -> None:
    until = time.process_time() + 0.03
    while time.process_time() < until:
        pass


def test_child_that_ends_before_its_parent_looks_has_all_its_time_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Popen._watch

    def watch_late(self: Popen, pid: int, started_ns: int) -> None:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        watch(self, pid, started_ns)

    monkeypatch.setattr(Popen, "_watch", watch_late)
    process = Process(target=work, start_method="fork")  # a spawned one is watched before it has what it needs
    process.start()
    process.join()
    assert process.outcome is not None
    assert process.outcome.kind == "finished"
    assert 0.03 <= process.outcome.run_time + process.outcome.ready_time <= process.outcome.elapsed

"""What an Outcome says of time adds up."""

from __future__ import annotations

import os
import time

import pytest

from procession import Process
from procession._process.popen import Popen
from procession._process.start.fork import ForkPopen
from procession._process.start.spawn import SpawnPopen


def work() -> None:
    until = time.process_time() + 0.03
    while time.process_time() < until:
        pass


@pytest.mark.parametrize(("method", "popen"), [("fork", ForkPopen), ("spawn", SpawnPopen)])
def test_child_that_ends_before_its_parent_looks_has_all_its_time_counted(
    monkeypatch: pytest.MonkeyPatch, method: str, popen: type[Popen]
) -> None:
    launch = popen._launch

    def launch_and_be_late(self: Popen, process: Process) -> int:
        pid = launch(self, process)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return pid

    monkeypatch.setattr(popen, "_launch", launch_and_be_late)
    process = Process(target=work, start_method=method)
    process.start()
    process.join()
    assert process.outcome is not None
    assert process.outcome.kind == "finished"
    assert 0.03 <= process.outcome.run_time + process.outcome.ready_time <= process.outcome.elapsed

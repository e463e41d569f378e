"""What an Outcome says of time adds up."""

from __future__ import annotations

import os
import time

import pytest

from procession import Process, _core


def work() -> None:
    until = time.process_time() + 0.03
    while time.process_time() < until:
        pass


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_child_that_ends_before_its_parent_looks_has_all_its_time_counted(method: str) -> None:
    process = Process(target=work, start_method=method)
    _core.pause_janitor()
    process.start()
    os.waitid(os.P_PID, process.pid or 0, os.WEXITED | os.WNOWAIT)
    _core.resume_janitor()
    process.join()
    assert process.outcome is not None
    assert process.outcome.kind == "finished"
    assert 0.03 <= process.outcome.run_time + process.outcome.ready_time <= process.outcome.elapsed

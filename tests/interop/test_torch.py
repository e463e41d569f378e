"""Our objects beside ``torch.multiprocessing``, where torch is installed."""

from __future__ import annotations

from typing import Any

import pytest

import procession

torch_multiprocessing: Any = pytest.importorskip("torch.multiprocessing")
torch: Any = pytest.importorskip("torch")


def double(jobs: Any, results: Any, lock: Any) -> None:
    with lock:
        results.put((jobs.get() * 2).numpy())


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_process_of_torch_takes_our_objects(method: str) -> None:
    jobs, results, lock = procession.Queue[Any](), procession.Queue[Any](), procession.Lock()
    process = torch_multiprocessing.get_context(method).Process(target=double, args=(jobs, results, lock))
    process.start()
    jobs.put(torch.from_numpy(procession.shared_array(4, "f4", fill=1.5)))
    assert results.get().tolist() == [3.0] * 4
    process.join()
    assert process.exitcode == 0
    process.close()

"""A cluster of dask's own, whose workers are processes of ours after ``install()``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("distributed")

PROGRAM = """
import procession

procession.install()

from dask.distributed import Client, LocalCluster

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        workers = [nanny.process.process._process for nanny in cluster.workers.values()]
        print(sorted({isinstance(worker, procession.context.SpawnContext.Process) for worker in workers}))
        print(sum(client.gather(client.map(abs, range(-50, 50)))))
    print(procession.active_children())
"""


@pytest.mark.slow
def test_cluster_of_processes_works_and_ends(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    run = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["[True]", "2500", "[]"]

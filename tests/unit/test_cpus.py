"""cpu_count: what affinity and control groups leave of the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import procession
from procession._compat.cpus import quota


@pytest.fixture
def one_cpu() -> Iterator[None]:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


def test_affinity_counts(one_cpu: None) -> None:
    assert procession.cpu_count() == 1
    assert procession.get_context("spawn").cpu_count() == 1


def test_never_more_than_the_machine_has() -> None:
    assert 1 <= procession.cpu_count() <= (os.cpu_count() or 1)


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


@pytest.mark.parametrize(
    ("allowance", "cpus"), [("max 100000", None), ("100000 100000", 1), ("150000 100000", 2), ("1000 100000", 1)]
)
def test_quota_of_version_2_is_rounded_up(tmp_path: Path, allowance: str, cpus: int | None) -> None:
    write(tmp_path / "groups" / "mine", cpu__max=allowance)
    write(tmp_path, of="0::/mine")
    assert quota(str(tmp_path / "groups"), str(tmp_path / "of")) == cpus


def test_outer_group_bounds_an_inner_one(tmp_path: Path) -> None:
    write(tmp_path / "groups" / "outer", cpu__max="200000 100000")
    write(tmp_path / "groups" / "outer" / "inner", cpu__max="700000 100000")
    write(tmp_path, of="0::/outer/inner")
    assert quota(str(tmp_path / "groups"), str(tmp_path / "of")) == 2


def test_quota_of_version_1(tmp_path: Path) -> None:
    write(tmp_path / "groups" / "cpu,cpuacct" / "mine", cpu__cfs_quota_us="250000", cpu__cfs_period_us="100000")
    write(tmp_path, of="5:memory:/else\n4:cpu,cpuacct:/mine\n0::/")
    assert quota(str(tmp_path / "groups"), str(tmp_path / "of")) == 3


def test_version_1_without_a_quota(tmp_path: Path) -> None:
    write(tmp_path / "groups" / "cpu" / "mine", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    write(tmp_path, of="4:cpu:/mine")
    assert quota(str(tmp_path / "groups"), str(tmp_path / "of")) is None


def test_path_of_the_host_inside_a_container_counts_by_its_root(tmp_path: Path) -> None:
    write(tmp_path / "groups", cpu__max="300000 100000")
    write(tmp_path, of="0::/kubepods/pod1/not-mounted-here")
    assert quota(str(tmp_path / "groups"), str(tmp_path / "of")) == 3


def test_no_control_groups_mean_no_limit(tmp_path: Path) -> None:
    assert quota(str(tmp_path), str(tmp_path / "missing")) is None

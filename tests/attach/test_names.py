"""Names of programs: published in a folder of the user's alone, gone with the program, trusted by nobody else's word."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from procession import NotFound, attach, publish
from procession._process.programs import Program as Entry
from procession._process.programs import running_programs, this_boot, this_namespace
from tests.attach.programs import Program, Raised, programs
from tests.helpers import output_of


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The two places in which names are looked for: the runtime folder, and the one of temporary files."""
    runtime, temporary = tmp_path / "runtime", tmp_path / "temporary"
    for folder in (runtime, temporary):
        folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    return runtime / "procession", temporary / f"procession-{os.geteuid()}"


def names_in(folder: Path) -> list[str]:
    return sorted(file.name.split("-", 4)[4] for file in folder.iterdir()) if folder.exists() else []


def test_program_is_found_by_its_name(places: tuple[Path, Path]) -> None:
    with programs() as (first, second):
        first.do("jobs = mp.Queue(name='jobs'); mp.publish('etl'); jobs.put('work')")
        assert second.do("mp.attach('etl').pid") == first.pid
        assert second.do("mp.attach('etl')['jobs'].get()") == "work"
        with pytest.raises(Raised, match=rf"program 'etl' \(pid {first.pid}\) has no object named 'x'"):
            second.do("mp.attach('etl')['x']")


def test_folder_and_file_are_the_users_alone(places: tuple[Path, Path]) -> None:
    with programs(1) as (first,):
        first.do("os.umask(0); mp.publish('etl')")
        assert stat.S_IMODE(places[0].stat().st_mode) == 0o700
        (file,) = places[0].iterdir()
        assert (stat.S_IMODE(file.stat().st_mode), file.stat().st_size) == (0o600, 0)
        assert not places[1].exists()


def test_nothing_is_left_when_the_program_ends(places: tuple[Path, Path]) -> None:
    with programs() as (first, second):
        first.do("mp.publish('etl')")
        second.do("mp.publish('other')")
        assert names_in(places[0]) == ["etl", "other"]
        first.end()
        assert names_in(places[0]) == ["other"]
        second.end()
        assert not places[0].exists()


def test_name_of_a_killed_program_goes_when_somebody_looks(places: tuple[Path, Path]) -> None:
    with programs() as (first, second):
        first.do("mp.publish('etl')")
        first.kill()
        assert names_in(places[0]) == ["etl"]
        with pytest.raises(Raised, match=r"no running program of this user is named 'etl'; named ones are: none"):
            second.do("mp.attach('etl')")
        assert names_in(places[0]) == []


def test_name_of_a_killed_program_goes_when_another_takes_one(places: tuple[Path, Path]) -> None:
    with programs() as (first, second):
        first.do("mp.publish('etl')")
        first.kill()
        second.do("mp.publish('etl')")
        assert names_in(places[0]) == ["etl"]
        assert attach("etl").pid == second.pid


def test_second_name_takes_the_place_of_the_first(places: tuple[Path, Path]) -> None:
    with programs(1) as (first,):
        first.do("mp.publish('a'); before = len(os.listdir('/proc/self/fd'))")
        for name in ("b", "b", "c"):
            first.do(f"mp.publish('{name}')")
            assert names_in(places[0]) == [name]
        assert first.do("len(os.listdir('/proc/self/fd')) - before") == 0


def test_name_of_several_programs_is_refused(places: tuple[Path, Path]) -> None:
    with programs(3) as (first, second, third):
        first.do("mp.publish('etl')")
        second.do("mp.publish('etl')")
        pids = ", ".join(map(str, sorted((first.pid, second.pid))))
        with pytest.raises(Raised, match=rf"Ambiguous.*2 running programs are named 'etl', with pids {pids}"):
            third.do("mp.attach('etl')")
        assert third.do(f"mp.attach({first.pid}).pid") == first.pid
        second.kill()
        assert third.do("mp.attach('etl').pid") == first.pid


def test_unknown_name_is_told_the_known_ones(places: tuple[Path, Path]) -> None:
    with programs() as (first, second):
        first.do("mp.publish('etl')")
        with pytest.raises(Raised, match=rf"is named 'elt'; named ones are: 'etl' \(pid {first.pid}\)"):
            second.do("mp.attach('elt')")


def test_fork_of_a_program_does_not_take_its_name_back(places: tuple[Path, Path]) -> None:
    answer = output_of(
        "import os, sys, procession as mp\n"
        "mp.publish('etl')\n"
        "pid = os.fork()\n"
        "if pid == 0: sys.exit()\n"
        "os.waitpid(pid, 0)\n"
        f"print(len(os.listdir({str(places[0])!r})))"
    )
    assert answer == "1"
    assert not places[0].exists()


@pytest.mark.parametrize("name", ["", "a/b", "a\nb", "\0", "x" * 101, "é" * 51])
def test_what_cannot_be_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="the name of a program must be"):
        publish(name)


def test_what_is_no_text() -> None:
    with pytest.raises(TypeError, match="name must be a str, not int"):
        publish(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a-b-c-1-2", "名前", ".", "-", "x" * 100, "two words"])
def test_what_can_be_a_name(places: tuple[Path, Path], name: str) -> None:
    with programs(1) as (first,):
        first.do(f"mp.publish({name!r})")
        assert attach(name).pid == first.pid


# ---- where ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", ["", "relative/folder", "/no/such/folder", "/proc/self"])
def test_temporary_folder_where_there_is_no_runtime_folder(places: tuple[Path, Path], runtime: str) -> None:
    with programs(1, XDG_RUNTIME_DIR=runtime) as (first,):
        first.do("mp.publish('etl')")
        assert names_in(places[1]) == ["etl"]
        assert stat.S_IMODE(places[1].stat().st_mode) == 0o700
        assert attach("etl").pid == first.pid  # though our own is set


def test_folder_that_others_can_enter_is_refused(places: tuple[Path, Path]) -> None:
    for place in places:
        place.mkdir(mode=0o700)
        place.chmod(0o711)
    with programs(1) as (first,):
        with pytest.raises(Raised, match=rf"PermissionError.*{re.escape(str(places[1]))}"):
            first.do("mp.publish('etl')")
        places[1].chmod(0o700)
        first.do("mp.publish('etl')")
        assert names_in(places[0]) == []
        assert names_in(places[1]) == ["etl"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
def test_folder_of_another_user_is_refused(places: tuple[Path, Path]) -> None:
    planted = Entry(this_boot(), this_namespace(), os.getpid(), 0, "etl").file()
    for place in places:
        place.mkdir(mode=0o700)
        (place / planted).touch()
        os.chown(place, 12345, 12345)
    refusal = pytest.raises(Raised, match=r"PermissionError.*this one is of user 12345 with mode 700")
    with programs(1) as (first,), refusal:
        first.do("mp.publish('etl')")
    assert running_programs() == []
    for place in places:
        assert (place / planted).exists()  # nor is anything removed there


def test_link_in_the_place_of_the_folder_is_not_followed(places: tuple[Path, Path], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "0-0-0-0-precious").touch()
    for place in places:
        place.symlink_to(elsewhere)
    with (
        programs(1) as (first,),
        pytest.raises(Raised, match=r"(PermissionError|NotADirectoryError).*names of programs are kept in a folder"),
    ):
        first.do("mp.publish('etl')")
    with pytest.raises(NotFound):
        attach("etl")
    assert os.listdir(elsewhere) == ["0-0-0-0-precious"]


def test_file_in_the_place_of_the_folder(places: tuple[Path, Path]) -> None:
    for place in places:
        place.touch()
    with programs(1) as (first,), pytest.raises(Raised, match="names of programs are kept in a folder"):
        first.do("mp.publish('etl')")


def test_what_is_no_entry_is_left_alone(places: tuple[Path, Path]) -> None:
    places[0].mkdir(mode=0o700)
    for file in ("readme", "1-2-3", "-----"):
        (places[0] / file).touch()
    (places[0] / "folder").mkdir()
    assert running_programs() == []
    assert len(os.listdir(places[0])) == 4


def test_entry_of_another_boot_or_of_an_earlier_process_is_stale(places: tuple[Path, Path]) -> None:
    places[0].mkdir(mode=0o700)
    for entry in (
        Entry("00000000", this_namespace(), os.getpid(), 1, "other boot"),
        Entry(this_boot(), this_namespace(), os.getpid(), 1, "earlier process"),
    ):
        (places[0] / entry.file()).touch()
    assert running_programs() == []
    assert os.listdir(places[0]) == []


def test_name_in_another_pid_namespace_is_refused_by_name_and_kept(places: tuple[Path, Path]) -> None:
    if subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no pid namespace can be made here")
    first = Program("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    try:
        first.do("mp.publish('etl')")
        assert output_of(
            "import procession as mp\ntry: mp.attach('etl')\nexcept mp.LayoutMismatch as error: print(error)"
        ).startswith("the program 'etl' runs in another pid namespace")
        assert names_in(places[0]) == ["etl"]  # its pid says nothing here
    finally:
        first.kill()
        for stream in (first.process.stdin, first.process.stdout):
            assert stream is not None
            stream.close()

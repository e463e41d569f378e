"""The guardian of a program: a process of its own that ends what killed processes leave behind.

Run by path with nothing but the standard library: argv[1] is the C core, descriptor 3 the domain's memfd.
It sleeps on the pidfds of all processes in the domain's table and on a doorbell. When one of them is dead:

* the children that it started are killed, but for those with orphan="keep";
* if it was a child itself and was killed (it did not mark its line as left): whatever it ran is killed, found by
  the mark in its environment, and so are its own forks and the processes it started by the standard library;
* nothing is done to processes of another program that use objects of this one (attach): they are in the table to be seen dead;
* its line of the table is swept, unless its parent has still to read there how it ended.

Free blocks of the shared memory keep their pages, to be used again at once; it gives back those that nobody needed for some seconds.

A swept line of a killed process is kept in the table until the guardian has seen it, so none escapes, even if it
died before there was a guardian.

It ends when nobody of the program is left. It takes no lock but the domain's, for a millisecond at most.

It may be killed itself, and at the same instant as those who would start another. So it has a deputy: a fork of it that
sleeps until the guardian is killed, and then is the guardian.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import time
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import module_from_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from procession._core import Domain

Key = tuple[int, int]  # of a line: index and generation

TREE_MARK = b"PROCESSION_TREE="
DEAD = 3  # state of a line
KEEP, PLAIN, FOREIGN, LEFT, REAPED, VISITOR = 1, 2, 8, 16, 128, 512  # flags of a line
NOBODY = 1024  # as a parent: the line has none
# Seconds between two looks at all lines while there are some: nobody may have rung.
TICK = 1.0
# Seconds after which the memory of what was freed is given back, if nobody needed it again.
IDLE = 5.0
# A line that was reserved and has no pid yet, of a dead parent; and what was just being executed by a dead one.
SOON = 0.05
# Seconds between whatever woke the guardian and its look.
MOMENT = 0.02
# A dead process's mark is looked for so often, and on a busy machine so much more often while something has our memory
# mapped and is not in the table: what was about to be executed as its parent died carries the mark when it is.
SCANS = 4
MORE = 50


def load_core(path: str) -> Any:
    """Load the extension by its path: the package around it is not needed here."""
    loader = ExtensionFileLoader("procession._core", path)
    module = module_from_spec(ModuleSpec("procession._core", loader, origin=path))
    loader.exec_module(module)
    return module


class Line:
    """A process in the domain's table."""

    def __init__(self, row: tuple[int, int, int, int, int, int, int, int, str]) -> None:
        index, generation, self.state, self.pid, self.start, parent, parent_generation, self.flags, _ = row
        self.key: Key = (index, generation)
        self.parent: Key | None = (parent, parent_generation) if parent < NOBODY else None


def start_time(pid: int) -> int:
    """Clock ticks after boot. ProcessLookupError for a process that is gone or a zombie, OSError if nobody can tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except FileNotFoundError:
        raise ProcessLookupError from None
    if fields[0] in b"ZX" and int(fields[17]) <= 1:
        raise ProcessLookupError
    return int(fields[19])


def open_process(pid: int, start: int) -> int:
    """Return a pidfd of the process with that pid and start time (0: not known), or raise as `start_time` does."""
    pidfd = os.pidfd_open(pid)
    try:
        if start and start_time(pid) != start:
            raise ProcessLookupError
    except BaseException:
        os.close(pidfd)
        raise
    return pidfd


class Guardian:
    """Looks at the table whenever something ends or the bell rings."""

    def __init__(self, domain: Domain, bell: int) -> None:
        self.domain = domain
        self.poll = select.poll()
        self.bell = bell
        self.deputy: Deputy | None = None
        self.poll.register(bell, select.POLLIN)
        self.pidfds: dict[Key, int] = {}
        self.lines: dict[Key, Line] = {}  # as last seen alive
        self.dead: dict[Key, Line] = {}  # whose tree may still have to be ended
        self.scans: dict[Key, float] = {}  # key of a killed process -> how often its mark is still looked for
        self.mine = domain.uuid.hex().encode()
        self.inode = b"%d" % os.fstat(domain.fd).st_ino
        self.given_up: set[Key] = set()  # lines that nobody could begin at the last look
        self.next_search = 0.0

    def run(self) -> None:
        """Watch until nobody is left."""
        while True:
            self.mind_deputy()
            again = self.look()
            if not self.lines and not again:
                return
            self.domain.cool(IDLE)
            self.poll.poll((SOON if again else TICK) * 1000)
            # One look for all the processes that are started, or that die, within a moment.
            time.sleep(MOMENT)
            try:
                while os.read(self.bell, 4096):
                    pass
            except BlockingIOError:
                pass

    def mind_deputy(self) -> None:
        """See to it that there is one."""
        if self.deputy is not None and is_readable(self.deputy.pidfd):
            self.poll.unregister(self.deputy.pidfd)
            self.deputy.close()
            self.deputy = None
        if self.deputy is None:
            try:
                self.deputy = Deputy(self.domain, [self.bell, *self.pidfds.values()])
            except OSError:
                return  # no process or descriptor to be had; the next look tries again
            self.poll.register(self.deputy.pidfd, select.POLLIN)

    def look(self) -> bool:
        """Read the table, end what must end. True if something needs a second look soon."""
        rows = {line.key: line for line in map(Line, self.domain.slots())}
        for key in [key for key in self.lines if key not in rows]:
            self.bury(key)  # somebody else has swept it
        unclear = orphaned = False
        for key, line in rows.items():
            if key in self.pidfds or key in self.dead:
                continue
            if line.state != DEAD and line.pid == 0:
                orphaned |= line.parent is not None and (line.parent not in rows or line.parent in self.dead)
            # A line may be DEAD and its process run another program: exec ends what it had here.
            elif line.pid == 0 or (line.state == DEAD and line.start == 0) or not self.meet(line):
                self.bury(key, line)
        for key, pidfd in list(self.pidfds.items()):
            if is_readable(pidfd):
                self.bury(key)
        for line in rows.values():
            if line.key not in self.dead and line.pid and self.must_end(line, rows):
                self.end(line)
                unclear = True
        self.scan()
        for key in [key for key in self.dead if key not in self.scans]:
            if key not in rows:
                del self.dead[key]
            elif not self.is_needed(key, rows):
                self.domain.release_slot(*key)
        if orphaned:
            self.domain.sweep()  # which knows when nobody can begin any more there
            self.give_up_unbegun(rows)
        return unclear or orphaned or bool(self.scans)

    def give_up_unbegun(self, rows: dict[Key, Line]) -> None:
        """Free lines for children of the standard library that a dead parent has not come to start.

        Such a child may be slow to take its line, so nobody gives that up for a minute; but it needs our memory for
        that. Two looks, since a descriptor on its way through a socket is nobody's.
        """
        if time.monotonic() < self.next_search:
            return
        self.next_search = time.monotonic() + TICK
        if self.somebody_has_memory():
            self.given_up.clear()
            return
        lines = {
            key
            for key, line in rows.items()
            if line.state != DEAD and line.pid == 0 and line.flags & FOREIGN and line.parent not in self.lines
        }
        for key in lines & self.given_up:
            self.domain.release_slot(*key)
        self.given_up = lines

    def somebody_has_memory(self) -> bool:
        """Has any process but the guardian and its deputy a descriptor of the domain?"""
        ours = {str(os.getpid()), str(self.deputy.pid if self.deputy else 0)}
        wanted = os.fstat(self.domain.fd)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if pid in ours:
                continue
            try:
                fds = os.listdir(f"/proc/{pid}/fd")
            except OSError:
                continue  # it is gone, or not ours to look into
            for fd in fds:
                try:
                    if os.path.samestat(os.stat(f"/proc/{pid}/fd/{fd}"), wanted):
                        return True
                except OSError:
                    continue  # it was closed meanwhile; the others may be what we look for
        return False

    def meet(self, line: Line) -> bool:
        """Hold on to a process by a pidfd; False if it is dead already."""
        try:
            pidfd = open_process(line.pid, line.start)
        except ProcessLookupError:
            return False
        except OSError:
            return True  # no descriptor to be had: nobody is dead for that; the next look tells
        self.pidfds[line.key] = pidfd
        self.lines[line.key] = line
        self.poll.register(pidfd, select.POLLIN)
        return True

    def bury(self, key: Key, seen: Line | None = None) -> None:
        """Take note of a death."""
        if key in self.dead:
            return
        line = self.lines.pop(key, None) or seen
        assert line is not None
        pidfd = self.pidfds.pop(key, None)
        if pidfd is not None:
            self.poll.unregister(pidfd)
            os.close(pidfd)
        flags = self.domain.slot_flags(*key)
        line.flags = line.flags if flags is None else flags
        self.dead[key] = line
        if line.parent is not None and not line.flags & (LEFT | VISITOR):
            self.scans[key] = SCANS

    def must_end(self, line: Line, rows: dict[Key, Line]) -> bool:
        """Is it a child of a dead process that may not outlive it?"""
        if line.parent is None or (line.parent in rows and line.parent not in self.dead):
            return False
        if line.flags & VISITOR:
            return False  # another program's: its own guardian ends it, or nobody
        if not line.flags & (PLAIN | FOREIGN):
            return not line.flags & KEEP
        # Its parent's own fork, or the standard library's: only if the parent was one of our children, and killed.
        return line.parent in self.scans

    def is_needed(self, key: Key, rows: dict[Key, Line]) -> bool:
        """Must the line of a dead process stay? Its parent reads there how it ended; its children look for it."""
        awaited = rows[key].parent in self.lines and not rows[key].flags & (PLAIN | FOREIGN | REAPED)
        return awaited or any(row.parent == key and row.key not in self.dead for row in rows.values())

    def end(self, line: Line) -> None:
        """SIGKILL it, and note why in its line."""
        self.domain.mark_orphan(*line.key)
        pidfd = self.pidfds.get(line.key)
        if pidfd is not None:
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            except OSError:
                pass

    def scan(self) -> None:
        """End what carries the mark of a killed process."""
        if not self.scans:
            return
        marks = {b"%s:%d.%d" % (self.mine, *key): key for key in self.scans}
        known = {os.getpid(), self.deputy.pid if self.deputy else 0, *(line.pid for line in self.lines.values())}
        # A visitor may be what a killed process of ours had run: being in our table does not save it.
        visitors = {line.pid for line in self.lines.values() if line.flags & VISITOR}
        unclear = False
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if int(pid) in known - visitors:
                continue  # must_end() decides on those in the table, though a spawned one carries its parent's mark
            if mark_of(pid) in marks:
                kill_marked(pid, marks)
            elif int(pid) not in visitors:
                unclear |= self.is_between(pid)
        spent = 1 / MORE if unclear else 1
        self.scans = {key: count - spent for key, count in self.scans.items() if count > spent}

    def is_between(self, pid: str) -> bool:
        """Has it our memory mapped? After vfork a child has its parent's, and until exec no mark of its own."""
        try:
            if os.path.samefile(f"/proc/{pid}/exe", "/proc/self/exe"):  # the others need not be looked into
                with open(f"/proc/{pid}/maps", "rb") as file:
                    return any(b"memfd:procession" in row and row.split()[4] == self.inode for row in file)
        except OSError:
            pass
        return False


def is_readable(fd: int) -> bool:
    """Has the process of this pidfd ended?"""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def mark_of(pid: str) -> bytes | None:
    """Return the mark in a process's environment, as it was when it was executed."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environ = file.read()
    except OSError:
        return None
    _, found, rest = (b"\0" + environ).partition(b"\0" + TREE_MARK)
    return rest.partition(b"\0")[0] if found else None


def kill_marked(pid: str, marks: dict[bytes, Key]) -> None:
    """SIGKILL it, unless its pid belongs to somebody else by now."""
    try:
        pidfd = os.pidfd_open(int(pid))
    except OSError:
        return
    try:
        if mark_of(pid) in marks:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        pass
    finally:
        os.close(pidfd)


class Deputy:
    """A fork of the guardian that takes its place when it is killed; `close` are descriptors that it does not need."""

    def __init__(self, domain: Domain, close: list[int]) -> None:
        guardian = os.pidfd_open(os.getpid())
        reader, self.writer = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if self.pid == 0:
            for fd in [*close, self.writer]:
                os.close(fd)
            code = 1
            try:
                stand_by(domain, guardian, reader)
                code = 0
            finally:
                os._exit(code)
        os.close(guardian)
        os.close(reader)
        self.pidfd = os.pidfd_open(self.pid)

    def dismiss(self) -> None:
        """The guardian ends by itself: nobody shall take its place."""
        try:
            os.write(self.writer, b"!")
        except OSError:
            pass  # it was killed

    def close(self) -> None:
        """Reap one that has ended."""
        os.close(self.writer)
        os.close(self.pidfd)
        os.waitpid(self.pid, 0)


def stand_by(domain: Domain, guardian: int, dismissal: int) -> None:
    """Wait for the guardian's end, and follow it unless it was dismissed."""
    poll = select.poll()
    poll.register(guardian, select.POLLIN)
    while not poll.poll():
        pass
    dismissed = bool(os.read(dismissal, 1))
    os.close(guardian)
    os.close(dismissal)
    if not dismissed:
        watch(domain)


def watch(domain: Domain) -> None:
    """Become the guardian of the domain, unless there is one."""
    bell, ringer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    if not domain.claim_guardian(ringer):
        return
    guardian = Guardian(domain, bell)
    try:
        guardian.run()
    finally:
        if guardian.deputy is not None:
            guardian.deputy.dismiss()


def main() -> None:
    """Watch, from a fresh interpreter."""
    # One descriptor for each process of the program, which is not bound by the limit of one of them.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    watch(load_core(sys.argv[1]).Domain.watch(3))


if __name__ == "__main__":
    main()

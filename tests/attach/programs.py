"""Programs for the tests of ``attach()``: each is an interpreter of its own that does what it is told, line by line."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

TOLD = """
import os, sys, time, signal, threading
import procession as mp

for line in sys.stdin:
    line = line.strip()
    try:
        try:
            told = eval(line)
        except SyntaxError:
            told = exec(line)
        print(repr(told), flush=True)
    except BaseException as error:
        print("!" + repr((type(error).__name__, str(error))), flush=True)
"""


class Raised(Exception):
    """What the program raised: the name of the class, the text."""


class Program:
    """A program, told what to do one line at a time."""

    def __init__(self, *command: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [*command, sys.executable, "-W", "error", "-c", TOLD],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def begin(self, line: str) -> None:
        """Tell it, without waiting until it is done."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """What the line that was begun gave: its value, or its text where that is no literal."""
        assert self.process.stdout is not None
        answer = self.process.stdout.readline().rstrip("\n")
        assert answer, f"the program has ended: {self.process.wait()}"
        if answer.startswith("!"):
            raise Raised(*ast.literal_eval(answer[1:]))
        try:
            return ast.literal_eval(answer)
        except (ValueError, SyntaxError):
            return answer

    def do(self, line: str) -> Any:
        """Tell it, and return what that gave."""
        self.begin(line)
        return self.answer()

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """Let it come to its end by itself, and see that it did so well."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait() == 0


@contextmanager
def programs(count: int = 2, **environment: str) -> Iterator[list[Program]]:
    """So many of them; at the end they are killed."""
    started = [Program(**environment) for _ in range(count)]
    try:
        yield started
    finally:
        for program in started:
            program.kill()
            for stream in (program.process.stdin, program.process.stdout):
                if stream is not None:
                    try:
                        stream.close()
                    except BrokenPipeError:
                        pass

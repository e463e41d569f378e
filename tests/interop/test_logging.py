"""``logging.handlers.QueueHandler`` and ``QueueListener`` over our queues, between processes, killed ones among them."""

from __future__ import annotations

import logging
import logging.handlers
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import procession
from tests.helpers import METHODS, until

each_queue = pytest.mark.parametrize("kind", [procession.Queue, procession.JoinableQueue])
each_method = pytest.mark.parametrize("method", METHODS)


class Kept(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def listening(queue: Any) -> Iterator[Kept]:
    kept = Kept()
    listener = logging.handlers.QueueListener(queue, kept)
    listener.start()
    try:
        yield kept
    finally:
        listener.stop()


def logger_of(queue: Any) -> logging.Logger:
    logger = logging.getLogger("test")
    logger.handlers = [logging.handlers.QueueHandler(queue)]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return logger


def log(queue: Any, count: int) -> None:
    logger = logger_of(queue)
    for number in range(count):
        logger.info("number %d", number)
    try:
        raise LookupError("on purpose")
    except LookupError:
        logger.exception("it failed")


@each_method
@each_queue
def test_records_of_processes_come_whole_and_in_order(kind: Callable[..., Any], method: str) -> None:
    queue = kind(name="log")
    with listening(queue) as kept:
        team = [
            procession.Process(target=log, args=(queue, 50), name=f"logger-{n}", start_method=method) for n in range(2)
        ]
        for process in team:
            process.start()
        for process in team:
            process.join()
            assert process.exitcode == 0
    for process in team:
        mine = [record for record in kept.records if record.process == process.pid]
        assert [record.getMessage() for record in mine[:50]] == [f"number {n}" for n in range(50)]
        assert {record.processName for record in mine} == {process.name}
        assert "LookupError: on purpose" in mine[50].getMessage()
        process.close()


def log_for_ever(queue: Any) -> None:
    logger = logger_of(queue)
    number = 0
    while True:
        logger.info("number %d", number)
        number += 1


@each_queue
def test_killed_loggers_do_not_silence_the_others(kind: Callable[..., Any]) -> None:
    queue = kind(100, name="log")  # a full one: some are killed in put_nowait, and some are told Full
    logging.raiseExceptions = False
    try:
        with listening(queue) as kept:
            for _ in range(10):
                process = procession.Process(target=log_for_ever, args=(queue,), start_method="fork")
                process.start()
                until(lambda: any(record.process == process.pid for record in kept.records))  # noqa: B023
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
                process.join()
                process.close()
            until(queue.empty)
            logger_of(queue).info("from here")
            until(lambda: any(record.getMessage() == "from here" for record in kept.records))
    finally:
        logging.raiseExceptions = True
        logging.getLogger("test").handlers = []

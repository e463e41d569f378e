"""What a Process is told wrongly, it says in words; what multiprocessing takes, it takes."""

from __future__ import annotations

import pickle

import pytest

from procession import Process


@pytest.mark.parametrize("what", ["terminate", "kill"])
def test_process_that_was_not_started_cannot_be_ended(what: str) -> None:
    process = Process(target=int)
    with pytest.raises(AttributeError, match=rf"cannot {what} <Process.*>: it was not started"):
        getattr(process, what)()


@pytest.mark.parametrize("arguments", [{"target": lambda: None}, {"target": int, "args": (lambda: None,)}])
def test_what_cannot_be_sent_to_a_spawned_process_says_what_to_do(arguments: dict[str, object]) -> None:
    process = Process(name="sender", start_method="spawn", **arguments)  # type: ignore[arg-type]
    with pytest.raises((AttributeError, pickle.PicklingError)) as caught:
        process.start()
    [note] = caught.value.__notes__
    assert note.startswith("procession: Process 'sender' is started by spawn")
    assert "use start_method='fork'" in note


def test_name_may_be_anything() -> None:
    process = Process(target=int, name=3, start_method="fork")  # type: ignore[arg-type]
    process.start()
    process.join()
    assert process.exitcode == 0

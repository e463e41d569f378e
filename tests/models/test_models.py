"""The small runs of each model: the sound ones find no fault, the mutants are caught."""

from __future__ import annotations

import pytest

from tests.models import (
    attaching,
    barriers,
    buffers,
    cells,
    circles,
    conditions,
    dictionary,
    events,
    finding,
    holders,
    leases,
    ledger,
    listening,
    lock,
    pipes,
    priorities,
    ring,
    semaphore,
    shutdown,
    spill,
)
from tests.models._engine import Run, perform

MODELS = {
    "lock": lock,
    "ledger": ledger,
    "ring": ring,
    "spill": spill,
    "shutdown": shutdown,
    "holders": holders,
    "buffers": buffers,
    "cells": cells,
    "leases": leases,
    "listening": listening,
    "events": events,
    "conditions": conditions,
    "barriers": barriers,
    "dictionary": dictionary,
    "semaphore": semaphore,
    "circles": circles,
    "pipes": pipes,
    "priorities": priorities,
    "attaching": attaching,
    "finding": finding,
}
QUICK = [
    pytest.param(run, id=f"{name}: {run.title}") for name, model in MODELS.items() for run in model.RUNS if run.quick
]


@pytest.mark.parametrize("run", QUICK)
def test_run_shows_what_it_must(run: Run) -> None:
    assert perform(run)


def test_each_model_has_sound_runs_and_mutants() -> None:
    for name, model in MODELS.items():
        assert {run.is_mutant for run in model.RUNS} == {False, True}, name

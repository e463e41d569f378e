"""A domain that cannot be as small as it is told to be says so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from procession import _core

MINIMUM = 64 << 20


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_core_refuses_a_domain_below_the_minimum() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        _core.Domain.create(size=MINIMUM - 4096)


def test_variable_at_the_minimum_is_taken() -> None:
    code = "import procession; q = procession.Queue(); q.put(3); print(q.get())"
    assert python(code, PROCESSION_DOMAIN_SIZE=str(MINIMUM)).stdout == "3\n"

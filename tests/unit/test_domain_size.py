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


def test_variable_below_the_minimum_is_refused_in_words() -> None:
    result = python("import procession; procession.Queue()", PROCESSION_DOMAIN_SIZE=str(MINIMUM - 1))
    assert f"ValueError: PROCESSION_DOMAIN_SIZE must be {MINIMUM} bytes or more, not '{MINIMUM - 1}'" in result.stderr


def test_variable_at_the_minimum_is_taken() -> None:
    code = "import procession; q = procession.Queue(); q.put(3); print(q.get())"
    assert python(code, PROCESSION_DOMAIN_SIZE=str(MINIMUM)).stdout == "3\n"

"""What doctor() says, and that everything holds where the kernel lacks something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import procession
from procession._base.platform import Missing, Report
from tests.helpers import error_of, output_of

ROOT = Path(__file__).parents[2]
FEATURES = ["robust_list", "waitv", "pending_wake", "siblings"]
SWITCHED_OFF = [*FEATURES, ",".join(FEATURES)]

# Without the kernel's list of held locks it does not wake for the dead either.
MISSING = {
    "robust_list": {"robust_list", "pending_wake"},
    "waitv": {"waitv"},
    "pending_wake": {"pending_wake"},
    "siblings": {"siblings"},
}
LIST = "import procession; print(*[item.feature for item in procession.doctor().missing])"


@pytest.mark.skipif("PROCESSION_DISABLE" in os.environ, reason="something is switched off")
def test_doctor_finds_what_this_machine_has() -> None:
    report = procession.doctor()
    assert report.kernel == os.uname().release
    assert report.cpus == len(os.sched_getaffinity(0))


def test_doctor_says_when_nothing_is_missing() -> None:
    assert str(Report("6.1", 2, ())) == "procession on Linux 6.1, 2 CPUs: all there."


def test_doctor_counts_one_cpu() -> None:
    assert "1 CPU:" in str(Report("6.1", 1, ()))


def test_doctor_says_what_is_missing_and_its_cost() -> None:
    text = str(Report("6.1", 2, (Missing("waitv", "no sleep on two words", "50 ms late"),)))
    assert text.splitlines() == [
        "procession on Linux 6.1, 2 CPUs: 1 of 4 optional abilities missing.",
        "  waitv: no sleep on two words",
        "    cost: 50 ms late; nothing is lost or left hanging",
    ]


@pytest.mark.parametrize("feature", FEATURES)
def test_doctor_names_what_is_switched_off(feature: str) -> None:
    assert set(output_of(LIST, PROCESSION_DISABLE=feature).split()) >= MISSING[feature]


def test_several_are_switched_off_together() -> None:
    assert output_of(LIST, PROCESSION_DISABLE=",".join(FEATURES)).split() == FEATURES


def test_each_missing_ability_has_its_cost_in_words() -> None:
    text = output_of(
        "import procession; print(procession.doctor())",
        PROCESSION_DISABLE=",".join(FEATURES),
    )
    assert "4 of 4 optional abilities missing" in text
    assert text.count("cost: ") == 4
    assert text.count("up to 50 ms") == 3


@pytest.mark.parametrize("use", ["doctor", "Lock"])
def test_unknown_ability_in_the_environment_is_refused(use: str) -> None:
    said = error_of(f"import procession; procession.{use}()", PROCESSION_DISABLE="waitv,robust")
    assert said == "ValueError: PROCESSION_DISABLE names 'robust'; known are robust_list, waitv, pending_wake, siblings"


@pytest.mark.slow
@pytest.mark.parametrize("features", SWITCHED_OFF)
def test_promises_hold_with_abilities_switched_off(features: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "core", "-p", "no:cacheprovider", "tests/unit"],
        cwd=ROOT,
        env=os.environ | {"PROCESSION_DISABLE": features},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr

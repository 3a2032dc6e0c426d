"""Random and mutated documents, of which none raises anything but a MetricregError; `fuzzing.py` tries many more."""

from __future__ import annotations

import time

from hypothesis import HealthCheck, given, settings

from tests.spec.fuzzing import CASES, Case, tried

SEEN: set[str] = set()
OUTCOMES = {"right", "right and large", "wrong", "never satisfied", "unchecked", "unreadable"}


@settings(deadline=None, derandomize=True, max_examples=600, suppress_health_check=list(HealthCheck))
@given(CASES)
def fuzz(case: Case) -> None:
    start = time.process_time()
    outcome = tried(case.value)
    assert outcome in OUTCOMES
    SEEN.add(outcome)
    assert time.process_time() - start < 5.0


def test_no_document_raises_anything_else_or_takes_long() -> None:
    SEEN.clear()
    fuzz()
    assert {"right", "wrong", "unreadable"} <= SEEN

"""What a record says of its gate can be drawn again from it, and forgeries are found."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from pytest_arena import Episode, JobRecord, Verdict
from pytest_arena.gate.recheck import recheck
from pytest_arena.records.to_plain import to_plain
from tests.jobs import judged, make_job
from tests.unit.gate.test_job_gate import episode

THRESHOLDS = {"success_rate": ">= 0.8", "success_at_end_rate": "<= 0.99", "return": "< 9"}


def made(method: str = "spending") -> tuple[JobRecord, list[Episode]]:
    """A record as it is read back from disk, and its episodes."""
    episodes = [episode(i, "failure" if i % 12 == 5 else "success") for i in range(100)]
    record = JobRecord("job", 1, "0", "s", "e", "p", episodes={"requested": 100})
    gate = {"episodes_max": 100, "method": method}
    judged(record, make_job(thresholds=THRESHOLDS, gate=gate), episodes)
    return JobRecord.from_json(json.loads(json.dumps(to_plain(record.to_json())))), episodes


@pytest.mark.parametrize("method", ["spending", "e_process"])
def test_an_honest_record(method: str) -> None:
    record, episodes = made(method)
    assert record.gate is not None
    assert record.gate.tests[0].path
    assert recheck(record) == []
    assert recheck(record, episodes) == []


def test_a_record_without_a_gate() -> None:
    assert recheck(JobRecord("job", 1, "0", "s", "e", "p")) == []


def lower_the_bar(record: JobRecord) -> None:
    assert record.gate is not None
    record.gate.tests[0].pass_at[0] = 5


def raise_a_count(record: JobRecord) -> None:
    assert record.gate is not None
    record.gate.tests[0].path[0].successes += 1


def call_it_passed(record: JobRecord) -> None:
    assert record.gate is not None
    record.gate.tests[1].verdict = Verdict.FAIL


def call_the_threshold_passed(record: JobRecord) -> None:
    record.thresholds[1].verdict = Verdict.FAIL


def stop_before(record: JobRecord) -> None:
    assert record.gate is not None
    record.gate.counted = 30


def look_more_often(record: JobRecord) -> None:
    assert record.gate is not None
    record.gate.tests[0].looks.insert(0, 5)


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (lower_the_bar, "the boundary is not the one of its rule"),
        (raise_a_count, "the episodes lead to"),
        (call_it_passed, "is not that of the last look"),
        (call_the_threshold_passed, "the threshold says"),
        (stop_before, "episodes to be counted, got 30"),
        (look_more_often, "expected looks"),
    ],
)
def test_forgeries(forge: Callable[[JobRecord], None], words: str) -> None:
    record, episodes = made()
    forge(record)
    assert any(words in problem for problem in recheck(record, episodes))

"""One row of the table of jobs: the record's numbers, as they are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from pytest_arena.records.manifest import JobEntry
from pytest_arena.records.schema import Comparison, ComparisonVerdict, JobRecord, Status, ThresholdResult
from pytest_arena.reports.html.job_row import JobRow
from pytest_arena.reports.html.stored_job import StoredJob
from tests.jobs import make_job
from tests.unit.reports.html.table_rows import row


def stored(record: JobRecord | None, **config: Any) -> StoredJob:
    return StoredJob(Path("nowhere") / "reach", "reach", 1, record, JobEntry(make_job(**config).config()))


def a_record(**changes: Any) -> JobRecord:
    return JobRecord("reach", 1, "0", "metaworld", "reach-v3", "openpi", Status.COMPLETED, **changes)


def threshold(expression: str, metric: str = "success_rate", **changes: Any) -> ThresholdResult:
    return ThresholdResult(metric, expression, 0.5, True, **changes)


def test_what_the_record_has() -> None:
    record = a_record(
        metrics={"success_rate": 0.5, "episode_length": 57.75, "return": -12345.0},
        intervals={"success_rate": (0.25, 0.75)},
        episodes={"requested": 4, "measured": 3, "errors": 1},
        timings={"total_seconds": 72.3},
        thresholds=[threshold("<= 99", "episode_length"), threshold(">= 40%", undecided=True)],
    )
    found = JobRow.of(stored(record, tags=["smoke"], language_instruction="reach the goal"))
    assert (found.environment, found.simulator, found.policy) == ("reach-v3", "metaworld", "openpi")
    assert (found.tags, found.instruction) == (("smoke",), "reach the goal")
    assert (found.rate, found.interval_text) == (0.5, "[25.0%, 75.0%]")
    assert found.threshold is not None
    assert (found.threshold.expression, found.undecided) == (">= 40%", True)
    assert (found.episodes_text, found.errors) == ("3/4", 1)
    assert (found.length_text, found.return_text, found.time_text) == ("57.75", "-12,345", "72.3 s")


def test_a_job_without_a_record_is_what_its_configuration_says() -> None:
    found = JobRow.of(stored(None))
    assert (found.environment, found.simulator, found.policy) == ("CartPole-v1", "gymnasium", "zero")
    assert (found.verdict, found.rate, found.picture, found.episodes_text) == ("never ran", None, "", "0")
    assert JobRow.of(StoredJob(Path("nowhere"), "x", 1, None, JobEntry())).environment == ""


def test_intervals_of_what_did_not_complete_tell_nothing() -> None:
    record = a_record(thresholds=[threshold(">= 40%", undecided=True)])
    record.status = Status.CRASHED
    assert not JobRow.of(stored(record)).undecided


@pytest.mark.parametrize(
    ("expression", "distance"),
    [(">= 0.9", -0.4), ("<= 0.9", 0.4), ("0.4..0.8", 0.1), ("no threshold", math.inf)],
)
def test_how_far_the_rate_is_from_failing(expression: str, distance: float) -> None:
    record = a_record(metrics={"success_rate": 0.5}, thresholds=[threshold(expression)])
    assert JobRow.of(stored(record)).distance == pytest.approx(distance)


def test_a_rate_that_was_not_measured_has_no_distance() -> None:
    record = a_record(metrics={"success_rate": None}, thresholds=[threshold(">= 0.9")])
    assert JobRow.of(stored(record)).distance == math.inf


@pytest.mark.parametrize(
    ("comparison", "text"),
    [
        (Comparison("success_rate", ComparisonVerdict.NOT_JUDGED), "not judged"),
        (
            Comparison(
                "success_rate", ComparisonVerdict.REGRESSION, rate=True, difference=-0.25, failed=True
            ),
            "regression -25.0 points",
        ),
        (Comparison("return", ComparisonVerdict.IMPROVED, difference=3.5), "return: improved +3.5"),
    ],
)
def test_the_comparison_in_a_few_words(comparison: Comparison, text: str) -> None:
    found = JobRow.of(stored(a_record(comparison=comparison))).compared
    assert found is not None
    assert (found.text, found.failed, found.difference) == (text, comparison.failed, comparison.difference)


def test_texts_of_any_length_take_little_room() -> None:
    record = a_record()
    record.environment = record.policy = "x" * 10_000
    found = JobRow.of(stored(record, tags=["t" * 90], language_instruction="y" * 10_000))
    assert max(map(len, (found.environment, found.policy, found.instruction))) == 120


def test_an_interval_without_an_end_is_none() -> None:
    record = a_record(metrics={"success_rate": 0.5}, intervals={"success_rate": (None, 0.75)})
    found = JobRow.of(stored(record))
    assert (found.interval, found.interval_text) == (None, "")


def test_a_part_of_a_job_says_so() -> None:
    assert JobRow.of(stored(a_record(only=[3, 5]))).part == "episodes 3, 5 only"
    assert JobRow.of(stored(a_record())).part == ""


def test_rows_hold_nothing_else() -> None:
    with pytest.raises(AttributeError):
        row("reach").record  # noqa: B018

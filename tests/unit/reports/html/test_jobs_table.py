"""The table of jobs: order, parts of jobs, counts, and the text of the page."""

from __future__ import annotations

from typing import Any

from pytest_arena.jobs.threshold import Threshold
from pytest_arena.records.schema import ComparisonVerdict
from pytest_arena.reports.html.job_row import Compared, JobRow
from pytest_arena.reports.html.jobs_table import JobsTable
from pytest_arena.reports.html.render import render
from pytest_arena.reports.html.stored_job import COUNTED
from tests.unit.reports.html.table_rows import ShownTable, row, shard


def shown(*rows: JobRow) -> ShownTable:
    return ShownTable(render("jobs_table.html", table=JobsTable.of(rows)))


def labels(table: JobsTable) -> list[str]:
    return [job.label for job in table.jobs]


def with_rate(label: str, verdict: str, rate: float, threshold: str = ">= 0.5", **changes: Any) -> JobRow:
    interval = (rate / 2, (1 + rate) / 2)
    return row(label, verdict, rate=rate, interval=interval, threshold=Threshold.parse(threshold), **changes)


def test_the_worst_come_first() -> None:
    verdicts = [
        "pass",
        "none",
        "inconclusive",
        "fail",
        "running",
        "interrupted",
        "never ran",
        "error",
        "crashed",
    ]
    table = JobsTable.of([row(verdict.replace(" ", "-"), verdict) for verdict in verdicts])
    assert [job.verdict for job in table.jobs] == [
        *("crashed", "error", "never ran", "interrupted", "running", "fail", "inconclusive", "none", "pass")
    ]
    assert set(COUNTED) >= set(verdicts)


def test_of_equal_verdicts_the_nearest_to_failing_comes_first_and_then_the_order_of_the_run() -> None:
    table = JobsTable.of(
        [
            row("no-threshold-2", "pass"),
            with_rate("far", "pass", 0.9),
            row("no-threshold-1", "pass"),
            with_rate("near", "pass", 0.6),
            with_rate("below", "fail", 0.1),
            with_rate("far-below", "fail", 0.2, "<= 0.05"),
        ]
    )
    assert labels(table) == ["below", "far-below", "near", "far", "no-threshold-2", "no-threshold-1"]


def test_attempts_and_shards_stand_below_their_job_and_are_not_counted() -> None:
    table = JobsTable.of(
        [
            row("reach", "fail"),
            row("reach", "pass", 2),
            row("cut", "fail"),
            shard("cut", 0),
            shard("cut", 1),
            shard("cut", 1, attempt=2),
        ]
    )
    assert [(line.row.folder, line.remark, line.part) for line in table.lines] == [
        ("cut", "", False),
        ("cut-shard0of2", "shard 1 of 2", True),
        ("cut-shard1of2", "shard 2 of 2, attempt 1 of 2", True),
        ("cut-shard1of2.2", "shard 2 of 2, attempt 2 of 2", True),
        ("reach.2", "attempt 2 of 2", False),
        ("reach", "attempt 1 of 2", True),
    ]
    assert [(count.verdict, count.number) for count in table.counts] == [("pass", 1), ("fail", 1)]


def test_the_text_of_a_row() -> None:
    (found,) = shown(
        with_rate(
            "reach",
            "fail",
            0.25,
            environment="reach-v3",
            tags=("smoke", "x"),
            instruction="reach it",
            undecided=True,
            measured=3,
            requested=4,
            errors=2,
            length=57.75,
            returned=12.0,
            seconds=72.3,
        )
    ).rows
    assert found.cells == [
        *("reach reach-v3 smoke x", "fail *", "25.0% [12.5%, 62.5%] >= 0.5", "3/4 2 errors", "57.75", "12"),
        "72.3 s",
    ]
    assert found.attributes["class"] == "fail"
    assert found.attributes["data-find"] == "reach it"
    assert {"svg.", "circle."} <= {*found.elements}


def test_columns_with_one_value_are_a_line_below_the_table() -> None:
    one = shown(
        row("a", simulator="metaworld", policy="zero"), row("b", simulator="metaworld", policy="zero")
    )
    assert one.headings[-1] == "time"
    page = render("jobs_table.html", table=JobsTable.of([row("a", simulator="metaworld", policy="zero")]))
    assert "policy of all jobs: <bdi>zero</bdi>" in page
    compared = Compared(ComparisonVerdict.IMPROVED, False, "improved +2.0 points", 0.02)
    two = shown(row("a", policy="zero", compared=compared), row("b", policy="openpi"))
    assert two.headings[-2:] == ["baseline", "policy"]
    assert [found.cells[-2:] for found in two.rows] == [["improved +2.0 points", "zero"], ["", "openpi"]]


def test_the_first_job_of_each_verdict_can_be_linked_to() -> None:
    found = shown(row("a", "never ran"), row("b", "never ran"), row("c"))
    assert [r.attributes.get("id") for r in found.rows] == ["=never-ran", None, "=pass"]


def test_texts_from_others_are_text() -> None:
    evil = "</script><b onclick=x()>\u202e\"'"
    (found, _) = shown(
        row("a/b#c", environment=evil, policy=evil, tags=(evil,), instruction=evil), row("b")
    ).rows
    assert evil in found.name
    assert found.attributes["data-find"] == evil
    assert {element.partition(".")[0] for element in found.elements} == {"a", "small", "bdi", "b"}
    page = render("jobs_table.html", table=JobsTable.of([row("100%#1")]))
    assert 'href="#100%25%231"' in page


def test_a_row_is_small() -> None:
    rows = [
        with_rate(f"door-open-{k}", "pass", 0.5, environment="door-open-v3", seconds=12.3) for k in range(100)
    ]
    page = render("jobs_table.html", table=JobsTable.of(rows))
    assert len(page) / len(rows) < 500

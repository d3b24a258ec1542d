"""The top of the page: the verdict in a sentence, the exit status and why, what was run with what."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_arena.records.manifest import Manifest
from pytest_arena.records.schema import ComparisonVerdict
from pytest_arena.reports.html.job_row import Compared, JobRow
from pytest_arena.reports.html.jobs_table import JobsTable
from pytest_arena.reports.html.render import render
from pytest_arena.reports.html.run_head import RunHead
from tests.unit.reports.html.table_rows import row, shard


def head(*rows: JobRow, notes: tuple[str, ...] = (), **data: Any) -> RunHead:
    """Return the top of a run that has ended with the status 0, unless *data* say otherwise."""
    data = {"jobs": {}, "groups": [], "exit_status": 0, **data}
    data = {key: value for key, value in data.items() if value is not None}
    return RunHead.of("run", data, Manifest.from_json(data), JobsTable.of(rows), notes)


def jobs(**verdicts: str) -> list[JobRow]:
    return [row(label, verdict) for label, verdict in verdicts.items()]


@pytest.mark.parametrize(
    ("verdicts", "sentence", "worst"),
    [
        ({}, "No job ran", "never ran"),
        ({"a": "pass"}, "The job a passed", "pass"),
        ({"a": "error"}, "The job a ended with an error", "error"),
        ({"a": "never ran"}, "No job ran: the only one never ran", "never ran"),
        ({"a": "pass", "b": "pass"}, "All 2 jobs passed", "pass"),
        ({"a": "none", "b": "none"}, "All 2 jobs have no verdict", "none"),
        ({"a": "never ran", "b": "never ran"}, "None of 2 jobs ran", "never ran"),
        ({"a": "pass", "b": "none"}, "1 of 2 jobs passed, 1 has no verdict", "none"),
        ({"a": "pass", "b": "skipped"}, "1 of 2 jobs passed, 1 was skipped (b)", "skipped"),
        ({"a": "none", "b": "skipped"}, "1 of 2 jobs was skipped (b), 1 has no verdict", "skipped"),
        ({"a": "pass", "b": "inconclusive"}, "1 of 2 jobs is inconclusive (b)", "inconclusive"),
        (
            {"a": "pass", "b": "fail", "c": "fail", "d": "inconclusive", "e": "not joined"},
            "1 of 5 jobs lacks shards (e), 2 failed (b, c), 1 is inconclusive (d)",
            "not joined",
        ),
        (
            {"a": "fail", "b": "fail", "c": "fail", "d": "fail", "e": "pass"},
            "4 of 5 jobs failed (a, b, c, …)",
            "fail",
        ),
    ],
)
def test_the_verdict_in_one_sentence(verdicts: dict[str, str], sentence: str, worst: str) -> None:
    found = head(*jobs(**verdicts)).sentence
    assert (found.text, found.verdict) == (sentence, worst)


def test_attempts_and_shards_are_no_jobs() -> None:
    found = head(row("a", "fail"), row("a", "pass", 2), row("cut"), shard("cut", 0), shard("cut", 1))
    assert found.sentence.text == "All 2 jobs passed"
    assert [(count.number, count.words) for count in found.counts] == [(2, "passed")]


@pytest.mark.parametrize(
    ("data", "sentence", "worst", "exit_text"),
    [
        ({}, "The job a passed", "pass", "Exit status 0: success"),
        (
            {"exit_status": 1},
            "The job a passed, but the session ended with exit status 1",
            "fail",
            "Exit status 1: a test failed for another reason than its job's verdict",
        ),
        (
            {"exit_status": 3, "troubles": ["metrics.json could not be written"]},
            "The job a passed, but the session ended with exit status 3",
            "error",
            "Exit status 3: results are missing, or pytest failed inside",
        ),
        (
            {"exit_status": -9},
            "The job a passed, but the session ended with exit status -9",
            "error",
            "Exit status -9",
        ),
        (
            {"exit_status": None},
            "The job a passed; the session has not ended, or was killed",
            "interrupted",
            "",
        ),
        # What an evaluation without pytest writes: it has neither.
        ({"exit_status": None, "groups": None}, "The job a passed", "pass", ""),
    ],
)
def test_a_run_is_good_only_if_its_session_was(
    data: dict[str, Any], sentence: str, worst: str, exit_text: str
) -> None:
    found = head(row("a"), **data)
    assert (found.sentence.text, found.sentence.verdict) == (sentence, worst)
    assert found.exit.startswith(exit_text)
    assert bool(found.exit) == bool(exit_text)
    assert [*found.troubles] == data.get("troubles", [])


def test_failed_jobs_are_why_tests_failed() -> None:
    assert head(row("a", "fail"), exit_status=1).exit == "Exit status 1: tests failed"


def test_what_never_ran_is_named_for_runs_of_version_0_1_too() -> None:
    found = head(row("a"), exit_status=3, never_ran=["x::y", "x::z"])
    assert [*found.troubles] == ["2 tests never ran to the end:", "  x::y", "  x::z"]


def test_a_session_that_went_on_and_was_killed_has_not_the_status_of_the_one_before() -> None:
    resumed = [{"command": ["pytest", "--arena-resume", "x"], "started_at": "2026-01-01T12:00:00.000Z"}]
    times = {"started_at": "2026-01-01T10:00:00.000Z", "finished_at": "2026-01-01T11:00:00.000Z"}
    killed = head(row("a"), resumed=resumed, exit_status=2, **times)
    assert killed.sentence.text == "The job a passed; the session has not ended, or was killed"
    assert killed.exit == "Exit status 2 is that of the session before the last one"
    ended = head(row("a"), resumed=resumed, **{**times, "finished_at": "2026-01-01T12:00:30.000Z"})
    assert ended.sentence.text == "The job a passed"
    facts = {fact.name: fact.text for fact in ended.facts}
    assert facts["resumed 2026-01-01 12:00:00 UTC"] == "pytest --arena-resume x"
    assert facts["last session took"] == "30.0 s"


def a_group(passed: bool | None = True) -> dict[str, Any]:
    verdict: dict[str, Any] = {
        "verdict": "?",
        "jobs": {"a": {"success_rate": 0.5}},
        "missing": [],
        "results": [],
    }
    if passed is None:
        verdict["missing"] = ["1 of 2 jobs not completed (b)"]
    else:
        result = {"metric": "success_rate", "expression": ">= 0.9", "value": 0.5, "passed": passed}
        verdict["results"] = [result]
    return {"tag": "easy", "nodeid": "g", "thresholds": {}, "jobs": {"a": ["a"]}, "verdict": verdict}


def test_verdicts_over_several_jobs_are_in_the_words_of_the_terminal() -> None:
    regression = Compared(ComparisonVerdict.REGRESSION, True, "", -0.2)
    judged = {"p_value": 0.01, "e_value": 5.0}
    family = {
        "rate": 0.05,
        "method": "holm",
        "comparisons": {"a": {**judged, "rejected": True}, "b": {**judged, "rejected": True}},
    }
    found = head(
        row("a", "fail", compared=regression),
        row("b", compared=Compared(ComparisonVerdict.NON_INFERIOR, False, "", 0.0)),
        family=family,
        groups=[a_group(False), a_group(None), {**a_group(), "jobs": {"a": []}}],
    )
    assert [(line.text, line.good) for line in found.suite] == [
        ("1 of 1 regressions in 2 comparisons hold at a family error of 0.05 (Holm): a", False),
        ("group easy, mean over 1 job: ✗ success_rate = 0.5, expected >= 0.9", False),
        ("group easy is not judged: 1 of 2 jobs not completed (b)", None),
    ]


def test_a_failed_group_is_why_a_run_of_good_jobs_is_none() -> None:
    found = head(row("a"), exit_status=1, groups=[a_group(False)])
    assert found.sentence.text == "The job a passed, but a verdict over several jobs is a failure"
    assert found.exit == "Exit status 1: a verdict over several jobs failed"


def test_verdicts_that_cannot_be_read_are_notes() -> None:
    endless = a_group()
    endless["verdict"]["results"][0]["interval"] = [None, 0.5]
    families: list[Any] = [
        {"rate": "x"},
        {"rate": None, "method": "holm", "comparisons": {"a": {"rejected": True}}},
    ]
    for family in families:
        data = {"jobs": {}, "family": family, "groups": [{"verdict": 3}, "nonsense", endless]}
        found = RunHead.of("run", data, Manifest(jobs={}), JobsTable.of([]), ["a note"])
        assert len(found.suite) == 0
        assert [note.partition(": ")[2].partition(":")[0] for note in found.notes] == [
            *("", "family.rate", "groups[0].tag", "groups[2].verdict.results")
        ]


def test_what_was_run_with_what() -> None:
    found = head(
        command=["/x/pytest/__main__.py", "evals", "-n", "8"],
        working_directory="/robots",
        started_at="2026-11-30T20:06:11.939Z",
        finished_at="2026-11-30T20:08:11.939Z",
        revision={"commit": "0f0f", "dirty": True},
        machine={
            "node": "vm",
            "system": "Linux",
            "processor": "x86_64",
            "cores": 2,
            "gpus": ["H200, GPU-1, 143771 MiB", "H200, GPU-2, 143771 MiB", "A100, GPU-3, 81920 MiB"],
        },
        versions={"python": "3.11.7", "pytest": "9.0.0"},
    )
    assert [(fact.name, fact.text) for fact in found.facts] == [
        ("command", "python -m pytest evals -n 8"),
        ("started", "2026-11-30 20:06:11 UTC"),
        ("took", "2 min"),
        ("directory", "/robots"),
        ("git revision", "0f0f, with uncommitted changes"),
        ("machine", "vm, Linux, x86_64, 2 cores"),
        ("GPU", "2 × H200, 143771 MiB; A100, 81920 MiB"),
        ("versions", "python 3.11.7, pytest 9.0.0"),
    ]


def test_a_manifest_of_nonsense_costs_only_its_own_lines() -> None:
    data: dict[str, Any] = {
        "command": "pytest",
        "started_at": 3,
        "finished_at": "x",
        "machine": {"gpus": 4},
        "revision": {},
        "resumed": [{}],
    }
    assert [fact.name for fact in head(**data).facts] == ["resumed", "git revision", "machine", "GPU"]


def test_texts_from_others_are_text() -> None:
    evil = "</script><img src=x onerror=y>\u202e"
    group = a_group(None)
    group["verdict"]["missing"] = [evil]
    page = render(
        "run_head.html",
        head=head(
            row(evil, "fail"), notes=(evil,), troubles=[evil], command=["pytest", evil], groups=[group]
        ),
    )
    assert "<img" not in page
    assert page.count("&lt;img src=x onerror=y&gt;") == 5

"""The verdict on a run in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_arena.errors import first_few
from pytest_arena.reports.html.job_row import JobRow
from pytest_arena.reports.html.stored_job import COUNTED, NEVER_RAN, NOT_JOINED, SKIPPED, UNREADABLE

_ONE = {
    UNREADABLE: "cannot be read",
    NOT_JOINED: "lacks shards",
    "error": "ended with an error",
    "interrupted": "was interrupted",
    "running": "has not ended",
    "inconclusive": "is inconclusive",
    SKIPPED: "was skipped",
    "none": "has no verdict",
}
_SEVERAL = {
    **_ONE,
    NOT_JOINED: "lack shards",
    "interrupted": "were interrupted",
    "running": "have not ended",
    "inconclusive": "are inconclusive",
    SKIPPED: "were skipped",
    "none": "have no verdict",
}
"""Verdict -> what one job did, and several, where the word beside the counts does not do."""
GOOD = ("pass", "none", SKIPPED)
"""Verdicts of jobs whose tests did not fail for them."""


@dataclass(frozen=True)
class SessionEnding:
    """How the session ended, as far as the verdict on the run depends on it."""

    ended: bool
    """Whether it has ended; True where nothing is known of it."""
    status: int | None
    suite_failed: bool = False
    """Whether a verdict over several jobs is a failure."""


@dataclass(frozen=True)
class Sentence:
    """The verdict."""

    text: str
    verdict: str
    """The worst of all, for its colour."""


def verdict_sentence(jobs: Sequence[JobRow], ending: SessionEnding) -> Sentence:
    """Return the verdict on a run.

    Args:
        jobs: The last attempt at each whole job, worst first.
        ending: How the session ended.

    Returns:
        What became of the jobs; that all passed is not said without what else kept the session from success.
    """
    by_verdict: dict[str, list[str]] = {}
    for job in jobs:
        by_verdict.setdefault(job.verdict, []).append(job.label)
    text = _what_jobs_did(by_verdict, len(jobs))
    worst = jobs[0].verdict if jobs else NEVER_RAN
    if not ending.ended:
        return Sentence(f"{text}; the session has not ended, or was killed", _worse(worst, "interrupted"))
    if ending.status not in (0, None) and worst in (*GOOD, "inconclusive"):
        but = "a verdict over several jobs is a failure"
        if not ending.suite_failed:
            but = f"the session ended with exit status {ending.status}"
        return Sentence(f"{text}, but {but}", "fail" if ending.status == 1 else "error")
    return Sentence(text, worst)


def _worse(*verdicts: str) -> str:
    return min(verdicts, key=[*COUNTED].index)


def _what_jobs_did(jobs: Mapping[str, Sequence[str]], total: int) -> str:
    """Return it for verdict -> labels, worst first."""
    if not total:
        return "No job ran"
    if [*jobs] == [NEVER_RAN]:
        return "No job ran: the only one never ran" if total == 1 else f"None of {total} jobs ran"
    if len(jobs) == 1:
        ((verdict, labels),) = jobs.items()
        if total == 1:
            return f"The job {labels[0]} {_did(verdict, 1)}"
        return f"All {total} jobs {_did(verdict, total)}"
    told = [verdict for verdict in jobs if verdict != "pass"]
    if all(verdict in GOOD for verdict in told) and "pass" in jobs:
        told.insert(0, "pass")
    of = f" of {total} jobs"
    parts = []
    for verdict in told:
        labels = jobs[verdict]
        names = "" if verdict in ("pass", "none") else f" ({first_few(labels, at_most=3)})"
        parts.append(f"{len(labels)}{of} {_did(verdict, len(labels))}{names}")
        of = ""
    return ", ".join(parts)


def _did(verdict: str, number: int) -> str:
    return (_ONE if number == 1 else _SEVERAL).get(verdict, COUNTED[verdict])

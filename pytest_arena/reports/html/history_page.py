"""``index.html`` of a folder of runs: the success rate of each job over time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from pytest_arena.records.job_history import JobHistory, Measurement, histories_of
from pytest_arena.records.page_address import PAGE
from pytest_arena.records.run_index import RunsBeside, read_runs
from pytest_arena.records.run_summary import RunSummary, ThresholdSummary
from pytest_arena.records.table_cells import episodes_cell, interval_cell, percent
from pytest_arena.reports.html.history_picture import Dot, rate_picture, spark_picture
from pytest_arena.reports.html.own_page import mark, refuse_foreign, write_own_page
from pytest_arena.reports.html.render import Inline, render
from pytest_arena.reports.html.stored_job import COUNTED
from pytest_arena.reports.html.words import duration

STYLES = ("base", "history")
SCRIPTS = ("history",)
OURS = mark("history")
"""What tells the page from another one of this name, which somebody else has put there."""
MOST_RUNS, FEWEST_RUNS = 200, 5
"""Of a job that the page shows; the command prints all."""
MOST_ROWS = 10_000
"""Of all jobs together, about: with many jobs, each shows fewer runs."""
MOST_NOTES = 20
MOST_WRITES = 5
"""Of the page at one session's end."""


@dataclass(frozen=True)
class RunRow:
    """A job in one run."""

    measurement: Measurement
    link: str | None
    """Address of the job in the run's page; None where there is no page."""

    @property
    def run(self) -> RunSummary:
        """The run."""
        return self.measurement.run

    @property
    def when(self) -> str:
        """When the run began, in UTC, to the minute."""
        return self.run.started_at[:16].replace("T", " ")

    @property
    def rate(self) -> str:
        """The success rate in per cent."""
        rate = self.measurement.success_rate
        return "" if rate is None else percent(rate)

    @property
    def interval(self) -> str:
        """The ends of its interval."""
        return interval_cell(self.measurement.interval)

    @property
    def episodes(self) -> str:
        """Measured and requested ones."""
        job = self.measurement.job
        return episodes_cell(job.measured, job.requested)

    @property
    def time(self) -> str:
        """How long the job took."""
        seconds = self.measurement.job.seconds
        return "" if seconds is None else duration(seconds)

    @property
    def other_thresholds(self) -> list[ThresholdSummary]:
        """Those on other metrics than the success rate."""
        return [found for found in self.measurement.job.thresholds if found.metric != "success_rate"]

    @property
    def revision(self) -> str:
        """The git commit, with a ``+`` where files differed from it."""
        commit = self.run.commit
        return "" if commit is None else f"{commit[:9]}{'+' if self.run.dirty else ''}"

    @property
    def changes(self) -> str:
        """What differs from the run before, in words."""
        found = self.measurement
        configuration = [f"configuration ({', '.join(found.reconfigured)})"] if found.reconfigured else []
        return "; ".join([*configuration, *(["policy"] if found.other_policy else []), *found.other_versions])

    @property
    def title(self) -> str:
        """The row in a line."""
        policy, revision = self.measurement.job.policy_sha256, self.revision
        parts = [
            self.when,
            f"{self.rate} {self.interval}".rstrip(),
            f"{self.episodes} episodes",
            self.measurement.outcome,
            *([f"revision {revision}"] if revision else []),
            *([f"policy {policy[:9]}"] if policy else []),
        ]
        return " · ".join(part for part in parts if part)


@dataclass(frozen=True)
class JobPart:
    """What the page shows of a job."""

    label: str
    rows: Sequence[RunRow]
    """The last runs, the newest first."""
    runs: int
    """How many there are."""
    spark: Markup
    picture: Markup

    @classmethod
    def of(cls, job: JobHistory, shown: int, pages: Mapping[str, str]) -> JobPart:
        """Return the part of the page about *job*.

        Args:
            job: All its measurements.
            shown: How many of them are shown.
            pages: Name of a run -> address of its page, of runs that have one.

        Returns:
            The part.
        """
        rows = [RunRow(found, _link(found, pages)) for found in job.measurements[-shown:]]
        dots = [Dot(row.measurement, row.link, row.title) for row in rows]
        spark = spark_picture(job.measurements)
        return cls(job.label, rows[::-1], len(job.measurements), spark, rate_picture(dots))

    @property
    def latest(self) -> RunRow:
        """The newest run."""
        return self.rows[0]

    @property
    def has_other_thresholds(self) -> bool:
        """Whether a run has thresholds on other metrics than the success rate."""
        return any(row.other_thresholds for row in self.rows)


@dataclass(frozen=True)
class HistoryHead:
    """What stands on top of the page."""

    folder: str
    runs: Sequence[RunSummary]
    verdicts: Sequence[tuple[str, str]]
    """Outcome, and in words how many jobs have it in their latest run; the worst first."""
    latest: str | None
    """Address of the newest run's page."""
    notes: Sequence[str]

    @property
    def span(self) -> str:
        """The days of the first and of the last run."""
        first, last = self.runs[0].started_at[:10], self.runs[-1].started_at[:10]
        return first if first == last else f"{first} to {last}"


def write_history(results: Path) -> Path:
    """Write the page of the runs in the folder *results*, and return its path.

    Readers see the old page or the new one, never a half. Where several sessions write it in one moment, the
    last one has all their runs: each looks again, and writes again, where a run has ended meanwhile. Raises
    OSError where it cannot be written, or the folder cannot be read; FileExistsError where a page of somebody
    else has its name.
    """
    page = results / PAGE
    refuse_foreign(page, OURS)  # before a thousand runs are read
    found = read_runs(results)
    for _ in range(MOST_WRITES):
        write_own_page(page, history_page(found, results), OURS)
        before, found = _ends(found), read_runs(results)
        if _ends(found) == before:
            break
    return page


def _ends(found: RunsBeside) -> list[tuple[str, str | None]]:
    return [(run.name, run.finished_at) for run in found.runs]


def history_page(found: RunsBeside, results: Path) -> str:
    """Return the text of the page about the runs that were *found* in the folder *results*."""
    histories = histories_of(found.runs)
    shown = max(FEWEST_RUNS, min(MOST_RUNS, MOST_ROWS // max(1, len(histories))))
    pages = {
        run.name: f"{quote(os.fsencode(run.name))}/{PAGE}"
        for run in found.runs
        if (results / run.name / PAGE).is_file()
    }
    outcomes = Counter(job.latest.outcome for job in histories)
    more = len(found.notes) - MOST_NOTES
    head = HistoryHead(
        results.resolve().name,
        found.runs,
        [(outcome, f"{count} {COUNTED.get(outcome, outcome)}") for outcome, count in outcomes.items()],
        pages.get(found.runs[-1].name) if found.runs else None,
        [*found.notes[:MOST_NOTES], *([f"and {more} more that could not be read"] if more > 0 else [])],
    )
    return render(
        "history.html",
        head=head,
        jobs=[JobPart.of(job, shown, pages) for job in histories],
        inline=Inline.of(STYLES, SCRIPTS),
        generator=OURS,
    )


def _link(measurement: Measurement, pages: Mapping[str, str]) -> str | None:
    page = pages.get(measurement.run.name)
    return None if page is None else f"{page}#{quote(measurement.job.folder)}"

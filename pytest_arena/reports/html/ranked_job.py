"""The runs of one job in their order, as the page of a comparison shows them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pytest_arena.comparison.compared_runs import ComparedRuns
from pytest_arena.comparison.describe import amount_of, difference
from pytest_arena.comparison.named_runs import NamedRun
from pytest_arena.comparison.ranking import ComparedPair, JobRanking, RankedRun
from pytest_arena.reports.html.difference_picture import Axis, interval_picture


@dataclass(frozen=True)
class RankedRow:
    """One run in the ranking of a job."""

    run: RankedRun
    value: str
    picture: Markup


@dataclass(frozen=True)
class PairRow:
    """Two runs of a job, as the ranking compared them."""

    pair: ComparedPair
    difference: str
    paired: str


@dataclass(frozen=True)
class RankedJob:
    """One job of more than two runs."""

    label: str
    job: JobRanking
    axis: Markup
    letters: Sequence[str]
    """All that the job has: a column each."""
    rows: Sequence[RankedRow]
    pairs: Sequence[PairRow]
    command: str | None
    """What shows the films of the first and the last one side by side, if these two are told apart."""

    @property
    def id(self) -> str:
        """Of its section: an address in the page."""
        return f"job-{'-'.join(self.label.split())}"


def ranked_jobs(found: ComparedRuns) -> list[RankedJob]:
    """Return the jobs of a ranking; none where *found* is a comparison of two runs."""
    if found.ranking is None:
        return []
    runs = {run.name: run for run in found.runs}
    return [_job(label, job, runs) for label, job in found.ranking.jobs.items()]


def _job(label: str, job: JobRanking, runs: dict[str, NamedRun]) -> RankedJob:
    rate = job.rule.rate
    ends = [end for run in job.runs for end in (run.value, *(run.interval or ()))]
    axis = Axis.over([*ends, 0.0, 1.0] if rate else ends, rate=rate)
    letters = list(dict.fromkeys(letter for run in job.runs for letter in run.letters))
    first, last = job.runs[0].run, job.runs[-1].run
    apart = any(pair.different and {pair.first, pair.second} == {first, last} for pair in job.pairs)
    return RankedJob(
        label,
        job,
        axis.header("%" if rate else ""),
        sorted(letters, key=lambda letter: (len(letter), letter.isupper(), letter)),
        [_row(run, axis, rate) for run in job.runs],
        [_pair(pair) for pair in job.pairs],
        _command(label, runs[first], runs[last]) if apart else None,
    )


def _row(run: RankedRun, axis: Axis, rate: bool) -> RankedRow:
    value = amount_of(run.value, rate)
    about = f"{run.run}: {value}"
    if run.interval is not None:
        about += f", interval {amount_of(run.interval[0], rate)} to {amount_of(run.interval[1], rate)}"
    return RankedRow(run, value, interval_picture(axis, run.value, run.interval, about=about, kind="ranked"))


def _pair(pair: ComparedPair) -> PairRow:
    comparison = pair.comparison
    if comparison is None:
        return PairRow(pair, "-", str(pair.reason))
    paired = f"{comparison.pairs} pairs" if comparison.paired else "unpaired"
    return PairRow(pair, difference(comparison), paired)


def _command(label: str, first: NamedRun, last: NamedRun) -> str:
    runs = [f"{run.baseline.path}:{run.job or label}" for run in (first, last)]
    return f"python -m pytest_arena compare {shlex.join(runs)} --html FILE"

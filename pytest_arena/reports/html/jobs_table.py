"""The table of jobs: which rows there are, the worst first, and how many jobs came to what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup

from pytest_arena.gate.describe import UNDECIDED, describe_intervals
from pytest_arena.records.schema import ComparisonVerdict
from pytest_arena.reports.html.job_row import JobRow
from pytest_arena.reports.html.rate_axis import axis_ticks
from pytest_arena.reports.html.stored_job import COUNTED

_RANK = {verdict: rank for rank, verdict in enumerate(COUNTED)}


@dataclass(frozen=True, slots=True)
class Line:
    """A row where it stands in the table."""

    row: JobRow
    remark: str = ""
    """Which attempt or shard it is, of how many: ``attempt 1 of 2``; empty for the only one."""
    part: bool = False
    """Whether it belongs to the job above it: an earlier attempt, or a shard."""
    anchor: bool = False
    """Whether it is the first job that came to this verdict."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many jobs came to one verdict."""

    verdict: str
    number: int

    @property
    def words(self) -> str:
        """What is said beside the number."""
        return COUNTED[self.verdict]


@dataclass(frozen=True)
class JobsTable:
    """The rows in the order of the page."""

    lines: Sequence[Line]
    jobs: Sequence[JobRow]
    """The last attempt at each whole job: a shard, or an attempt that another one followed, is none."""

    @classmethod
    def of(cls, rows: Iterable[JobRow]) -> JobsTable:
        """Arrange *rows*, which come in the order of the run: the worst first, then the nearest to fail."""
        attempts: dict[str, list[JobRow]] = {}
        for row in rows:
            attempts.setdefault(row.label, []).append(row)
        shards: dict[str, list[str]] = {}
        for label, found in attempts.items():
            found.sort(key=lambda row: row.attempt)
            if (shard := found[-1].shard) is not None:
                shards.setdefault(shard.label, []).append(label)
        parts = {label for labels in shards.values() for label in labels}
        jobs = sorted(
            (found[-1] for label, found in attempts.items() if label not in parts),
            key=lambda row: (_RANK[row.verdict], row.distance),
        )
        lines, seen = list[Line](), set[str]()
        for job in jobs:
            every = attempts[job.label]
            lines.append(Line(job, _attempt(job, every), anchor=job.verdict not in seen))
            seen.add(job.verdict)
            lines += (Line(row, _attempt(row, every), part=True) for row in every[:-1])
            for label in shards.get(job.label, ()):
                lines += (Line(row, _shard(row, attempts[label]), part=True) for row in attempts[label])
        return cls(lines, jobs)

    @property
    def counts(self) -> list[Count]:
        """How many jobs came to each verdict, the good ones first."""
        found = Counter(job.verdict for job in self.jobs)
        return [Count(verdict, found[verdict]) for verdict in reversed(COUNTED) if found[verdict]]

    @property
    def ticks(self) -> Markup:
        """The axis of the success rates."""
        return axis_ticks()

    @cached_property
    def simulators(self) -> set[str]:
        """All simulators, as far as it is known."""
        return {job.simulator for job in self.jobs if job.simulator}

    @cached_property
    def policies(self) -> set[str]:
        """All policies, as far as it is known."""
        return {job.policy for job in self.jobs if job.policy}

    @cached_property
    def compares(self) -> bool:
        """Whether some job was compared with a baseline."""
        found = (line.row.compared for line in self.lines)
        return any(c is not None and c.verdict is not ComparisonVerdict.NOT_JUDGED for c in found)

    @property
    def footnotes(self) -> Iterator[str]:
        """What the asterisk means, and what the intervals are."""
        rows = [line.row for line in self.lines]
        if any(row.undecided for row in rows):
            yield UNDECIDED
        yield from describe_intervals(
            [row.may_stop for row in rows if row.rate is not None and row.interval is not None]
        )


def _attempt(row: JobRow, attempts: Sequence[JobRow]) -> str:
    return f"attempt {row.attempt} of {attempts[-1].attempt}" if len(attempts) > 1 else ""


def _shard(row: JobRow, attempts: Sequence[JobRow]) -> str:
    assert row.shard is not None
    which = f"shard {row.shard.index + 1} of {row.shard.count}"
    return ", ".join(filter(None, [which, _attempt(row, attempts)]))

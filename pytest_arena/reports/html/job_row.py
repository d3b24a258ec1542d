"""One row of the table of jobs: what is kept of a job while the page is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pytest_arena.comparison.describe import difference_alone
from pytest_arena.jobs.threshold import Threshold
from pytest_arena.records.manifest import JobEntry, ShardEntry
from pytest_arena.records.schema import Comparison, ComparisonVerdict, JobRecord, Status
from pytest_arena.records.table_cells import episodes_cell, interval_cell
from pytest_arena.reports.html.rate_axis import RATE, rate_picture, rate_threshold
from pytest_arena.reports.html.stored_job import StoredJob
from pytest_arena.reports.html.words import amount, clipped, duration, part_of_job


@dataclass(frozen=True, slots=True)
class Compared:
    """What the comparison with a baseline says, for a row."""

    verdict: ComparisonVerdict
    failed: bool
    text: str
    """The verdict and the difference."""
    difference: float | None


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job's attempt in one row. Numbers are the record's; None where it has none."""

    folder: str
    """Of the attempt; also the address of its section."""
    label: str
    attempt: int
    part: str
    """Which episodes it is limited to; empty for all of them."""
    verdict: str
    """The verdict of a completed job, else its status: ``pass``, ``fail``, ``crashed``, ``never ran`` …"""
    shard: ShardEntry | None
    """Which part of which job it is."""
    environment: str
    simulator: str
    policy: str
    tags: tuple[str, ...]
    instruction: str
    rate: float | None
    """Of success, from 0 to 1; with its ``interval`` and ``threshold``."""
    interval: tuple[float, float] | None
    threshold: Threshold | None
    undecided: bool
    """It completed, and the interval of some threshold contains its bound."""
    may_stop: bool
    """It has a gate, and so may have stopped early, or be extended."""
    measured: int
    requested: int
    errors: int
    length: float | None
    """Mean, in steps."""
    returned: float | None
    """Mean return."""
    seconds: float | None
    compared: Compared | None

    @classmethod
    def of(cls, job: StoredJob) -> JobRow:
        """Return the row of *job*."""
        config, record = job.entry.config, job.record
        about = (
            _configured(job.entry)
            if record is None
            else (record.environment, record.simulator, record.policy)
        )
        environment, simulator, policy = map(clipped, about)
        tags = config.get("tags")
        numbers = JobRecord("", 1, "", "", "", "") if record is None else record
        return cls(
            folder=job.folder,
            label=job.label,
            attempt=job.attempt,
            part=part_of_job(numbers.only),
            verdict=job.verdict,
            shard=job.entry.shard,
            environment=environment,
            simulator=simulator,
            policy=policy,
            tags=tuple(clipped(str(tag)) for tag in tags) if isinstance(tags, list) else (),
            instruction=clipped(str(config.get("language_instruction") or "")),
            rate=numbers.metrics.get(RATE),
            interval=_whole(numbers.intervals.get(RATE)),
            threshold=rate_threshold(numbers.thresholds),
            undecided=numbers.status == Status.COMPLETED and any(t.undecided for t in numbers.thresholds),
            may_stop=not numbers.fixed,
            measured=numbers.episodes.get("measured", 0),
            requested=numbers.episodes.get("requested", 0),
            errors=numbers.episodes.get("errors", 0),
            length=numbers.metrics.get("episode_length"),
            returned=numbers.metrics.get("return"),
            seconds=numbers.timings.get("total_seconds"),
            compared=None if numbers.comparison is None else _compared(numbers.comparison),
        )

    @property
    def distance(self) -> float:
        """How far the success rate is on the good side of its threshold; infinite where there is none."""
        if self.rate is None or self.threshold is None:
            return math.inf
        return min(self.rate - self.threshold.low, self.threshold.high - self.rate)

    @property
    def picture(self) -> Markup:
        """The success rate on its axis; empty where it was not measured."""
        return Markup() if self.rate is None else rate_picture(self.rate, self.interval, self.threshold)

    @property
    def interval_text(self) -> str:
        """The interval as the terminal has it."""
        return interval_cell(self.interval)

    @property
    def length_text(self) -> str:
        """The mean length."""
        return "" if self.length is None else amount(self.length)

    @property
    def return_text(self) -> str:
        """The mean return."""
        return "" if self.returned is None else amount(self.returned)

    @property
    def time_text(self) -> str:
        """How long it took."""
        return "" if self.seconds is None else duration(self.seconds)

    @property
    def episodes_text(self) -> str:
        """Measured episodes of those that were requested."""
        return episodes_cell(self.measured, self.requested)


def _configured(entry: JobEntry) -> tuple[str, str, str]:
    """Return environment, simulator and policy as the job has them."""
    environment, policy = (entry.config.get(key) or {} for key in ("environment", "policy"))
    return str(environment.get("id", "")), str(entry.config.get("simulator", "")), str(policy.get("type", ""))


def _whole(interval: Sequence[float | None] | None) -> tuple[float, float] | None:
    """Return *interval*; None where an end of it was no number when the record was written."""
    if interval is None or (low := interval[0]) is None or (high := interval[1]) is None:
        return None
    return low, high


def _compared(comparison: Comparison) -> Compared:
    parts = [str(comparison.verdict)]
    if comparison.difference is not None:
        parts.append(difference_alone(comparison))
    if comparison.metric != RATE:
        parts.insert(0, f"{clipped(comparison.metric)}:")
    return Compared(comparison.verdict, comparison.failed, " ".join(parts), comparison.difference)

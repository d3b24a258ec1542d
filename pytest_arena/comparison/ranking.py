"""More than two runs of a job, ordered by a metric; those that cannot be told apart share a letter.

All pairs of all jobs are tested together, so that one error rate holds for the whole ranking. Of each pair
the tests of `compare` give two one-sided p-values, of "worse" and of "better": twice the smaller one is the
p-value of "the two are equal".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations

from pytest_arena.comparison.compare import compare
from pytest_arena.comparison.decision_rule import Rule
from pytest_arena.comparison.family_error import FamilyError
from pytest_arena.comparison.letters import TooManyLettersError, letter_display
from pytest_arena.comparison.multiple_comparisons import e_bh, holm
from pytest_arena.comparison.paired_tests import mean_interval
from pytest_arena.comparison.samples import Sample
from pytest_arena.errors import NotComparableError
from pytest_arena.gate.intervals import wilson
from pytest_arena.records.schema import Comparison


@dataclass(frozen=True)
class JobSamples:
    """The runs of one job that can be ranked."""

    rule: Rule
    samples: Mapping[str, Sample]
    """Name of a run -> its values; at least two."""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Name of a run -> the interval of its rate, as its record has it."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Name of a run -> why it is not ranked."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ComparedPair:
    """Two runs of a job."""

    first: str
    second: str
    comparison: Comparison | None
    """Differences are *second* - *first*; None where the two cannot be compared."""
    reason: str | None
    """Why they cannot."""
    p_value: float
    """Of "the two are equal", alone: twice the smaller one-sided one. 1 where there is none."""
    e_value: float
    """The mean of both one-sided ones. 0 where there is none."""
    different: bool
    """They are told apart, among all pairs of all jobs."""


@dataclass(frozen=True)
class RankedRun:
    """One run of a job."""

    run: str
    value: float
    """Over all of its episodes."""
    episodes: int
    interval: tuple[float, float] | None
    """Of the value, for display."""
    letters: tuple[str, ...]
    """It cannot be told apart from the runs that have one of these, too."""


@dataclass(frozen=True)
class JobRanking:
    """One job's runs, the best one first."""

    rule: Rule
    runs: list[RankedRun]
    pairs: list[ComparedPair]
    left_out: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ranking:
    """The runs of all jobs, at one error rate."""

    allowed: FamilyError
    jobs: dict[str, JobRanking]

    @property
    def pairs(self) -> int:
        """How many pairs were tested together, over all jobs."""
        return sum(pair.comparison is not None for job in self.jobs.values() for pair in job.pairs)

    def error_rate(self) -> str:
        """Return in words what may be wrong with the letters, and how often."""
        pairs = "1 pair" if self.pairs == 1 else f"{self.pairs} pairs"
        where = f"{pairs} of {len(self.jobs)} job{'' if len(self.jobs) == 1 else 's'}"
        p_value = "each p-value is twice the smaller one-sided one"
        if self.allowed.method == "holm":
            return (
                f"the probability that any two runs are told apart that are equal is at most "
                f"{self.allowed.rate:.2g}, over all {where} (Holm; {p_value})"
            )
        return (
            f"of the pairs that are told apart, the expected share of equal ones is at most "
            f"{self.allowed.rate:.2g}, over all {where} (e-BH)"
        )


def rank(jobs: Mapping[str, JobSamples], allowed: FamilyError) -> Ranking:
    """Rank the runs of all *jobs*, label -> its runs, with one error rate over all pairs of all jobs."""
    pairs = {label: _pairs(job) for label, job in jobs.items()}
    p_values = {
        f"{label}\0{index}": (pair.p_value, pair.e_value)
        for label, found in pairs.items()
        for index, pair in enumerate(found)
        if pair.comparison is not None
    }
    if allowed.method == "holm":
        rejected = holm({key: p for key, (p, _) in p_values.items()}, allowed.rate)
    else:
        rejected = e_bh({key: e for key, (_, e) in p_values.items()}, allowed.rate)
    judged = {
        label: [
            _judged(pair, rejected=f"{label}\0{index}" in rejected, higher=jobs[label].rule.higher_is_better)
            for index, pair in enumerate(found)
        ]
        for label, found in pairs.items()
    }
    return Ranking(allowed, {label: _ranking(job, judged[label]) for label, job in jobs.items()})


def _pairs(job: JobSamples) -> list[ComparedPair]:
    found = []
    for first, second in combinations(job.samples, 2):
        try:
            comparison = compare(job.samples[first], job.samples[second], job.rule)
        except NotComparableError as error:
            found.append(ComparedPair(first, second, None, str(error), 1.0, 0.0, False))
            continue
        worse, better = comparison.worse, comparison.better
        assert worse is not None  # it has been compared
        assert better is not None
        p_value = min(1.0, 2 * min(worse.p_value, better.p_value))
        e_value = (worse.e_value + better.e_value) / 2
        found.append(ComparedPair(first, second, comparison, None, p_value, e_value, False))
    return found


def _judged(pair: ComparedPair, *, rejected: bool, higher: bool) -> ComparedPair:
    """Return *pair* with whether it is told apart; what the difference over all contradicts tells nothing."""
    comparison = pair.comparison
    if comparison is None or comparison.worse is None or comparison.better is None:
        return pair
    gain = (comparison.difference or 0.0) * (1 if higher else -1)
    better = comparison.better.p_value < comparison.worse.p_value
    agrees = gain > 0 if better else gain < 0
    return ComparedPair(
        pair.first, pair.second, comparison, None, pair.p_value, pair.e_value, rejected and agrees
    )


def _ranking(job: JobSamples, pairs: list[ComparedPair]) -> JobRanking:
    sign = -1 if job.rule.higher_is_better else 1
    values = {run: _value(sample) for run, sample in job.samples.items()}
    ordered = sorted(values, key=lambda run: sign * values[run])
    notes = job.notes
    try:
        letters = letter_display(ordered, [(pair.first, pair.second) for pair in pairs if pair.different])
    except TooManyLettersError as error:
        letters, notes = dict.fromkeys(ordered, ()), (*notes, f"no letters: {error}")
    runs = [
        RankedRun(
            run,
            values[run],
            len(job.samples[run]),
            job.intervals.get(run) or _interval(job.samples[run], job.rule.confidence),
            letters[run],
        )
        for run in ordered
    ]
    return JobRanking(job.rule, runs, pairs, job.left_out, notes)


def _value(sample: Sample) -> float:
    if sample.counts is not None:
        return sample.counts[0] / sample.counts[1]
    return float(sample.values.mean())


def _interval(sample: Sample, confidence: float) -> tuple[float, float] | None:
    sample = sample.different()
    if sample.counts is not None:
        return wilson(*sample.counts, confidence)
    return mean_interval(sample.values, confidence)

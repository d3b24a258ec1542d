"""More than two runs of a job, ordered by a metric; those that cannot be told apart share a letter.

All pairs of all jobs are tested together, so that one error rate holds for the whole ranking. Of each pair
the tests of `compare` give two one-sided p-values, of "worse" and of "better": twice the smaller one is the
p-value of "the two are equal".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
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
        pairs = "1 pair" if self.pairs == 1 else f"all {self.pairs} pairs"
        where = f"{pairs} of {len(self.jobs)} job{'' if len(self.jobs) == 1 else 's'}"
        p_value = "each p-value is twice the smaller one-sided one"
        if self.allowed.method == "holm":
            return (
                f"the probability that any two runs are told apart that are equal is at most "
                f"{self.allowed.rate:.2g}, over {where} (Holm; {p_value})"
            )
        return (
            f"of the pairs that are told apart, the expected share of equal ones is at most "
            f"{self.allowed.rate:.2g}, over {where} (e-BH)"
        )


def rank(jobs: Iterable[tuple[str, JobSamples]], allowed: FamilyError) -> Ranking:
    """Rank the runs of each job of *jobs*, (label, its runs), with one error rate over all pairs of all jobs.

    The samples of a job are not kept when the next one is asked for.
    """
    found = {label: _compared(job) for label, job in jobs}
    evidence = {
        f"{label}\0{index}": pair
        for label, job in found.items()
        for index, pair in enumerate(job.pairs)
        if pair.comparison is not None
    }
    if allowed.method == "holm":
        rejected = holm({key: pair.p_value for key, pair in evidence.items()}, allowed.rate)
    else:
        rejected = e_bh({key: pair.e_value for key, pair in evidence.items()}, allowed.rate)
    return Ranking(
        allowed,
        {
            label: _with_letters(
                job,
                [
                    replace(pair, different=f"{label}\0{index}" in rejected and _agrees(pair, job.rule))
                    for index, pair in enumerate(job.pairs)
                ],
            )
            for label, job in found.items()
        },
    )


def _compared(job: JobSamples) -> JobRanking:
    """Return the runs in their order, without letters, and the pairs, none of which is told apart yet."""
    sign = -1 if job.rule.higher_is_better else 1
    runs = [
        RankedRun(
            run,
            _value(sample),
            len(sample),
            job.intervals.get(run) or _interval(sample, job.rule.confidence),
            (),
        )
        for run, sample in job.samples.items()
    ]
    runs.sort(key=lambda run: sign * run.value)
    return JobRanking(job.rule, runs, _pairs(job), job.left_out, job.notes)


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


def _agrees(pair: ComparedPair, rule: Rule) -> bool:
    """Whether the difference over all episodes does not contradict what some of them have shown."""
    comparison = pair.comparison
    if comparison is None or comparison.worse is None or comparison.better is None:
        return False
    gain = (comparison.difference or 0.0) * (1 if rule.higher_is_better else -1)
    return gain > 0 if comparison.better.p_value < comparison.worse.p_value else gain < 0


def _with_letters(job: JobRanking, pairs: list[ComparedPair]) -> JobRanking:
    names = [run.run for run in job.runs]
    try:
        letters = letter_display(names, [(pair.first, pair.second) for pair in pairs if pair.different])
    except TooManyLettersError as error:
        return replace(job, pairs=pairs, notes=(*job.notes, f"no letters: {error}"))
    return replace(job, pairs=pairs, runs=[replace(run, letters=letters[run.run]) for run in job.runs])


def _value(sample: Sample) -> float:
    if sample.counts is not None:
        return sample.counts[0] / sample.counts[1]
    return float(sample.values.mean())


def _interval(sample: Sample, confidence: float) -> tuple[float, float] | None:
    sample = sample.different()
    if sample.counts is not None:
        return wilson(*sample.counts, confidence)
    return mean_interval(sample.values, confidence)

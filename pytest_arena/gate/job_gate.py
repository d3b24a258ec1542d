"""A job's gate: follows the outcomes in episode order, and draws the verdicts of its tests.

Episodes end in any order, and successes mostly first. So an outcome is read only when those of all episodes
before it are known. What a test decides depends on the outcomes and on nothing else: not on how many rows ran
side by side, in which process, or when.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_arena.gate.boundaries import looks_of
from pytest_arena.gate.intervals import anytime_interval, wilson
from pytest_arena.gate.repeated_episodes import DistinctStarts
from pytest_arena.gate.sequential_test import GateMethod, SequentialTest
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.threshold import Threshold
from pytest_arena.records.schema import Episode, GateRecord, InterimLook, Outcome, RateTest, Verdict
from pytest_arena.rollout.metrics import Metric, standard_metrics


def rates(metrics: Sequence[Metric]) -> dict[str, Metric]:
    """Return the metrics that a gate can test, by name: rates, standard ones and those among *metrics*.

    A rate over only some of the episodes has no look to be read at.
    """
    every = (*standard_metrics(), *metrics)
    return {m.name: m for m in every if m.reduction == "rate" and not m.skips_missing}


def sequential_tests(job: Job, metrics: Sequence[Metric]) -> dict[str, SequentialTest]:
    """Return the test of each threshold that the job's gate covers: those of rates, with a single bound."""
    gate = job.gate
    if gate is None:
        return {}
    found = {}
    for name in rates(metrics):
        if name in job.thresholds and (threshold := Threshold.parse(job.thresholds[name])).one_sided:
            looks = looks_of(gate.episodes_max, gate.look_every)
            found[name] = SequentialTest.of(threshold, gate.alpha, gate.beta, looks, gate.method)
    return found


class JobGate:
    """The tests of one job; ``record`` fills as episodes are added."""

    def __init__(self, record: GateRecord, metrics: Mapping[str, Metric]) -> None:
        self.record = record
        self.done = False
        """Whether nothing more needs to be known."""
        self._metrics = [metrics[test.metric] for test in record.tests]
        self.deterministic = False
        """Whether episodes that begin alike are one: then a verdict must hold over different starts, too."""
        self._known: dict[int, tuple[Episode, tuple[float | None, ...] | None]] = {}
        """Episodes that ended before one of a smaller index, and their values; None for an error."""
        self._starts = DistinctStarts()
        self._different = _Counts([0] * len(record.tests))
        self._verdicts = [Verdict.NONE] * len(record.tests)
        """The verdict of each test over the episodes with different starts alone."""
        self._all = _Counts([0] * len(record.tests))
        self._unmeasured = False
        self._looks = {n: i for i, n in enumerate(record.tests[0].looks)} if record.tests else {}

    @classmethod
    def of(
        cls,
        job: Job,
        metrics: Sequence[Metric] = (),
        episodes: Iterable[Episode] = (),
        deterministic: bool = False,
    ) -> JobGate | None:
        """Return the gate of *job* as far as *episodes* decide it; None for a job without.

        Args:
            job: The job, whose thresholds on rates become tests.
            metrics: Metrics beside the standard ones.
            episodes: Those that have ended, in any order, errors too.
            deterministic: Nothing is left to chance: a verdict must hold over different starts, too.

        Returns:
            The gate, to which more episodes may be added; None for a job without one.
        """
        if job.gate is None:
            return None
        tests = [
            RateTest(
                metric=name,
                expression=job.thresholds[name].strip(),
                bound=test.bound,
                at_least=test.at_least,
                alpha=test.alpha,
                beta=test.beta,
                looks=list(test.looks),
                pass_at=list(test.pass_at()),
                fail_at=list(test.fail_at()),
            )
            for name, test in sequential_tests(job, metrics).items()
        ]
        kept = {f.name for f in dataclasses.fields(GateRecord)} & set(type(job.gate).model_fields)
        gate = cls(GateRecord(tests=tests, **job.gate.model_dump(include=kept)), rates(metrics))
        gate.deterministic = deterministic
        for episode in episodes:
            gate.add(episode)
        return gate

    def add(self, episode: Episode) -> None:
        """Take in an episode that ended, in any order."""
        values = tuple(metric.value(episode) for metric in self._metrics)
        self._known[episode.episode] = episode, None if episode.outcome == Outcome.ERROR else values
        while not self.done and self._all.episodes in self._known:
            self._count(*self._known.pop(self._all.episodes))

    def intervals(self, counts: Mapping[str, tuple[int, int]]) -> dict[str, tuple[float, float]]:
        """Return the interval of each rate from its ``(successes, episodes)``.

        Wilson's where the number of episodes is fixed. Else the limits that belong to the test, where the run
        stopped at its verdict, and for all other rates limits that hold wherever a run stops.
        """
        if self.record.fixed or not self.record.tests:
            return {name: wilson(*count) for name, count in counts.items()}
        tests = {test.metric: test for test in self.record.tests}
        return {name: self._interval(tests.get(name), *count) for name, count in counts.items()}

    def _interval(self, test: RateTest | None, successes: int, episodes: int) -> tuple[float, float]:
        any_test = self.record.tests[0]
        if test is None or not self._ended(test) or self.record.method != "spending":
            return anytime_interval(successes, episodes, any_test.alpha, any_test.beta)
        last = test.path[-1]
        return recorded_test(self.record, test).limits(len(test.path) - 1, last.successes, last.errors)

    def _ended(self, test: RateTest) -> bool:
        """Whether the run ended at the look that decided *test*."""
        decided = test.verdict in (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE)
        return decided and test.path[-1].episodes == self.record.counted

    def _count(self, episode: Episode, values: tuple[float | None, ...] | None) -> None:
        self._unmeasured |= values is not None and not all(v is not None and math.isfinite(v) for v in values)
        self._all.add(values)
        if self.deterministic and self._starts.is_new(episode):
            self._count_different(values)
        if self._all.episodes in self._looks:
            self._look(self._looks[self._all.episodes])

    def _count_different(self, values: tuple[float | None, ...] | None) -> None:
        """Count an episode with a start of its own, and look at these episodes as at all."""
        found = self._different
        found.add(values)
        look = self._looks.get(found.episodes)
        for index, test in enumerate(self.record.tests):
            if look is not None and self._verdicts[index] is Verdict.NONE:
                self._verdicts[index] = verdict_at(test, look, found.successes[index], found.errors)

    def _look(self, look: int) -> None:
        tests, last = self.record.tests, self._all.episodes == self.record.episodes_max
        for index, test in enumerate(tests):
            if test.verdict is Verdict.NONE:
                self._judge(index, look, last=last)
        decided = all(test.verdict is not Verdict.NONE for test in tests)
        if last or self._unmeasured or (decided and self.record.stop_early):
            self.done, self.record.counted = True, self._all.episodes
            self.record.different = self._different.episodes if self._repeating else None

    @property
    def _repeating(self) -> bool:
        """Whether some of the episodes so far are others over again."""
        fewer = self._different.episodes < self._all.episodes
        return self.deterministic and self._starts.repeat and fewer

    def _judge(self, index: int, look: int, *, last: bool) -> None:
        test, found = self.record.tests[index], self._all
        if self._unmeasured:  # the job will be an error: there is nothing to count
            test.verdict = Verdict.ERROR
            return
        verdict = verdict_at(test, look, found.successes[index], found.errors)
        held = self._repeating and verdict is not Verdict.NONE and self._verdicts[index] is not verdict
        test.verdict = Verdict.NONE if held else verdict
        if last and test.verdict is Verdict.NONE:
            test.verdict = Verdict.INCONCLUSIVE
        test.path.append(
            InterimLook(found.episodes, found.successes[index], found.errors, test.verdict, held)
        )


@dataclass(slots=True)
class _Counts:
    """How many episodes there were, and how many successes each test saw."""

    successes: list[int]
    episodes: int = 0
    errors: int = 0

    def add(self, values: tuple[float | None, ...] | None) -> None:
        """Count one with these *values*; None: an error."""
        self.episodes += 1
        if values is None:
            self.errors += 1
        else:
            self.successes = [
                n + (v is not None and v > 0.5) for n, v in zip(self.successes, values, strict=True)
            ]


def verdict_at(test: RateTest, look: int, successes: int, errors: int) -> Verdict:
    """Return PASS, FAIL, or NONE for "go on".

    Errors count against PASS and against FAIL.

    Args:
        test: The test, with the numbers of successes that decide at each look.
        look: The index of the look in ``test.looks``.
        successes: How many of the episodes up to this look succeeded.
        errors: How many of them ended with an error: it is unknown whether they succeed.

    Returns:
        The verdict of this look alone.
    """
    passes, fails = test.pass_at[look], test.fail_at[look]
    at_most = successes + errors
    if test.at_least:
        passed = passes is not None and successes >= passes
        failed = fails is not None and at_most <= fails
    else:
        passed = passes is not None and at_most <= passes
        failed = fails is not None and successes >= fails
    return Verdict.PASS if passed else Verdict.FAIL if failed else Verdict.NONE


def recorded_test(gate: GateRecord, test: RateTest) -> SequentialTest:
    """Return the sequential test of which a record has the boundary and the path."""
    method: GateMethod = "e_process" if gate.method == "e_process" else "spending"
    return SequentialTest(test.bound, test.at_least, test.alpha, test.beta, tuple(test.looks), method)

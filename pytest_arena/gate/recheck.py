"""Draw the verdicts of a recorded gate again, from nothing but the record and its episodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from pytest_arena.gate.boundaries import looks_of
from pytest_arena.gate.job_gate import JobGate, rates, recorded_test, verdict_at
from pytest_arena.records.schema import Episode, GateRecord, JobRecord, RateTest, Verdict
from pytest_arena.rollout.metrics import RecordedMetric


def recheck(record: JobRecord, episodes: Sequence[Episode] | None = None) -> list[str]:
    """Return what does not follow from the rule that the record of a gated job states; empty if all does.

    The boundaries are computed anew, each look of each path is judged by them, and, where *episodes* are
    given (see `read_episodes`), the paths are counted again. Nothing is said of a record without a gate.
    """
    gate = record.gate
    if gate is None:
        return []
    problems = [problem for test in gate.tests for problem in _check(gate, test)]
    verdicts = {threshold.metric: threshold.verdict for threshold in record.thresholds}
    for test in gate.tests:
        if test.verdict is not verdicts.get(test.metric):
            problems.append(
                f"{test.metric}: the threshold says {verdicts.get(test.metric)}, the test {test.verdict}"
            )
    return problems + ([] if episodes is None else list(_count_again(record, gate, episodes)))


def _check(gate: GateRecord, test: RateTest) -> Iterator[str]:
    rule, looks = recorded_test(gate, test), list(looks_of(gate.episodes_max, gate.look_every))
    if test.looks != looks:
        yield f"{test.metric}: expected looks {looks}, got {test.looks}"
        return
    if (list(rule.pass_at()), list(rule.fail_at())) != (test.pass_at, test.fail_at):
        yield f"{test.metric}: the boundary is not the one of its rule"
    for index, look in enumerate(test.path):
        last = index == len(looks) - 1
        expected = Verdict.NONE if look.held else verdict_at(test, index, look.successes, look.errors)
        expected = Verdict.INCONCLUSIVE if last and expected is Verdict.NONE else expected
        if (look.episodes, look.verdict) != (looks[index], expected):
            yield (
                f"{test.metric}: look {index + 1}: expected {expected} after {looks[index]} episodes, "
                f"got {look.verdict} after {look.episodes}"
            )
    if test.path and test.verdict is not test.path[-1].verdict:
        yield f"{test.metric}: the verdict {test.verdict} is not that of the last look"


def _count_again(record: JobRecord, gate: GateRecord, episodes: Sequence[Episode]) -> Iterator[str]:
    """Replay the episodes through a gate of the same rule."""
    blank = [dataclasses.replace(test, path=[], verdict=Verdict.NONE) for test in gate.tests]
    metrics = rates([RecordedMetric(name, text) for name, text in record.definitions.items()])
    replayed = JobGate(dataclasses.replace(gate, tests=blank, counted=None), metrics)
    replayed.deterministic = record.deterministic
    for episode in episodes:
        replayed.add(episode)
    for test, again in zip(gate.tests, replayed.record.tests, strict=True):
        if test != again:
            yield f"{test.metric}: the episodes lead to {again.verdict}, the record says {test.verdict}"
    if gate.counted != replayed.record.counted:
        yield f"expected {replayed.record.counted} episodes to be counted, got {gate.counted}"

"""From the episodes of a job to its judgement: the numbers, and what the job's rules make of them.

The same function serves a job that has just run, one that is resumed, the shards of one that are put
together, and one whose process died.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_arena.comparison.baseline import Baseline
from pytest_arena.comparison.regression import judge_regression
from pytest_arena.errors import first_few
from pytest_arena.evaluation.verdict import verdict_of
from pytest_arena.gate.intervals import wilson
from pytest_arena.gate.job_gate import JobGate
from pytest_arena.gate.repeated_episodes import count_distinct_starts, without_repetitions
from pytest_arena.gate.thresholds import judge_thresholds
from pytest_arena.jobs.model import Job
from pytest_arena.policies.times import P95_METRIC
from pytest_arena.records.judgement import Judgement
from pytest_arena.records.schema import Episode, JobRecord, Outcome, ThresholdResult, counted
from pytest_arena.rollout.metrics import Metric, reduce_metrics, standard_metrics

Reported = Sequence[tuple[int, Mapping[str, float | None]]]
"""What the simulator computed itself, one entry a rebuild: (episodes, metric -> value)."""
SUCCESS_METRICS = ("success_rate", "success_at_end_rate")
FIRST_STEPS = 0.05
"""A larger share of episodes with a success at their first step is noted: chance alone gives a few."""
_NO_VALUE = "the simulator reported no finite value"


def judge(
    job: Job,
    episodes: Sequence[Episode],
    about: JobRecord,
    metrics: Sequence[Metric] = (),
    reported: Reported = (),
) -> Judgement:
    """Return what *episodes* say of *job*; the order in which they are given does not matter.

    Args:
        job: The job, or the whole of one whose shards are put together.
        episodes: All that ended, those of errors too.
        about: What is known of the rollout (``deterministic``, ``identity``, ``steps``); it is not changed.
        metrics: Metrics beside the standard ones.
        reported: What the simulator computed itself.

    Returns:
        The judgement, without a comparison: see `compared`.
    """
    finished = sorted(episodes, key=lambda episode: episode.episode)
    gate = JobGate.of(job, metrics, finished, about.deterministic)
    ordered = counted(gate.record if gate is not None else None, finished)
    measured = [episode for episode in ordered if episode.outcome != Outcome.ERROR]
    reduced = reduce_metrics([*standard_metrics(), *metrics], ordered)
    simulators, reason = _reported(reported, len(measured))
    # What comes from the fixed episodes stands, also where a simulator has a metric of the same name.
    values = {**simulators, **reduced.values}
    unmeasured = {name: reason for name, value in values.items() if value is None} | reduced.unmeasured
    if P95_METRIC in job.thresholds:
        values[P95_METRIC] = about.inference.get("act", {}).get("p95_ms")
    intervals = _intervals(gate, reduced.counts)
    different = _without_repetitions(measured, about)
    if different is not None:
        fewer = _intervals(gate, reduce_metrics([*standard_metrics(), *metrics], different).counts)
        intervals = {name: _hull(limits, fewer[name]) for name, limits in intervals.items()}
    tested = {test.metric: test.verdict for test in gate.record.tests} if gate is not None else {}
    thresholds = judge_thresholds(job.thresholds, values, intervals, unmeasured, tested)
    counts = {"measured": len(measured), "errors": len(ordered) - len(measured)}
    if gate is not None:
        counts["beyond"] = len(finished) - len(ordered)
    notes = [*notes_of(job, ordered), *_notes_on_chance(job, about, measured, different)]
    notes += _notes_on_first_steps(about, measured)
    if len(ordered) < len(finished) and any(values for _, values in reported):
        notes.append(f"what the simulator computes itself is over all {len(finished)} finished episodes")
    found = Judgement(
        counted=tuple(ordered),
        metrics=values,
        intervals=intervals,
        unmeasured=unmeasured,
        thresholds=thresholds,
        gate=gate.record if gate is not None else None,
        counts=counts,
        boundaries=[
            {"episode": e.episode, "env_idx": e.env_idx, "start_step": e.start_step, "end_step": e.end_step}
            for e in measured
        ],
        notes=tuple(notes),
        verdict=verdict_of(thresholds, None),
    )
    return dataclasses.replace(found, problem=_problem(job, found, about, metrics, finished))


def compared(
    judgement: Judgement,
    job: Job,
    about: JobRecord,
    metrics: Sequence[Metric] = (),
    against: Against | None = None,
) -> Judgement:
    """Return *judgement* with the comparison that the job's ``regression`` asks for; as it is without one.

    Args:
        judgement: As `judge` gives it.
        job: The job, as in `judge`.
        about: The job's record. It is not changed.
        metrics: Metrics beside the standard ones.
        against: The baseline; None: there is none, and the comparison is not judged.

    Returns:
        The judgement with the comparison, and with the verdict over thresholds and comparison.
    """
    against = against or Against()
    comparison = judge_regression(
        about, job, judgement.counted, metrics, against.baseline, deferred=against.deferred
    )
    verdict = verdict_of(judgement.thresholds, comparison)
    return dataclasses.replace(judgement, comparison=comparison, verdict=verdict)


@dataclass(frozen=True, slots=True)
class Against:
    """What a job with ``regression`` is compared with."""

    baseline: Baseline | None = None
    deferred: bool = False
    """A regression does not fail the job yet: all comparisons of the session are judged together."""


def process_died(judgement: Judgement) -> Judgement:
    """Return *judgement* of an evaluation that did not complete: no threshold is held by it."""
    metrics, unmeasured, thresholds = dict(judgement.metrics), dict(judgement.unmeasured), []
    for threshold in judgement.thresholds:
        if threshold.metric not in metrics:
            metrics[threshold.metric] = None
            unmeasured[threshold.metric] = "its process died before the simulator gave it"
        reason = unmeasured.get(threshold.metric, "the evaluation did not complete")
        thresholds.append(dataclasses.replace(threshold, passed=False, reason=reason))
    return dataclasses.replace(judgement, metrics=metrics, unmeasured=unmeasured, thresholds=thresholds)


def notes_of(job: Job, episodes: Sequence[Episode]) -> list[str]:
    """Return what a reader of the numbers should know, as far as *episodes* tell."""
    notes = list(job.source.notes) if job.source is not None else []
    if job.rollout.only is not None:
        ran = f"{len(job.rollout.only)} of its {job.rollout.episodes} episodes"
        notes.append(
            f"a part of the job: {ran} ({first_few(job.wanted_episodes)}), as rollout.only says; thresholds "
            "and comparisons are not judged"
        )
    at_reset = sorted(e.episode for e in episodes if e.success_at_reset)
    if at_reset:
        count = "1 episode" if len(at_reset) == 1 else f"{len(at_reset)} episodes"
        notes.append(f"success already held at reset in {count} ({first_few(at_reset)})")
    if job.rollout.steps is not None:
        notes.append(
            "limited by steps: only episodes that ended in time are counted, which favours short ones; "
            "rollout.episodes is unbiased"
        )
    return notes


def _notes_on_first_steps(about: JobRecord, measured: Sequence[Episode]) -> list[str]:
    """Say in how many episodes a success held at the first step: an environment may say nothing at reset."""
    if about.identity.get("horizon") == 1:
        return []
    early = [e.episode for e in measured if e.time_to_success == 1 and not e.success_at_reset]
    if len(early) < 2 or len(early) <= FIRST_STEPS * len(measured):
        return []
    return [
        f"success held after the first step in {len(early)} of {len(measured)} episodes "
        f"({first_few(sorted(early))}): they may have begun in it"
    ]


def _notes_on_chance(
    job: Job, about: JobRecord, measured: Sequence[Episode], different: Sequence[Episode] | None
) -> list[str]:
    """Say where the episodes are less than so many independent draws."""
    notes, number = [], count_distinct_starts(measured)
    if different is not None:
        notes.append(
            f"{len(measured)} episodes began in {len(different)} different states, and nothing is left to "
            "chance: the others repeat these; intervals and gates allow for that"
        )
    elif number is not None and number < len(measured):
        states = "the same state" if number == 1 else f"{number} different states"
        notes.append(f"{len(measured)} episodes began in {states}, as far as the observation tells")
    # Where a seed alone decides an episode, a row keeps nothing that was drawn when it was built.
    seeded = about.identity.get("capabilities", {}).get("episode_seeds", True)
    shared = None
    if job.rollout.rebuilds > 1:
        shared = f"those of one rebuild (there are {job.rollout.rebuilds})"
    elif job.environment.num_envs > 1 and not seeded:
        shared = f"those of one row (there are {job.environment.num_envs})"
    if job.gate is not None and shared is not None:
        notes.append(
            f"the error rates of the gate need independent episodes: {shared} must not share what is drawn "
            "when the environment is built"
        )
    return notes


def _without_repetitions(measured: Sequence[Episode], about: JobRecord) -> Sequence[Episode] | None:
    """Return the episodes that repeat no other one; None where none of *measured* does."""
    different = without_repetitions(measured) if about.deterministic else None
    return None if different is None or len(different) == len(measured) else different


def _reported(reported: Reported, measured: int) -> tuple[dict[str, float | None], str]:
    """Return what the simulator reported over all rebuilds, and why a value of it is missing.

    The mean is weighted by the rebuilds' episodes. What could not be computed in one rebuild has no mean:
    that of the others is not that of all episodes. Nor has what a rollout that was cut off took along.
    """
    means: dict[str, float | None] = {}
    for name in sorted({name for _, values in reported for name in values}):
        having = [(episodes, values[name]) for episodes, values in reported if name in values]
        known = [(episodes, value) for episodes, value in having if value is not None]
        total = sum(episodes for episodes, _ in known)
        complete = total > 0 and len(known) == len(having)
        means[name] = sum(episodes * value for episodes, value in known) / total if complete else None
    covered = sum(episodes for episodes, _ in reported)
    if not means or covered >= measured:
        return means, _NO_VALUE
    return dict.fromkeys(means), f"the simulator computed it over {covered} of {measured} episodes"


def _intervals(gate: JobGate | None, counts: Mapping[str, tuple[int, int]]) -> dict[str, tuple[float, float]]:
    return gate.intervals(counts) if gate is not None else {name: wilson(*n) for name, n in counts.items()}


def _hull(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    return min(first[0], second[0]), max(first[1], second[1])


def _problem(
    job: Job, found: Judgement, about: JobRecord, metrics: Sequence[Metric], episodes: Sequence[Episode]
) -> str | None:
    """Say why *found* is no measurement of what *job* asks for: that is an error with a name, never 0 %."""
    measured, requested = found.counts["measured"], len(job.wanted_episodes)
    if not measured:
        error = _first_error(episodes)
        return f"no episode was measured{error}" if error else _nothing_finished(about)
    complete = measured == requested
    if found.gate is not None and found.gate.counted is not None:  # errors count against either verdict
        complete = measured + found.counts["errors"] == found.gate.counted
    if requested and not complete:
        return f"{measured} of {requested} requested episodes were measured{_first_error(episodes)}"
    if not requested and (errors := found.counts["errors"]):  # limited by steps
        count = "1 episode was" if errors == 1 else f"{errors} episodes were"
        return f"{count} not measured{_first_error(episodes)}"
    if (blank := _without_value(found.thresholds, metrics)) is None:
        return None
    success = blank.metric in SUCCESS_METRICS
    hint = "; tell how success is read with the job's success key" if success else ""
    return f"threshold {blank.metric} {blank.expression} cannot be judged: {blank.reason}{hint}"


def _first_error(episodes: Sequence[Episode]) -> str:
    """Say what cut off the first of *episodes*, which are in order, that ended as an error."""
    cut_off = next((episode for episode in episodes if episode.outcome == Outcome.ERROR), None)
    return "" if cut_off is None else f"; episode {cut_off.episode} ended as an error: {cut_off.error}"


def _without_value(
    thresholds: Sequence[ThresholdResult], metrics: Sequence[Metric]
) -> ThresholdResult | None:
    """Return the first of *thresholds* that has no value though it must have one.

    A metric that skips missing values (a time to success) has none where nothing succeeded: its threshold
    fails like any other, beside the rate that tells why.
    """
    conditional = {metric.name for metric in (*standard_metrics(), *metrics) if metric.skips_missing}
    return next((t for t in thresholds if t.value is None and t.metric not in conditional), None)


def _nothing_finished(about: JobRecord) -> str:
    horizon = about.identity.get("horizon")
    lasts = (
        f"an episode lasts up to {horizon} steps (max_episode_steps)"
        if horizon is not None
        else "this environment has no step limit (environment.max_episode_steps sets one)"
    )
    return f"no episode finished in {about.steps} steps: {lasts}; set rollout.episodes, or more rollout.steps"

"""From the episodes of a job to the numbers and verdicts of its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_arena.comparison.baseline import stops_early
from pytest_arena.errors import EvaluationError, first_few
from pytest_arena.gate.intervals import wilson
from pytest_arena.gate.job_gate import JobGate
from pytest_arena.gate.repetitions import count_distinct_starts, without_repetitions
from pytest_arena.gate.thresholds import judge_thresholds
from pytest_arena.jobs.model import Job
from pytest_arena.records.run_directory import (
    METRICS_EPISODES,
    METRICS_STATUS,
    METRICS_VERDICT,
    RunDirectory,
)
from pytest_arena.records.schema import Episode, JobRecord, Outcome, ThresholdResult
from pytest_arena.rollout.metrics import Metric, reduce_metrics, standard_metrics

Reported = Sequence[tuple[int, Mapping[str, float | None]]]
"""What the simulator computed itself, one entry a rebuild: (episodes, metric -> value)."""
SUCCESS_METRICS = ("success_rate", "success_at_end_rate")
_NO_VALUE = "the simulator reported no finite value"


def summarize(
    record: JobRecord,
    job: Job,
    episodes: Sequence[Episode],
    metrics: Sequence[Metric] = (),
    reported: Reported = (),
) -> None:
    """Fill *record* with what *episodes* say: metrics, intervals, thresholds, counts, boundaries, notes.

    *metrics* are those beside the standard ones. The result depends on the episodes' indices, not on the
    order in which they are given. Notes are added to those that the record has, each once.
    """
    finished = sorted(episodes, key=lambda episode: episode.episode)
    gate = JobGate.of(job, metrics, finished, record.deterministic)
    record.gate = gate.record if gate is not None else None
    ordered = counted(record, finished)
    measured = [episode for episode in ordered if episode.outcome != Outcome.ERROR]
    reduced = reduce_metrics([*standard_metrics(), *metrics], ordered)
    # What comes from the fixed episodes stands, also where a simulator has a metric of the same name.
    told = _weighted_mean(reported)
    covered = sum(episodes for episodes, _ in reported)
    reason = _NO_VALUE
    if told and covered < len(measured):
        # An interrupted rollout takes its numbers along: those of the rest are not those of all episodes.
        reason = f"the simulator computed it over {covered} of {len(measured)} episodes"
        told = dict.fromkeys(told, None)
    record.metrics = {**told, **reduced.values}
    record.unmeasured = {name: reason for name, value in record.metrics.items() if value is None}
    record.unmeasured |= reduced.unmeasured
    record.intervals = _intervals(gate, reduced.counts)
    different = without_repetitions(measured) if record.deterministic else None
    if different is not None and len(different) < len(measured):
        fewer = _intervals(gate, reduce_metrics([*standard_metrics(), *metrics], different).counts)
        record.intervals = {name: _hull(limits, fewer[name]) for name, limits in record.intervals.items()}
    tested = {test.metric: test.verdict for test in gate.record.tests} if gate is not None else {}
    record.thresholds = judge_thresholds(
        job.thresholds, record.metrics, record.intervals, record.unmeasured, tested
    )
    record.episodes["measured"] = len(measured)
    record.episodes["errors"] = len(ordered) - len(measured)
    if gate is not None:
        record.episodes["beyond"] = len(finished) - len(ordered)
    record.boundaries = [
        {"episode": e.episode, "env_idx": e.env_idx, "start_step": e.start_step, "end_step": e.end_step}
        for e in measured
    ]
    notes = [*notes_of(job, ordered), *_notes_on_chance(record, job, measured, different)]
    if len(ordered) < len(finished) and any(values for _, values in reported):
        notes.append(f"what the simulator computes itself is over all {len(finished)} finished episodes")
    record.notes = list(dict.fromkeys([*notes, *record.notes]))


def metrics_of(run: RunDirectory) -> dict[str, dict[str, Any]]:
    """Return what ``metrics.json`` of *run* holds.

    Beside the numbers of each job, its status and verdict: those of a job that did not complete are no
    measurement. The number of episodes only where no gate could choose it.
    """
    configs = run.manifest_if_sound().configs()
    metrics: dict[str, dict[str, Any]] = {}
    for label, record in run.latest().items():
        about = {METRICS_STATUS: str(record.status), METRICS_VERDICT: str(record.verdict)}
        metrics[label] = {**record.metrics, **about}
        if record.episodes.get("requested") and not stops_early(configs.get(label, {})):
            metrics[label][METRICS_EPISODES] = record.episodes["measured"]
    return metrics


def _intervals(gate: JobGate | None, counts: Mapping[str, tuple[int, int]]) -> dict[str, tuple[float, float]]:
    return gate.intervals(counts) if gate is not None else {name: wilson(*n) for name, n in counts.items()}


def _hull(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    return min(first[0], second[0]), max(first[1], second[1])


def _notes_on_chance(
    record: JobRecord, job: Job, measured: Sequence[Episode], different: Sequence[Episode] | None
) -> list[str]:
    """Say where the episodes are less than so many independent draws."""
    notes, number = [], count_distinct_starts(measured)
    if different is not None and len(different) < len(measured):
        notes.append(
            f"{len(measured)} episodes began in {len(different)} different states, and nothing is left to "
            "chance: the others repeat these; intervals and gates allow for that"
        )
    elif number is not None and number < len(measured):
        states = "the same state" if number == 1 else f"{number} different states"
        notes.append(f"{len(measured)} episodes began in {states}, as far as the observation tells")
    if record.gate is not None and job.rollout.rebuilds > 1:
        notes.append(
            f"the error rates of the gate need independent episodes: those of one rebuild (there are "
            f"{job.rollout.rebuilds}) must not share what is drawn when the environment is built"
        )
    elif record.gate is not None and _rows_share_chance(record, job):
        notes.append(
            f"the error rates of the gate need independent episodes: those of one row (there are "
            f"{job.environment.num_envs}) must not share what is drawn when the environment is built"
        )
    return notes


def _rows_share_chance(record: JobRecord, job: Job) -> bool:
    """Whether a row could keep what was drawn for it: where a seed alone decides an episode, it does not."""
    seeds = record.identity.get("capabilities", {}).get("episode_seeds", True)
    return not seeds and job.environment.num_envs > 1


def counted(record: JobRecord, episodes: Sequence[Episode]) -> list[Episode]:
    """Return those of *episodes* that the record's numbers are made of: all, or those that its gate read."""
    limit = record.gate.counted if record.gate is not None else None
    return [episode for episode in episodes if limit is None or episode.episode < limit]


def missing(record: JobRecord) -> str | None:
    """Say how many of the episodes that should have been measured were; None if none is missing.

    A gate does without those after its verdicts, and counts errors against either one.
    """
    measured, requested = record.episodes["measured"], record.episodes["requested"]
    if record.gate is None or record.gate.counted is None:
        complete = measured == requested
    else:
        complete = measured + record.episodes["errors"] == record.gate.counted
    return None if complete else f"{measured} of {requested} requested episodes were measured"


def _weighted_mean(reported: Reported) -> dict[str, float | None]:
    """Average what the simulator reported for each rebuild, weighted by the rebuild's episodes.

    What it could not compute in one rebuild has no mean: that of the others is not that of all episodes.
    """
    names = sorted({name for _, values in reported for name in values})
    means: dict[str, float | None] = {}
    for name in names:
        having = [(episodes, values[name]) for episodes, values in reported if name in values]
        known = [(episodes, value) for episodes, value in having if value is not None]
        total = sum(episodes for episodes, _ in known)
        complete = total > 0 and len(known) == len(having)
        means[name] = sum(episodes * value for episodes, value in known) / total if complete else None
    return means


def unjudged(record: JobRecord, metrics: Sequence[Metric] = ()) -> ThresholdResult | None:
    """Return the first threshold that has no value though it must have one.

    A metric that skips missing values (a time to success) has none where nothing succeeded: its threshold
    fails like any other, beside the rate that tells why.
    """
    conditional = {metric.name for metric in (*standard_metrics(), *metrics) if metric.skips_missing}
    return next((t for t in record.thresholds if t.value is None and t.metric not in conditional), None)


def require_measurement(record: JobRecord, metrics: Sequence[Metric] = ()) -> None:
    """An evaluation without what was asked for is an error with a name, never 0 %: `EvaluationError`."""
    __tracebackhide__ = True
    if not record.episodes["measured"]:
        raise EvaluationError(_nothing_finished(record))
    if record.episodes["requested"] and (words := missing(record)) is not None:
        raise EvaluationError(words)
    if (blank := unjudged(record, metrics)) is not None:
        hint = (
            "; tell how success is read with the job's success key" if blank.metric in SUCCESS_METRICS else ""
        )
        raise EvaluationError(
            f"threshold {blank.metric} {blank.expression} cannot be judged: {blank.reason}{hint}"
        )


def _nothing_finished(record: JobRecord) -> str:
    steps, horizon = int(record.timings.get("steps", 0)), record.identity.get("horizon")
    lasts = (
        f"an episode lasts up to {horizon} steps (max_episode_steps)"
        if horizon is not None
        else "this environment has no step limit (environment.max_episode_steps sets one)"
    )
    return f"no episode finished in {steps} steps: {lasts}; set rollout.episodes, or more rollout.steps"


def notes_of(job: Job, episodes: Sequence[Episode]) -> list[str]:
    """Return what a reader of the numbers should know, as far as *episodes* tell."""
    notes = list(job.source.notes) if job.source is not None else []
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

"""The shards of a job, put together: one record, equal to that of the unsharded job."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_arena.errors import EvaluationError
from pytest_arena.evaluation.judge import Against, compared, judge
from pytest_arena.jobs.model import Job
from pytest_arena.policies.times import merged_inference
from pytest_arena.records.attempt import Attempt
from pytest_arena.records.episodes import read_episodes
from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.records.schema import NOT_REPRODUCIBLE, Episode, JobRecord, Status
from pytest_arena.rollout.metrics import RecordedMetric


def join_shards(
    run: RunDirectory,
    label: str,
    nodeid: str,
    job: Job,
    parts: Sequence[JobRecord],
    against: Against | None = None,
) -> tuple[JobRecord, list[Episode]]:
    """Write the record of a whole job from the records of its shards.

    The verdict is drawn once, from all episodes in episode order. A shard that did not complete, or of which
    there is no record, makes the job an error, with the numbers of the episodes that there are.

    Args:
        run: The run that they are a part of.
        label: The whole job's name in the run.
        nodeid: Under which its verdict is reported.
        job: The whole job.
        parts: The records of its shards.
        against: What a job with ``regression`` is compared with.

    Returns:
        The record, and the episodes that its numbers are made of.

    Raises:
        OSError: A file cannot be read or written.
    """
    attempt = _attempt(run, label, nodeid, job)
    record = attempt.record
    attempt.take_over(episode for part in parts for episode in _episodes(run, part))
    _take_over_facts(record, parts)
    if not record.reproducible:
        attempt.note(*(note for part in parts for note in part.notes if note.startswith(NOT_REPRODUCIBLE)))
    record.videos = sorted(video for part in parts for video in part.videos)
    _link_datasets(attempt, parts)
    metrics = [RecordedMetric(name, text) for name, text in record.definitions.items()]
    judgement = judge(job, attempt.episodes, record, metrics, record.reported)
    problem = _incomplete(job, parts) or judgement.problem
    if problem is None:
        judgement = compared(judgement, job, record, metrics, against)
    if record.videos and job.record.overview:
        from pytest_arena.recorders.films.overview import add_overview

        add_overview(attempt, judgement.counted)
    if problem is None:
        attempt.complete(judgement)
    else:
        attempt.fail(EvaluationError(problem), judgement)
    return record, list(judgement.counted)


def _attempt(run: RunDirectory, label: str, nodeid: str, job: Job) -> Attempt:
    """A resumed run writes its joined record again; the shards keep all attempts."""
    reopened = run.reopen(label)
    return Attempt.begin(job, run, label, nodeid, directory=None if reopened is None else reopened[0])


def _link_datasets(attempt: Attempt, parts: Sequence[JobRecord]) -> None:
    """Write a dataset of all shards; their own files hold the data, as they do for films."""
    sources = [attempt.run.path / part.hdf5_path for part in parts if part.hdf5_path is not None]
    if not sources:
        return
    from pytest_arena.records.hdf5_writer import link, plain_reason

    try:
        link(attempt.directory.dataset, sources)
    except (OSError, RuntimeError) as error:
        attempt.note(f"no dataset of all shards: {plain_reason(error)}")
        return
    attempt.record.hdf5_path = attempt.relative(attempt.directory.dataset)


def _episodes(run: RunDirectory, part: JobRecord) -> list[Episode]:
    return read_episodes(run.path / part.episodes_path) if part.episodes_path else []


def _take_over_facts(record: JobRecord, parts: Sequence[JobRecord]) -> None:
    """Let *record* tell what its parts know of their rollouts."""
    first = parts[0]
    record.identity, record.definitions = first.identity, first.definitions
    record.terminal_frame = first.terminal_frame
    record.live_films = sorted(episode for part in parts for episode in part.live_films)
    record.reproducible = all(part.reproducible for part in parts)
    record.deterministic = all(part.deterministic for part in parts)
    record.reported = [entry for part in parts for entry in part.reported]
    record.started_at = min(part.started_at or "" for part in parts)
    record.steps = sum(part.steps for part in parts)
    record.inference = merged_inference(part.inference for part in parts)
    for name in sorted({name for part in parts for name in part.timings}):
        record.timings[name] = round(sum(part.timings.get(name, 0.0) for part in parts), 6)


def _incomplete(job: Job, parts: Sequence[JobRecord]) -> str | None:
    """Say which shards of *job* did not complete; None if all did."""
    count = job.rollout.shards
    if len(parts) < count:
        return f"{len(parts)} of {count} shards ran"
    failed = [part for part in parts if part.status != Status.COMPLETED]
    which = ", ".join(f"{part.job}: {part.status}" for part in failed)
    return f"{len(failed)} of {len(parts)} shards did not complete ({which})" if failed else None

"""The shards of a job, put together: one record, equal to that of the unsharded job."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_arena.comparison.baseline import Baseline
from pytest_arena.comparison.regression import judge_regression
from pytest_arena.errors import EvaluationError
from pytest_arena.evaluation.summarize import counted, missing, summarize, unjudged
from pytest_arena.gate.thresholds import verdict_of
from pytest_arena.jobs.model import Job
from pytest_arena.records.attempt import begin_record, fail_record
from pytest_arena.records.episodes import read_episodes, write_episodes
from pytest_arena.records.files import utc_now, write_json
from pytest_arena.records.run_directory import JobDirectory, RunDirectory
from pytest_arena.records.schema import Episode, JobRecord, Status
from pytest_arena.rollout.metrics import Metric, RecordedMetric


def join_shards(
    run: RunDirectory,
    label: str,
    nodeid: str,
    job: Job,
    parts: Sequence[JobRecord],
    baseline: Baseline | None = None,
    *,
    family: bool = False,
) -> tuple[JobRecord, list[Episode]]:
    """Write the record of the whole *job* from the records of its shards; returns it and what it counts.

    The verdict is drawn once, from all episodes in episode order. A shard that did not complete makes the
    job an error, with the numbers of the episodes that there are.
    """
    directory = _directory(run, label)
    record = begin_record(job, directory, run.path, label, nodeid)
    episodes = [episode for part in parts for episode in _episodes(run, part)]
    for episode in episodes:
        episode.job, episode.attempt = label, directory.attempt
    episodes.sort(key=lambda episode: episode.episode)
    write_episodes(directory.episodes, episodes)
    _take_over(record, parts)
    metrics = [RecordedMetric(name, text) for name, text in record.definitions.items()]
    record.reported = [entry for part in parts for entry in part.reported]
    summarize(record, job, episodes, metrics, record.reported)
    record.videos = sorted(video for part in parts for video in part.videos)
    _link_datasets(run, directory, record, parts)
    if problem := _problem(record, parts, metrics):
        fail_record(record, EvaluationError(problem))
    else:
        judge_regression(record, job, counted(record, episodes), metrics, baseline, deferred=family)
        record.status = Status.COMPLETED
    if record.videos and job.record.overview:
        from pytest_arena.recorders.films.overview import add_overview

        add_overview(record, directory.path, run.path, counted(record, episodes))
    record.verdict, record.finished_at = verdict_of(record), utc_now()
    write_json(directory.record, record.to_json())
    return record, counted(record, episodes)


def _directory(run: RunDirectory, label: str) -> JobDirectory:
    """A resumed run writes its joined record again; the shards keep all attempts."""
    reopened = run.reopen(label)
    return run.claim(label) if reopened is None else reopened[0]


def _link_datasets(
    run: RunDirectory, directory: JobDirectory, record: JobRecord, parts: Sequence[JobRecord]
) -> None:
    """Write a dataset of all shards; their own files hold the data, as they do for films."""
    sources = [run.path / part.hdf5_path for part in parts if part.hdf5_path is not None]
    if not sources:
        return
    from pytest_arena.records.hdf5 import link, plain_reason

    try:
        link(directory.dataset, sources)
    except (OSError, RuntimeError) as error:
        record.notes.append(f"no dataset of all shards: {plain_reason(error)}")
        return
    record.hdf5_path = directory.dataset.relative_to(run.path).as_posix()


def _episodes(run: RunDirectory, part: JobRecord) -> list[Episode]:
    return read_episodes(run.path / part.episodes_path) if part.episodes_path else []


def _take_over(record: JobRecord, parts: Sequence[JobRecord]) -> None:
    first = parts[0]
    record.identity, record.definitions = first.identity, first.definitions
    record.terminal_frame = first.terminal_frame
    record.live_films = sorted(episode for part in parts for episode in part.live_films)
    record.reproducible = all(part.reproducible for part in parts)
    record.deterministic = all(part.deterministic for part in parts)
    record.started_at = min(part.started_at or "" for part in parts)
    for name in sorted({name for part in parts for name in part.timings}):
        record.timings[name] = round(sum(part.timings.get(name, 0.0) for part in parts), 6)


def _problem(record: JobRecord, parts: Sequence[JobRecord], metrics: Sequence[Metric]) -> str | None:
    failed = [part for part in parts if part.status != Status.COMPLETED]
    if failed:
        which = ", ".join(f"{part.job}: {part.status}" for part in failed)
        return f"{len(failed)} of {len(parts)} shards did not complete ({which})"
    if (words := missing(record)) is not None:
        return words
    blank = unjudged(record, metrics)
    return f"threshold {blank.metric} cannot be judged: {blank.reason}" if blank else None

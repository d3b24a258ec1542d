"""Records that their process could not close: they are closed with what is on disk.

Each finished episode is on disk before the next step is taken, so whoever reports on a job can tell what had
been measured when its process ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

from pytest_arena.evaluation.judge import judge, process_died
from pytest_arena.jobs.model import Job
from pytest_arena.recorders.films.unfinished import unfinished_films
from pytest_arena.recorders.trajectories.simulators_own import unfinished_datasets
from pytest_arena.records.attempt import Attempt
from pytest_arena.records.episodes import read_episodes
from pytest_arena.records.interrupted_attempt import keep_measured
from pytest_arena.records.run_directory import JobDirectory, RunDirectory
from pytest_arena.records.schema import Episode, JobRecord, Outcome, Status
from pytest_arena.rollout.metrics import RecordedMetric


def close_unclosed(run: RunDirectory, record: JobRecord, status: Status, reason: str) -> Attempt:
    """Close the *record* of an attempt whose process ended, from what is on disk.

    Args:
        run: The run that it is a part of.
        record: As it was found, or as its attempt left it.
        status: CRASHED, or INTERRUPTED where somebody stopped the job.
        reason: Why the process ended, in words.

    Returns:
        The attempt, which is closed.

    Raises:
        OSError: The record cannot be written.
    """
    attempt = Attempt.found(run, record)
    directory = attempt.directory
    attempt.episodes, notes = _measured(directory)
    judgement = None
    if (job := job_of_run(run, record.job)) is not None:
        metrics = [RecordedMetric(name, definition) for name, definition in record.definitions.items()]
        judgement = process_died(judge(job, attempt.episodes, record, metrics))
    record.videos = sorted(path for episode in attempt.episodes for path in episode.videos.values())
    if directory.dataset.exists():
        record.hdf5_path = attempt.relative(directory.dataset)
    attempt.note(*notes)
    finished = counted_words(len(attempt.episodes), "finished episode")
    attempt.crash(status, f"{reason}, after {finished}", judgement)
    return attempt


def close_all_unclosed(
    run: RunDirectory, status: Status, writing: Callable[[str], AbstractContextManager[None]]
) -> None:
    """Give *status* to every record that still says ``running``; call it when no process writes any more.

    Args:
        run: The run whose records are closed.
        status: CRASHED, or INTERRUPTED where somebody stopped the session.
        writing: Gets the path of a record, relative to the run; the record is written in the context that it
            gives.

    Raises:
        OSError: A record cannot be written, and its context does not suppress that.
    """
    for record in run.records():
        if record.status == Status.RUNNING:
            with writing(str(record.record_path)):
                close_unclosed(run, record, status, "the session ended while the job ran")


def job_of_run(run: RunDirectory, label: str) -> Job | None:
    """Return the job, or shard of one, as the manifest of *run* describes it; None where it does not."""
    try:
        return run.manifest_if_sound().jobs[label].job().as_run
    except (KeyError, ValueError, IndexError):
        return None


def counted_words(number: int, what: str) -> str:
    """Return e.g. ``1 video`` or ``2 videos``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _measured(directory: JobDirectory) -> tuple[list[Episode], list[str]]:
    """Return the episodes and, in words, what is missing of them; leaves films that play and whole lines."""
    notes = unfinished_films(directory)
    try:
        with contextlib.suppress(OSError):  # the disk is full
            notes += unfinished_datasets(directory)
        whole = read_episodes(directory.episodes)
        named = sum(len(episode.videos) for episode in whole)
        try:
            episodes = keep_measured(directory)
        except OSError:  # the disk is full: what is on it stays as it is
            return [episode for episode in whole if episode.outcome != Outcome.ERROR], notes
    except (OSError, ValueError, TypeError, KeyError) as error:
        return [], [f"the episodes cannot be read: {error}", *notes]
    lost = named - sum(len(episode.videos) for episode in episodes)
    return episodes, [f"{counted_words(lost, 'video')} lost: still being encoded"] * bool(lost) + notes

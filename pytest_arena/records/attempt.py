"""The beginning and the failure of an attempt, as its record tells them."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable
from pathlib import Path

from pytest_arena.errors import ArenaError, StrayOutcomeError
from pytest_arena.jobs.model import Job
from pytest_arena.records.episodes import read_episodes, write_episodes
from pytest_arena.records.files import TRAJECTORIES, utc_now, write_json
from pytest_arena.records.film_names import PARTIAL_FILM, VIDEOS, film_prefix, prefix_in
from pytest_arena.records.provenance import host, versions
from pytest_arena.records.run_directory import JobDirectory
from pytest_arena.records.schema import Episode, JobRecord, Outcome, Status, Verdict

_OF_THE_ROLLOUT = (
    "reproducible",
    "deterministic",
    "terminal_frame",
    "reported",
    "live_films",
    "definitions",
    "notes",
)
"""Fields of a record that only the rollout could tell."""


def begin_record(
    job: Job,
    directory: JobDirectory,
    run_dir: Path,
    label: str,
    nodeid: str | None,
    before: JobRecord | None = None,
) -> JobRecord:
    """Write the record of a job that begins: a killed process leaves it with the status ``running``.

    What the record *before*, of the same attempt or of one whose measurement stands, says of its rollout is
    kept: the process may be killed before the environment is known again.
    """
    record = JobRecord(
        job=label,
        attempt=directory.attempt,
        config_sha256=job.sha256(),
        simulator=job.simulator,
        environment=job.environment.id,
        policy=job.policy.type,
        nodeid=nodeid,
        identity={"versions": versions(), "host": host()},
        episodes={"requested": len(job.wanted_episodes), "measured": 0, "errors": 0},
        record_path=directory.record.relative_to(run_dir).as_posix(),
        episodes_path=directory.episodes.relative_to(run_dir).as_posix(),
        started_at=utc_now(),
    )
    if before is not None:
        record.identity = before.identity | record.identity
        for name in _OF_THE_ROLLOUT:
            setattr(record, name, getattr(before, name))
    write_json(directory.record, record.to_json())
    return record


def fail_record(record: JobRecord, error: BaseException) -> None:
    """Note *error* in the record; the full traceback unless the error is the user's to mend."""
    record.status, record.verdict = Status.ERROR, Verdict.ERROR
    named = error.__cause__ if isinstance(error, StrayOutcomeError) and error.__cause__ else error
    record.error = {
        "type": type(named).__name__,
        "message": str(error),
        "traceback": "" if isinstance(error, ArenaError) else "".join(traceback.format_exception(error)),
    }


def giving_up(record: JobRecord, path: Path) -> Callable[[BaseException], None]:
    """Return what writes *record* to *path* as an error, for a process that is about to end."""

    def give_up(error: BaseException) -> None:
        fail_record(record, error)
        record.finished_at = utc_now()
        write_json(path, record.to_json())

    return give_up


def keep_measured(directory: JobDirectory) -> list[Episode]:
    """Return the measured episodes of an attempt, and leave just these on disk.

    What a killed process leaves beside them goes: a half line, episodes that an exception cut off, films of
    episodes without a line, and the hidden working files of films and trajectories. A film that was still
    being encoded is no episode's film, whether or not a part of it was saved; one that was finished after its
    episode's line had been written is taken over. Trajectories are put together.
    """
    kept = [e for e in read_episodes(directory.episodes) if e.outcome != Outcome.ERROR]
    for episode in kept:
        films = episode.videos.items()
        episode.videos = {camera: p for camera, p in films if (directory.path.parent / p).exists()}
    filmed = {film_prefix(episode.episode, episode.env_idx): episode for episode in kept}
    for film in directory.path.glob(f"{VIDEOS}/*.mp4"):
        prefix = prefix_in(film.name)
        if prefix is None or film.name.endswith(PARTIAL_FILM):
            continue
        if prefix in filmed:
            path = film.relative_to(directory.path.parent).as_posix()
            filmed[prefix].videos.setdefault(film.stem.removeprefix(prefix), path)
        else:
            film.unlink()
    if directory.episodes.exists():
        write_episodes(directory.episodes, kept)
    for folder in (VIDEOS, TRAJECTORIES):
        for unfinished in directory.path.glob(f"{folder}/.*"):
            if unfinished.is_symlink() or unfinished.is_file():
                unfinished.unlink()
    if (directory.path / TRAJECTORIES).exists():
        from pytest_arena.records.hdf5 import collect

        with contextlib.suppress(OSError, RuntimeError):  # a full disk: they stay where they are
            collect(directory.path)
    return kept

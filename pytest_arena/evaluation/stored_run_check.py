"""A run directory that is to be resumed, checked as a whole before anything in it is touched.

It may come from anybody: another machine, a CI cache, an editor. What is believed of it is what this package
would have written: files in their places, episodes of the schedule. Nothing here knows pytest.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from pytest_arena.errors import RunDirectoryError, first_few, shown
from pytest_arena.jobs.messages import dotted, plain_error
from pytest_arena.jobs.model import Job, Shard
from pytest_arena.jobs.sections import MOST_EPISODES
from pytest_arena.records.episodes import numbered_episodes
from pytest_arena.records.files import DATASET, TRAJECTORIES
from pytest_arena.records.film_names import VIDEOS, film_prefix, prefix_in
from pytest_arena.records.json_files import StoredFileError, kind_of, problems_in, read_json
from pytest_arena.records.lock import SESSION, WORKERS
from pytest_arena.records.manifest import JobEntry, Manifest, ShardEntry
from pytest_arena.records.rerun_names import RERUN, recording_name
from pytest_arena.records.run_directory import RUN_FILES, RunDirectory, attempt_folder, is_label
from pytest_arena.records.schema import Episode, JobRecord, Outcome, Status
from pytest_arena.rollout.metrics import require_own_value
from pytest_arena.rollout.schedule_check import is_time, require_scheduled

_FOLDERS = (VIDEOS, TRAJECTORIES, RERUN)
"""Folders in a job's, all of whose files are this package's."""
_OURS = re.compile(
    r"\.?(record\.json|episodes\.jsonl|videos|trajectories|rerun|overview\.\w+|dataset.*\.hdf5).*"
)
"""Names in a job's folder that this package writes; a test may put files of its own there."""
_DATASET = re.compile(r"dataset(-[0-9]+)?\.hdf5")
_GROUP = re.compile(r"data/demo_[0-9]+")


@dataclass(frozen=True)
class _Part:
    """A job of the run, a shard of one, or a job whose shards are put together."""

    label: str
    job: Job
    """With its shard; of a joined one the whole job."""
    nodeid: str = ""
    """Of its test; empty where run.json does not say it."""
    shards: tuple[str, ...] = ()
    """Labels of the shards that it is put together from."""


@dataclass(frozen=True)
class _StoredAttempt:
    """A folder that an attempt at a job, from 1, has."""

    folder: Path
    part: _Part
    number: int


def require_run_directory(path: Path) -> None:
    """Raise `RunDirectoryError` unless there is a ``run.json`` in the folder *path*."""
    if not (path / "run.json").exists():
        raise RunDirectoryError("expected a run directory, with a whole run.json in it")


def check_run(path: Path) -> None:
    """Raise `RunDirectoryError`, one line that names the file, unless all of the run at *path* is sound."""
    run = path.resolve()
    try:
        _check_run(run)
    except StoredFileError as error:
        where = error.path.relative_to(run).as_posix()
        raise RunDirectoryError(f"{where}: {error.problem}") from None


def _check_run(run: Path) -> None:
    for name in (*RUN_FILES, SESSION, WORKERS):
        _require_inside(run, run / name)
    try:
        manifest = RunDirectory(run).manifest()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RunDirectoryError(
            f"expected a run directory, with a whole run.json in it: run.json: {reason}"
        ) from None
    with problems_in(run / "run.json"):
        parts = {part.label: part for part in _parts(manifest)}
        _require_groups(manifest, parts)
    attempts = _attempts(run, parts)
    for attempt in attempts:
        before = attempt_folder(run, attempt.part.label, attempt.number - 1)
        if attempt.number > 1 and before not in {other.folder for other in attempts}:
            problem = f"expected the attempt before it beside it, there is no {before.name}"
            raise StoredFileError(attempt.folder, problem)
    for attempt in attempts:
        # A rerun may keep what an earlier attempt measured, a joined job what its shards did.
        labels = (attempt.part.label, *attempt.part.shards)
        own = {other.folder.name for other in attempts if other.part.label in labels}
        _check_attempt(run, attempt, own)


# ----------------------------------------------------------------------------------------- run.json


def _parts(manifest: Manifest) -> Iterator[_Part]:
    """Yield all jobs that a folder can belong to."""
    shards: dict[str, list[tuple[str, ShardEntry, Job]]] = {}
    for label, entry in manifest.jobs.items():
        where = f"jobs{_key(label)}"
        _require_label(where, label)
        job, shard = _job(where, entry), entry.shard
        if (shard is None) != (job.rollout.shards == 1):
            raise ValueError(
                f"{where}.shard: expected one where rollout.shards ({job.rollout.shards}) is not 1, got "
                f"{'none' if shard is None else 'one'}"
            )
        if shard is None:
            yield _Part(label, job, entry.nodeid)
            continue
        _require_label(f"{where}.shard.label", shard.label)
        count, index = job.rollout.shards, shard.index
        if shard.count != count or not 0 <= index < count:
            raise ValueError(f"{where}.shard: expected one of {count}, got index {index} of {shard.count}")
        if label != (expected := shard.label + Shard(index, count).suffix):
            raise ValueError(f"{where}.shard.label: expected that of {label!r}, got one of {expected!r}")
        others = shards.setdefault(shard.label, [])
        others.append((label, shard, job))
        _, first, whole = others[0]
        if whole != job:
            raise ValueError(f"{where}.config: expected that of the other shards, got another")
        if first.nodeid != shard.nodeid:
            raise ValueError(f"{where}.shard.nodeid: expected that of the other shards, got another")
        yield _Part(label, job.shards()[index], entry.nodeid)
    for label, found in shards.items():
        if label in manifest.jobs:
            raise ValueError(f"jobs: expected {label!r} once, it is a job and has shards")
        _, first, whole = found[0]
        yield _Part(label, whole, first.nodeid, tuple(name for name, _, _ in found))


def _job(where: str, entry: JobEntry) -> Job:
    try:
        return Job.model_validate(entry.config)
    except ValidationError as error:
        key, expectation = plain_error(error, Job)
        raise ValueError(f"{where}.config.{dotted(key)}: {expectation}") from None


def _require_label(where: str, label: str) -> None:
    if not is_label(label):
        raise ValueError(f"{where}: expected the name of a job's folder, got {shown(label)}")


def _require_groups(manifest: Manifest, parts: Mapping[str, _Part]) -> None:
    for index, group in enumerate(manifest.groups):
        for name, labels in group.jobs.items():
            for label in labels:
                if label not in parts:
                    where = f"groups[{index}].jobs{_key(name)}"
                    raise ValueError(f"{where}: expected labels of the run's jobs, got {shown(label)}")


def _key(name: str) -> str:
    text = dotted((name,))
    return text if text.startswith("[") else f".{text}"


def same_test(one: str, other: str) -> bool:
    """Whether two node ids are of one test, as seen from the same root directory or from one below it.

    A file outside of the root directory has its whole path, which is another one on another machine.
    """
    (file, *test), (other_file, *other_test) = one.split("::"), other.split("::")
    parts, others = file.split("/"), other_file.split("/")
    common = 1 if file.startswith("/") and other_file.startswith("/") else min(len(parts), len(others))
    inside = one == other or ".." not in (*parts, *others)
    return inside and test == other_test and parts[-common:] == others[-common:]


# ------------------------------------------------------------------------------- folders of attempts


def _attempts(run: Path, parts: Mapping[str, _Part]) -> list[_StoredAttempt]:
    """Return what each folder of the run is."""
    found = []
    for path in sorted(run.iterdir()):
        if path.name in RUN_FILES or path.name.startswith("."):
            continue
        label, _, number = path.name.rpartition(".")
        if path.name in parts:
            found.append(_StoredAttempt(path, parts[path.name], 1))
        elif label in parts and re.fullmatch(r"[1-9][0-9]{0,8}", number) and int(number) > 1:
            found.append(_StoredAttempt(path, parts[label], int(number)))
        elif (path / "record.json").exists():
            problem = f"expected records of the jobs in run.json only, which are {first_few(parts)}"
            raise StoredFileError(path / "record.json", problem)
    return found


def _check_attempt(run: Path, attempt: _StoredAttempt, own: set[str]) -> None:
    """Check the folder of one attempt: its files, its record, its episodes; *own*: where these may be."""
    folder, part = attempt.folder, attempt.part
    _require_inside(run, folder, folder=True)
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name):
            _require_inside(run, path, folder=path.name in _FOLDERS)
            for inner in path.iterdir() if path.name in _FOLDERS else ():
                _require_inside(run, inner)
                _require_single(inner)
    for path in [*folder.glob("dataset*.hdf5"), *folder.glob(f"{TRAJECTORIES}/*.hdf5")]:
        from pytest_arena.records.hdf5_reader import require_own_data

        # They are put together on resuming: none may lead elsewhere. What a kill has broken is not read.
        with problems_in(path), contextlib.suppress(OSError, RuntimeError, KeyError):
            require_own_data(path)
    record_path, episodes_path = folder / "record.json", folder / "episodes.jsonl"
    if not record_path.exists():
        if episodes_path.exists():
            problem = "expected the record of the episodes beside it, there is none"
            raise StoredFileError(record_path, f"{problem} (remove the folder to run the job anew)")
        return
    with problems_in(record_path):
        record = JobRecord.from_json(read_json(record_path))
        _require_own(record, attempt)
        _require_numbers(record)
        _require_places(run, record, own)
    with problems_in(episodes_path):
        lines = list(numbered_episodes(episodes_path))
        measured = require_scheduled(part.job, record, lines, whole=bool(part.shards))
        stated = record.episodes.get("measured", 0) + record.episodes.get("beyond", 0)
        if record.status == Status.COMPLETED and measured < stated:
            raise ValueError(f"expected {stated} measured episodes, as the job's record says, got {measured}")
        _check_files_of_episodes(run, lines, own)
    with problems_in(record_path):
        for name in record.metrics if record.status == Status.COMPLETED else ():
            require_own_value(record, name, [episode for _, episode in lines])


def _require_own(record: JobRecord, attempt: _StoredAttempt) -> None:
    """Raise ValueError unless the *record* is that of this job and attempt, in this folder."""
    part, folder = attempt.part, attempt.folder.name
    expected: list[tuple[str, Any, Any]] = [
        ("job", part.label, record.job),
        ("attempt", attempt.number, record.attempt),
        ("simulator", part.job.simulator, record.simulator),
        ("environment", part.job.environment.id, record.environment),
        ("policy", part.job.policy.type, record.policy),
        ("only", None if part.job.rollout.only is None else [*part.job.rollout.only], record.only),
        ("record_path", f"{folder}/record.json", record.record_path or f"{folder}/record.json"),
        ("episodes_path", f"{folder}/episodes.jsonl", record.episodes_path or f"{folder}/episodes.jsonl"),
    ]
    for key, wanted, got in expected:
        if got != wanted:
            raise ValueError(f"{key}: expected {wanted!r}, got {shown(got)}")
    if part.nodeid and record.nodeid is not None and not same_test(part.nodeid, record.nodeid):
        raise ValueError(f"nodeid: expected {part.nodeid!r}, as run.json says, got {shown(record.nodeid)}")


def _require_numbers(record: JobRecord) -> None:
    """Raise ValueError where a number or a time of the *record* is none that a job can have."""
    numbers = {f"episodes.{name}": number for name, number in record.episodes.items()}
    numbers |= {f"live_films[{i}]": number for i, number in enumerate(record.live_films)}
    numbers |= {f"reported[{i}][0]": entry[0] for i, entry in enumerate(record.reported)}
    for key, number in numbers.items():
        if number < 0:
            raise ValueError(f"{key}: expected 0 or more, got {number}")
    for key, time in (("started_at", record.started_at), ("finished_at", record.finished_at)):
        if time is not None and not is_time(time):
            raise ValueError(f"{key}: expected a time in ISO 8601, got {shown(time)}")
    if (requested := record.episodes.get("requested", 0)) > MOST_EPISODES:
        raise ValueError(f"episodes.requested: expected at most {MOST_EPISODES:,}, got {requested}")


# ------------------------------------------------------------------------- files that a record names


def _require_places(run: Path, record: JobRecord, own: set[str]) -> None:
    paths = {f"videos[{i}]": path for i, path in enumerate(record.videos)}
    paths |= {f"overview.{name}": path for name, path in record.overview.items()}
    if record.hdf5_path is not None:
        paths["hdf5_path"] = record.hdf5_path
    for key, path in paths.items():
        _require_place(run, key, path, own)


def _require_place(run: Path, key: str, path: str, own: set[str]) -> None:
    """Raise ValueError unless *path*, relative to the run, is a file in a folder of *own*, or missing."""
    parts = PurePosixPath(path).parts
    if "\0" in path or len(parts) < 2 or parts[0] not in own or ".." in parts:
        raise ValueError(f"{key}: expected a file in {' or '.join(sorted(own)[:3])}, got {shown(path)}")
    if (problem := _why_not_inside(run, run / path)) is not None:
        raise ValueError(f"{key}: {PurePosixPath(path)}: {problem}")


def _check_files_of_episodes(run: Path, lines: list[tuple[int, Episode]], own: set[str]) -> None:
    """Raise ValueError with the number of the line where one names files that are not its episode's."""
    trajectories: dict[str, int] = {}
    for number, episode in lines:
        try:
            _require_films(run, episode, own)
            if episode.rerun is not None:
                _require_recording(run, episode, episode.rerun, own)
            if episode.trajectory is not None and episode.outcome != Outcome.ERROR:
                _require_trajectory(run, episode.trajectory, own, trajectories)
                trajectories[episode.trajectory] = number
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None


def _require_films(run: Path, episode: Episode, own: set[str]) -> None:
    """Raise ValueError where a film of *episode* is another file of this package, or another episode's film.

    A user's recorder may name files of its own.
    """
    own_prefix = film_prefix(episode.episode, episode.env_idx)
    for camera, path in episode.videos.items():
        key = f"videos.{camera}"
        _require_place(run, key, path, own)
        _, *folders, name = PurePosixPath(path).parts
        foreign = folders == [VIDEOS] and prefix_in(name) not in (None, own_prefix)
        if foreign or (folders != [VIDEOS] and _OURS.fullmatch("/".join([*folders, name]))):
            raise ValueError(f"{key}: expected a film of episode {episode.episode}, got {shown(path)}")


def _require_recording(run: Path, episode: Episode, path: str, own: set[str]) -> None:
    """Raise ValueError where *path* is not where the recording of *episode* for Rerun is.

    A user's recorder may name a file of its own.
    """
    _require_place(run, "rerun", path, own)
    name = PurePosixPath(*PurePosixPath(path).parts[1:]).as_posix()
    expected = f"{RERUN}/{recording_name(episode.episode, episode.env_idx)}"
    if _OURS.fullmatch(name) and name != expected:
        raise ValueError(f"rerun: expected …/{expected}, got {shown(path)}")


def _require_trajectory(run: Path, place: str, own: set[str], before: Mapping[str, int]) -> None:
    """Raise ValueError where *place* is none of this package's trajectories, or that of a line *before*.

    A user's recorder may name a file of its own.
    """
    path, _, group = place.partition("#")
    _require_place(run, "trajectory", path, own)
    name = PurePosixPath(*PurePosixPath(path).parts[1:]).as_posix()
    if _OURS.fullmatch(name) and not (_DATASET.fullmatch(name) and _GROUP.fullmatch(group)):
        raise ValueError(f"trajectory: expected …/{DATASET}#data/demo_<number>, got {shown(place)}")
    if _OURS.fullmatch(name) and place in before:
        raise ValueError(
            f"trajectory: expected each once, it is in line {before[place]} too, got {shown(place)}"
        )


def _require_inside(run: Path, path: Path, *, folder: bool = False) -> None:
    """Raise `StoredFileError` unless *path* is missing, or a plain file (or *folder*) inside of *run*."""
    if (problem := _why_not_inside(run, path, folder=folder)) is not None:
        raise StoredFileError(path, problem)


def _why_not_inside(run: Path, path: Path, *, folder: bool = False) -> str | None:
    try:
        real = Path(os.path.realpath(path, strict=True))
        mode = real.stat().st_mode
    except FileNotFoundError:
        return "expected a file, got a link to nothing" if path.is_symlink() else None
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    if not real.is_relative_to(run):
        return f"expected a file of the run, it is a link to {real}"
    if folder and path.is_symlink():  # it could be another job's, or a hidden one
        return f"expected a folder, it is a link to {real.relative_to(run)}"
    if not (stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode)):
        return f"expected {'a folder' if folder else 'a file'}, got {kind_of(mode)}"
    return None


def _require_single(path: Path) -> None:
    """A hidden film is cut where it lies: it must not be another file's content too."""
    if path.name.startswith(".") and path.stat().st_nlink > 1:
        raise StoredFileError(path, "expected a file with a single name, it has several (hard links)")

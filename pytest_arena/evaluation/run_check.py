"""A run directory that is to be gone on with, checked as a whole before anything in it is touched.

It may come from anybody: another machine, a CI cache, an editor. What is believed of it is what this package
would have written: files in their places, episodes of the schedule. Nothing here knows pytest.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from pytest_arena.errors import RunDirectoryError, first_few
from pytest_arena.jobs.messages import dotted, plain_error
from pytest_arena.jobs.model import Job, Shard
from pytest_arena.jobs.sections import MOST_EPISODES
from pytest_arena.records.episodes import numbered_episodes
from pytest_arena.records.files import DATASET, TRAJECTORIES
from pytest_arena.records.film_names import VIDEOS, film_prefix, prefix_in
from pytest_arena.records.json_files import kind_of, read_json
from pytest_arena.records.lock import SESSION, WORKERS
from pytest_arena.records.manifest import Manifest
from pytest_arena.records.run_directory import RUN_FILES, RunDirectory, attempt_folder
from pytest_arena.records.schema import Episode, JobRecord, Outcome, Status
from pytest_arena.records.typed import shown
from pytest_arena.rollout.metrics import require_own_value
from pytest_arena.rollout.scheduled import is_time, require_scheduled

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_FOLDERS = (VIDEOS, TRAJECTORIES)
"""Folders in a job's, all of whose files are this package's."""
_OURS = re.compile(r"\.?(record\.json|episodes\.jsonl|videos|trajectories|overview\.\w+|dataset.*\.hdf5).*")
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


def require_run_directory(path: Path) -> None:
    """Raise `RunDirectoryError` unless there is a ``run.json`` in the folder *path*."""
    if not (path / "run.json").exists():
        raise RunDirectoryError("expected a run directory, with a whole run.json in it")


def check_run(path: Path) -> None:
    """Raise `RunDirectoryError`, one line that names the file, unless all of the run at *path* is sound."""
    run = path.resolve()
    for name in (*RUN_FILES, SESSION, WORKERS):
        _require_inside(run, run / name)
    try:
        manifest = RunDirectory(run).manifest()
    except (OSError, ValueError) as error:
        raise RunDirectoryError(
            f"expected a run directory, with a whole run.json in it: run.json: {_reason(error)}"
        ) from None
    parts = {part.label: part for part in _parts(manifest)}
    _require_groups(manifest, parts)
    folders = _folders(run, parts)
    for name, (part, attempt) in folders.items():
        if attempt > 1 and attempt_folder(run, part.label, attempt - 1).name not in folders:
            missing = attempt_folder(run, part.label, attempt - 1).name
            raise RunDirectoryError(
                f"{name}: expected the attempt before it beside it, there is no {missing}"
            )
    for name, (part, attempt) in folders.items():
        _check_attempt(run, run / name, part, attempt, folders)


def _parts(manifest: Manifest) -> Iterator[_Part]:
    """Yield all jobs that a folder can belong to."""
    shards: dict[str, dict[int, str]] = {}
    whole: dict[str, Job] = {}
    wholes: dict[str, str] = {}
    for label, entry in manifest.jobs.items():
        where = f"run.json: jobs{_key(label)}"
        _require_label(where, label)
        job, shard = _job(where, entry.config), entry.shard
        if (shard is None) != (job.rollout.shards == 1):
            is_there = "none" if shard is None else "one"
            raise RunDirectoryError(
                f"{where}.shard: expected one where rollout.shards ({job.rollout.shards}) is not 1, got "
                f"{is_there}"
            )
        if shard is None:
            yield _Part(label, job, entry.nodeid)
            continue
        _require_label(f"{where}.shard.label", shard.label)
        count, index = job.rollout.shards, shard.index
        if shard.count != count or not 0 <= index < count:
            raise RunDirectoryError(
                f"{where}.shard: expected one of {count}, got index {index} of {shard.count}"
            )
        if label != (expected := shard.label + Shard(index, count).suffix):
            raise RunDirectoryError(
                f"{where}.shard.label: expected that of {label!r}, got one of {expected!r}"
            )
        if whole.setdefault(shard.label, job) != job:
            raise RunDirectoryError(f"{where}.config: expected that of the other shards, got another")
        if wholes.setdefault(shard.label, shard.nodeid) != shard.nodeid:
            raise RunDirectoryError(f"{where}.shard.nodeid: expected that of the other shards, got another")
        shards.setdefault(shard.label, {})[index] = label
        yield _Part(label, job.shards()[index], entry.nodeid)
    for label, job in whole.items():
        if label in manifest.jobs:
            raise RunDirectoryError(f"run.json: jobs: expected {label!r} once, it is a job and has shards")
        yield _Part(label, job, wholes[label], tuple(shards[label].values()))


def _job(where: str, config: Mapping[str, Any]) -> Job:
    try:
        return Job.model_validate(config)
    except ValidationError as error:
        key, expectation = plain_error(error, Job)
        raise RunDirectoryError(f"{where}.config.{dotted(key)}: {expectation}") from None


def _require_label(where: str, label: str) -> None:
    if not _LABEL.fullmatch(label) or label in RUN_FILES:
        raise RunDirectoryError(f"{where}: expected the name of a job's folder, got {shown(label)}")


def _require_groups(manifest: Manifest, parts: Mapping[str, _Part]) -> None:
    for index, group in enumerate(manifest.groups):
        for name, labels in group.jobs.items():
            for label in labels:
                if label not in parts:
                    raise RunDirectoryError(
                        f"run.json: groups[{index}].jobs{_key(name)}: expected labels of the run's jobs, got "
                        f"{shown(label)}"
                    )


def _folders(run: Path, parts: Mapping[str, _Part]) -> dict[str, tuple[_Part, int]]:
    """Return the name of each folder that a job's attempt has -> its owner, and which attempt it is."""
    found: dict[str, tuple[_Part, int]] = {}
    for path in sorted(run.iterdir()):
        if path.name in RUN_FILES or path.name.startswith("."):
            continue
        label, _, number = path.name.rpartition(".")
        if path.name in parts:
            found[path.name] = parts[path.name], 1
        elif label in parts and re.fullmatch(r"[1-9][0-9]{0,8}", number) and int(number) > 1:
            found[path.name] = parts[label], int(number)
        elif (path / "record.json").exists():
            raise RunDirectoryError(
                f"{path.name}/record.json: expected records of the jobs in run.json only, which are "
                f"{first_few(parts)}"
            )
    return found


def _check_attempt(
    run: Path, folder: Path, part: _Part, attempt: int, folders: Mapping[str, tuple[_Part, int]]
) -> None:
    """Check the folder of one attempt: its files, its record, its episodes."""
    _require_inside(run, folder, folder=True)
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name):
            _require_inside(run, path, folder=path.name in _FOLDERS)
            for inner in path.iterdir() if path.name in _FOLDERS else ():
                _require_inside(run, inner)
                _require_single(run, inner)
    for path in [*folder.glob("dataset*.hdf5"), *folder.glob(f"{TRAJECTORIES}/*.hdf5")]:
        _check_dataset(run, path)
    record_path, episodes_path = folder / "record.json", folder / "episodes.jsonl"
    if not record_path.exists():
        if episodes_path.exists():
            raise RunDirectoryError(
                f"{folder.name}/record.json: expected the record of the episodes beside it, there is none "
                "(remove the folder to run the job anew)"
            )
        return
    # A rerun may keep what an earlier attempt measured, a joined job what its shards did.
    own = {name for name, (owner, _) in folders.items() if owner.label in (part.label, *part.shards)}
    try:
        record = JobRecord.from_json(read_json(record_path))
        _require_own(record, part, attempt, folder.name)
        _require_places(run, record, own)
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"{folder.name}/record.json: {_reason(error)}") from None
    try:
        episodes = _check_episodes(run, episodes_path, record, part, own)
    except OSError as error:
        raise RunDirectoryError(f"{folder.name}/episodes.jsonl: {_reason(error)}") from None
    except ValueError as error:
        text = str(error).removeprefix(f"{episodes_path}: ")
        raise RunDirectoryError(f"{folder.name}/episodes.jsonl: {text}") from None
    try:
        for name in record.metrics if record.status == Status.COMPLETED else ():
            require_own_value(record, name, episodes)
    except ValueError as error:
        raise RunDirectoryError(f"{folder.name}/record.json: {error}") from None


def same_test(one: str, other: str) -> bool:
    """Whether two node ids are of one test, as seen from the same root directory or from one below it.

    A file outside of the root directory has its whole path, which is another one on another machine.
    """
    (file, *test), (other_file, *other_test) = one.split("::"), other.split("::")
    parts, others = file.split("/"), other_file.split("/")
    common = 1 if file.startswith("/") and other_file.startswith("/") else min(len(parts), len(others))
    inside = one == other or ".." not in (*parts, *others)
    return inside and test == other_test and parts[-common:] == others[-common:]


def _check_dataset(run: Path, path: Path) -> None:
    """Trajectories are put together on resuming: none may lead elsewhere. What a kill has broken may stay."""
    from pytest_arena.records.hdf5_check import DatasetError, require_own_data

    try:
        require_own_data(path)
    except DatasetError as error:
        raise RunDirectoryError(f"{path.relative_to(run).as_posix()}: {error}") from None
    except (OSError, RuntimeError, KeyError):  # it is not read either
        return


def _require_own(record: JobRecord, part: _Part, attempt: int, folder: str) -> None:
    """Raise ValueError unless the *record* is that of this job and attempt, in this folder."""
    job = part.job
    expected: list[tuple[str, Any, Any]] = [
        ("job", part.label, record.job),
        ("attempt", attempt, record.attempt),
        ("simulator", job.simulator, record.simulator),
        ("environment", job.environment.id, record.environment),
        ("policy", job.policy.type, record.policy),
        ("record_path", f"{folder}/record.json", record.record_path or f"{folder}/record.json"),
        ("episodes_path", f"{folder}/episodes.jsonl", record.episodes_path or f"{folder}/episodes.jsonl"),
    ]
    for key, wanted, got in expected:
        if got != wanted:
            raise ValueError(f"{key}: expected {wanted!r}, got {shown(got)}")
    if part.nodeid and record.nodeid is not None and not same_test(part.nodeid, record.nodeid):
        raise ValueError(f"nodeid: expected {part.nodeid!r}, as run.json says, got {shown(record.nodeid)}")
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


def _require_places(run: Path, record: JobRecord, own: set[str]) -> None:
    paths = {f"videos[{i}]": path for i, path in enumerate(record.videos)}
    paths |= {f"overview.{name}": path for name, path in record.overview.items()}
    if record.hdf5_path is not None:
        paths["hdf5_path"] = record.hdf5_path
    for key, path in paths.items():
        _require_place(run, key, path, own)


def _require_place(run: Path, key: str, path: str, own: Iterable[str]) -> None:
    """Raise ValueError unless *path*, relative to the run, is a file in a folder of *own*, or missing."""
    parts = PurePosixPath(path).parts
    if "\0" in path or len(parts) < 2 or parts[0] not in own or ".." in parts:
        raise ValueError(f"{key}: expected a file in {' or '.join(sorted(own)[:3])}, got {shown(path)}")
    try:
        _require_inside(run, run / path)
    except RunDirectoryError as error:
        raise ValueError(f"{key}: {error}") from None


def _check_episodes(run: Path, path: Path, record: JobRecord, part: _Part, own: set[str]) -> list[Episode]:
    """Return the episodes; ValueError with the number of the line where one is not of the job's schedule."""
    lines = list(numbered_episodes(path))
    measured = require_scheduled(part.job, record, lines, whole=bool(part.shards))
    trajectories: dict[str, int] = {}
    for number, episode in lines:
        try:
            _require_films(run, episode, own)
            if episode.trajectory is not None and episode.outcome != Outcome.ERROR:
                _require_trajectory(run, episode.trajectory, own, trajectories)
                trajectories[episode.trajectory] = number
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    told = record.episodes.get("measured", 0) + record.episodes.get("beyond", 0)
    if record.status == Status.COMPLETED and measured < told:
        raise ValueError(f"expected {told} measured episodes, as the job's record says, got {measured}")
    return [episode for _, episode in lines]


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
    """Raise `RunDirectoryError` unless *path* is missing, or a plain file (or *folder*) inside of *run*."""
    where = path.relative_to(run).as_posix()
    try:
        real = Path(os.path.realpath(path, strict=True))
        mode = real.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise RunDirectoryError(f"{where}: expected a file, got a link to nothing") from None
        return
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"{where}: {_reason(error)}") from None
    if not real.is_relative_to(run):
        raise RunDirectoryError(f"{where}: expected a file of the run, it is a link to {real}")
    if folder and path.is_symlink():  # it could be another job's, or a hidden one
        raise RunDirectoryError(f"{where}: expected a folder, it is a link to {real.relative_to(run)}")
    if not (stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode)):
        raise RunDirectoryError(
            f"{where}: expected {'a folder' if folder else 'a file'}, got {kind_of(mode)}"
        )


def _require_single(run: Path, path: Path) -> None:
    """A hidden film is cut where it lies: it must not be another file's content too."""
    if path.name.startswith(".") and path.stat().st_nlink > 1:
        where = path.relative_to(run).as_posix()
        raise RunDirectoryError(f"{where}: expected a file with a single name, it has several (hard links)")


def _key(name: str) -> str:
    return dotted((name,)) if dotted((name,)).startswith("[") else f".{name}"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)

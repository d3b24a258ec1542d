"""A LeRobotDataset of each job with trajectories, written by LeRobot's own class.

Row t has what the policy saw before step t, what it did, and what that brought. An episode of n steps has n
rows, so its last image, and its terminal observation, are left out.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_arena.errors import MissingDependencyError, RunDirectoryError
from pytest_arena.export.finished_run import (
    FinishedJob,
    FinishedRun,
    Written,
    beyond_the_gate,
    incomplete_jobs,
    quantity,
    success_of,
)
from pytest_arena.recorders.films.mp4 import address
from pytest_arena.records.hdf5_reader import DatasetError, DatasetReader
from pytest_arena.records.schema import Episode

FPS_WITHOUT_TIME = 30
"""For a simulator that has no notion of time."""
_ROWS_AT_ONCE = 64
_STATES = ("obs/policy", "obs/agent_pos")
"""Observations that LeRobot's policies know as ``observation.state``: of one array, and of LeRobot's own
environments."""

Frame = dict[str, Any]


@dataclass(frozen=True)
class _Track:
    """An array of the dataset, and what LeRobot calls it."""

    path: str
    feature: str
    shape: tuple[int, ...]
    """Of a row."""
    dtype: str
    """As LeRobot has it: a numpy dtype, or ``video``."""

    def rows(self, reader: DatasetReader, episode: int, first: int) -> NDArray[Any]:
        """Return up to `_ROWS_AT_ONCE` rows from *first* on, as LeRobot wants them."""
        rows = reader.rows(episode, self.path, first, first + _ROWS_AT_ONCE)
        dtype = rows.dtype if self.dtype == "video" else np.dtype(self.dtype)
        return rows.reshape((len(rows), *self.shape)).astype(dtype)


def write(run: FinishedRun, folder: Path) -> Written:
    """Write a dataset for each job of *run* that has trajectories, into a new folder of its name in *folder*.

    Raises `MissingDependencyError` without LeRobot, and `RunDirectoryError`, one line, where no job has
    trajectories, a folder is there already, or a file of the run is not what it must be.
    """
    try:
        from lerobot.datasets.lerobot_dataset import LeRobotDataset
    except ImportError as error:
        raise MissingDependencyError(
            f"lerobot-dataset needs LeRobot: pip install 'pytest-arena[lerobot]' ({error})"
        ) from None
    written = Written(notes=incomplete_jobs(run))
    for job in run.jobs:
        if job.record.hdf5_path is None:
            written.notes.append(f"{job.label}: left out, since it has no trajectories (record.trajectory)")
            continue
        target = folder / job.label
        if target.exists():
            raise RunDirectoryError(f"{target}: expected a new folder, it exists; name another by --output")
        try:
            written.notes += _write_job(run, job, target, LeRobotDataset)
        except BaseException as error:
            shutil.rmtree(target, ignore_errors=True)
            if isinstance(error, DatasetError):
                raise RunDirectoryError(str(error)) from None
            raise
        written.files.append(target)
    if not written.files:
        raise RunDirectoryError(f"{run.path}: no job of the run has trajectories (record.trajectory: true)")
    return written


def _write_job(run: FinishedRun, job: FinishedJob, target: Path, dataset_class: Any) -> list[str]:
    """Write the dataset of *job* to *target*; returns what it does not have."""
    reader = DatasetReader(_inside(run, str(job.record.hdf5_path)))
    try:
        episodes = [episode for episode in job.measured if episode.episode in reader]
        notes = [*beyond_the_gate(job), *_left_out(job, episodes)]
        if not episodes:
            raise RunDirectoryError(f"{job.label}: no measured episode has a trajectory")
        fps, told = _rate(job, reader)
        tracks = _tracks(reader, episodes[0].episode)
        films = _cameras(job, episodes, tracks)
        measured = all(success_of(episode) is not None for episode in episodes)
        notes += [*told, *films.notes]
        if not measured:
            notes.append(f"{job.label}: no next.success, since success was not measured in every episode")
        features = {track.feature: _feature(track.shape, track.dtype) for track in tracks}
        for camera, feature in films.features.items():
            first = next(_frames(_inside(run, episodes[0].videos[camera])))
            features[feature] = _feature(first.shape, "video")
        for name in ("next.done", *(["next.success"] if measured else [])):
            features[name] = _feature((1,), "bool")
        dataset = dataset_class.create(
            repo_id=job.label, fps=fps, features=features, root=target, use_videos=True
        )
        try:
            for episode in episodes:
                for frame in _rows(run, reader, episode, tracks, films.features):
                    ended = bool(frame["next.done"][0])
                    if measured:
                        frame["next.success"] = np.array([ended and success_of(episode) is True])
                    frame["task"] = job.instruction or job.label
                    dataset.add_frame(frame)
                dataset.save_episode()
        finally:
            dataset.finalize()
        return notes
    finally:
        reader.close()


def _left_out(job: FinishedJob, kept: Sequence[Episode]) -> list[str]:
    """Return a note on the episodes that are not among those *kept*."""
    lacking = len(job.measured) - len(kept)
    counts = ((job.errors, "with an error"), (lacking, "without a trajectory"))
    return [f"{job.label}: {quantity(n, 'episode')} {what} left out" for n, what in counts if n]


def _rate(job: FinishedJob, reader: DatasetReader) -> tuple[int, list[str]]:
    """Return the rows a second, a whole number as LeRobot has it, and a note where it is not the true one."""
    arguments = reader.env_args.get("sim_args")
    step_dt = arguments.get("step_dt") if isinstance(arguments, Mapping) else None
    if not isinstance(step_dt, int | float) or not 0 < step_dt <= 1:
        return FPS_WITHOUT_TIME, [f"{job.label}: fps is {FPS_WITHOUT_TIME}, since a step's time is not known"]
    exact = 1 / step_dt
    fps = max(1, round(exact))
    note = f"{job.label}: fps is {fps}, LeRobot's whole number for {exact:g} steps a second"
    return fps, [note] if abs(fps - exact) > 1e-6 * exact else []


def _tracks(reader: DatasetReader, episode: int) -> list[_Track]:
    """Return the arrays of the dataset by those of one *episode*; all have the same."""
    tracks = []
    paths = [path for root in ("obs", "actions", "rewards") for path in reader.parts(episode, root)]
    state = next((path for path in _STATES if path in paths), None)
    for path in paths:
        row = reader.rows(episode, path, 0, 1)[0]
        image = path.startswith("obs/") and row.dtype == np.uint8 and row.ndim == 3 and row.shape[2] == 3
        dtype = "video" if image else "float32" if row.dtype.kind == "f" else str(row.dtype)
        name = path.replace("/", ".")
        if image:
            feature = f"observation.images.{path.rpartition('/')[2]}"
        elif path == state and row.ndim == 1:
            feature = "observation.state"
        elif path == "rewards":
            feature = "next.reward"
        else:
            feature = name.replace("obs.", "observation.", 1).replace("actions", "action", 1)
        tracks.append(_Track(path, feature, row.shape or (1,), dtype))
    return tracks


@dataclass(frozen=True)
class _Films:
    """The cameras whose films become images of the dataset."""

    features: dict[str, str]
    """Camera -> what LeRobot calls it."""
    notes: list[str]


def _cameras(job: FinishedJob, episodes: Sequence[Episode], tracks: Sequence[_Track]) -> _Films:
    """Return the cameras that have a faithful film of each of *episodes*, and notes on the others."""
    taken, films = {track.feature for track in tracks}, _Films({}, [])
    for camera in dict.fromkeys(camera for episode in episodes for camera in episode.videos):
        filmed = sum(camera in e.videos and e.videos_note is None for e in episodes)
        feature = f"observation.images.{camera.replace('/', '_').replace('.', '_')}"
        if filmed < len(episodes):
            films.notes.append(
                f"{job.label}: the images of camera {camera!r} are left out: {filmed} of {len(episodes)} "
                "episodes have a faithful film (record.video: on keeps all)"
            )
        elif feature not in taken:
            films.features[camera] = feature
            taken.add(feature)
    return films


def _rows(
    run: FinishedRun,
    reader: DatasetReader,
    episode: Episode,
    tracks: Sequence[_Track],
    cameras: Mapping[str, str],
) -> Iterator[Frame]:
    """Yield the rows of *episode*, without what all rows of it have in common."""
    length, number = reader.length(episode.episode), episode.episode
    films = {
        feature: (episode.videos[camera], _frames(_inside(run, episode.videos[camera])))
        for camera, feature in cameras.items()
    }
    for first in range(0, length, _ROWS_AT_ONCE):
        arrays = {track.feature: track.rows(reader, number, first) for track in tracks}
        for row in range(min(_ROWS_AT_ONCE, length - first)):
            frame: Frame = {feature: rows[row] for feature, rows in arrays.items()}
            for feature, (path, frames) in films.items():
                image = next(frames, None)
                if image is None:
                    raise RunDirectoryError(f"{path}: expected a frame for each of {length} steps")
                frame[feature] = image
            frame["next.done"] = np.array([first + row == length - 1])
            yield frame


def _frames(film: Path) -> Iterator[NDArray[Any]]:
    """Yield the (H, W, 3) uint8 pictures of the mp4 *film*."""
    import av

    try:
        with av.open(address(film), format="mp4") as file:
            for frame in file.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except (OSError, av.FFmpegError) as error:
        raise RunDirectoryError(f"{film}: expected a film, it cannot be read: {error}") from None


def _feature(shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    names = ["height", "width", "channel"] if dtype == "video" else None
    return {"dtype": dtype, "shape": tuple(shape), "names": names}


def _inside(run: FinishedRun, relative: str) -> Path:
    """Return the path of a file that a record names; the record may come from anybody."""
    path = (run.path / relative).resolve()
    if not path.is_relative_to(run.path.resolve()):
        raise RunDirectoryError(f"{run.path}: expected files of the run in its records, got {relative}")
    return path

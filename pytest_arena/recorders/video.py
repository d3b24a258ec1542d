"""Films of a rollout: one mp4 for each episode, environment and camera.

Frame k is the image after k steps: frame 0 is the reset, the last one is the terminal image where the
simulator can give it (`Capabilities.terminal_frame`).
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from pytest_arena.errors import ArenaError, RecordingError, did_you_mean
from pytest_arena.recorders.base import EpisodeStart, Recorded, Recorder, RolloutContext
from pytest_arena.recorders.encoder import Encoder, Film
from pytest_arena.records.schema import Episode, Outcome
from pytest_arena.simulators.base import Action, Frames, IndexArray, Observation, SimEnv, Step

_LOG = logging.getLogger(__name__)

FPS_MAX = 60
FPS_WITHOUT_TIME = 30
"""For a simulator that has no notion of time."""


@dataclass(frozen=True, slots=True)
class _Shot:
    """The films of the episode that a row is in."""

    episode: int
    row: int
    films: Mapping[str, Film]

    def running(self) -> bool:
        return any(film.error is None for film in self.films.values())


@dataclass(frozen=True, slots=True)
class _Stage:
    """What is filmed: the environment between two rebuilds."""

    context: RolloutContext
    directory: Path
    cameras: Mapping[str, str]
    """Camera -> its name in file names."""
    fps: int
    ended_rows_show_next: bool
    """After a step, the image of a row that ended is its next episode's."""

    @property
    def env(self) -> SimEnv:
        return self.context.env


class VideoRecorder(Recorder):
    """Films each episode with each camera; ``retain-on-failure`` deletes the films of successes.

    A film that cannot be made costs the rollout nothing: it becomes a note in what `close` returns.
    """

    watches_steps: ClassVar[bool] = True

    def __init__(
        self,
        video: Literal["on", "retain-on-failure"],
        cameras: Sequence[str] | None = None,
        log: Callable[[str], None] = _LOG.info,
        *,
        required: bool = True,
    ) -> None:
        """Film with *cameras* (None: all that the environment has); *log* gets one line at the start.

        Unless films are *required*, an environment that cannot give images is a note, not an error.
        """
        self._required = required
        self._no_images: str | None = None
        self._video = video
        self._wanted = cameras
        self._log: Callable[[str], None] | None = log
        self._stage: _Stage | None = None
        self._encoder: Encoder | None = None
        self._shots: dict[int, _Shot] = {}
        self._ended: list[tuple[Film, str]] = []
        """Films to answer for in `close`, each with what a note calls it."""
        self._directories: set[Path] = set()
        self._recorded: Recorded | None = None

    def start(self, context: RolloutContext) -> None:
        """Choose the cameras. Raises `RecordingError` for one that the environment does not have."""
        self._drop_running()
        env, directory = context.env, context.directory / "videos"
        cameras = self._filmable(env, _choose(self._wanted, env.cameras))
        names = _file_names(env.cameras)
        self._stage = _Stage(
            context=context,
            directory=directory,
            cameras={camera: names[camera] for camera in cameras},
            fps=_frame_rate(env.step_dt),
            ended_rows_show_next=(
                env.capabilities.autoreset == "same_step" or not env.capabilities.terminal_frame
            ),
        )
        if not cameras:
            return
        self._directories.add(directory)
        self._encoder = self._encoder or Encoder()
        if self._log is not None:
            self._log(f"recording video ({self._video}) of {', '.join(cameras)} in {directory}")
            self._log = None

    def _filmable(self, env: SimEnv, cameras: Sequence[str]) -> Sequence[str]:
        if not cameras:
            return cameras
        try:
            env.check_frames()
        except RecordingError as error:
            if self._required:
                raise
            self._no_images = f"no videos: {error}"
            return ()
        return cameras

    def on_reset(self, rows: IndexArray, starts: Sequence[EpisodeStart], observation: Observation) -> None:
        """Open the rows' films and take frame 0."""
        stage, encoder = self._stage, self._encoder
        if stage is None or encoder is None or not stage.cameras:
            return
        shots = []
        for row, start in zip(rows.tolist(), starts, strict=True):
            if row in self._shots:
                self._drop(self._shots.pop(row))
            prefix = f"episode-{start.episode:04d}-env{row}"
            films = {
                camera: encoder.film(stage.directory / f"{prefix}-{name}.mp4", stage.fps)
                for camera, name in stage.cameras.items()
            }
            self._shots[row] = _Shot(start.episode, row, films)
            shots.append(self._shots[row])
        _shoot(stage.env, shots)

    def on_step(self, rows: IndexArray, actions: Action, step: Step) -> None:
        """Take one frame of every row whose image is still its episode's."""
        if self._stage is None or not self._shots:
            return
        if step.terminal_frames is not None:
            self._shoot_terminal(step, step.terminal_frames)
        gone = {end.env_idx for end in step.ends} if self._stage.ended_rows_show_next else ()
        shots = [self._shots[row] for row in rows.tolist() if row in self._shots and row not in gone]
        _shoot(self._stage.env, [shot for shot in shots if shot.running()])

    def _shoot_terminal(self, step: Step, frames: Frames) -> None:
        """Add the last images of rows that the simulator has reset already."""
        for index, end in enumerate(step.ends):
            if (shot := self._shots.get(end.env_idx)) is not None and shot.running():
                _add([shot], {camera: images[index : index + 1] for camera, images in frames.items()})

    def on_end(self, row: int, episode: Episode) -> None:
        """Keep or delete the row's films; the episode gets the paths, the encoding may still go on."""
        shot = self._shots.pop(row, None)
        if shot is None or self._stage is None:
            return
        if self._video == "retain-on-failure" and episode.outcome == Outcome.SUCCESS:
            self._drop(shot)
            return
        for camera, film in shot.films.items():
            film.finish()
            self._ended.append((film, _title(shot, camera)))
            if film.error is None:
                episode.videos[camera] = self._stage.context.relative(film.path)

    def close(self) -> Recorded:
        """Wait for the films that are kept, delete those of episodes that never ended."""
        if self._recorded is None:
            self._drop_running()
            if self._encoder is not None:
                self._encoder.close()
            for directory in self._directories:
                with contextlib.suppress(OSError):  # it stays unless it is empty
                    directory.rmdir()
            self._recorded = self._collect()
            self._stage = None
        return self._recorded

    def _collect(self) -> Recorded:
        videos, notes = [], [self._no_images] if self._no_images else []
        for film, title in self._ended:
            if film.published and self._stage is not None:
                videos.append(self._stage.context.relative(film.path))
            elif film.error is not None:
                notes.append(f"no video of {title}: {film.error}")
        return Recorded(videos=sorted(videos), notes=notes)

    def _drop_running(self) -> None:
        while self._shots:
            self._drop(self._shots.popitem()[1])

    def _drop(self, shot: _Shot) -> None:
        for camera, film in shot.films.items():
            film.discard()
            if film.error is not None:
                self._ended.append((film, _title(shot, camera)))


def _shoot(env: SimEnv, shots: Sequence[_Shot]) -> None:
    """Add the current image of each row to its films, with one call of the environment."""
    if not shots:
        return
    try:
        frames: Frames = env.frames(np.array([shot.row for shot in shots], np.int64))
    except ArenaError:  # the job's time limit rings wherever the loop is
        raise
    except Exception as error:
        for shot in shots:
            for film in shot.films.values():
                film.fail(f"frame {film.frames}: the environment gave none, {type(error).__name__}: {error}")
        return
    _add(shots, frames)


def _add(shots: Sequence[_Shot], frames: Frames) -> None:
    """Add one image of each camera to each shot; *frames* has their rows in their order."""
    for camera in shots[0].films:
        images = frames.get(camera)
        if isinstance(images, np.ndarray) and images.shape[:1] == (len(shots),):
            for shot, image in zip(shots, images, strict=True):
                shot.films[camera].add(image)
            continue
        got = f"{images.shape} {images.dtype}" if isinstance(images, np.ndarray) else repr(images)[:80]
        expected = f"({len(shots)}, H, W, 3) uint8 for {len(shots)} rows"
        for shot in shots:
            film = shot.films[camera]
            film.fail(f"frame {film.frames}: expected {expected}, the environment gave {got}")


def _choose(wanted: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    if wanted is None:
        return tuple(known)
    for camera in wanted:
        if camera not in known:
            has = f"it has {', '.join(known)}" if known else "it has no cameras"
            raise RecordingError(
                f"the environment has no camera {camera!r}{did_you_mean(camera, known)}; {has}"
            )
    return tuple(dict.fromkeys(wanted))


def _file_names(cameras: Iterable[str]) -> dict[str, str]:
    """Return camera -> a name that is safe in file names and no other camera's."""
    safe = {camera: re.sub(r"[^A-Za-z0-9._-]", "_", camera)[:100] or "_" for camera in cameras}
    names: dict[str, str] = {}
    taken: set[str] = set()
    # Cameras that need no change come first: they keep their names.
    for camera in sorted(safe, key=lambda camera: safe[camera] != camera):
        name, number = safe[camera], 2
        while name.casefold() in taken:
            name, number = f"{safe[camera]}-{number}", number + 1
        taken.add(name.casefold())
        names[camera] = name
    return names


def _frame_rate(step_dt: float) -> int:
    """Return frames a second for one frame a step of *step_dt* seconds, so that films run in real time."""
    if not step_dt > 0:
        return FPS_WITHOUT_TIME
    return max(1, min(FPS_MAX, round(1 / step_dt)))


def _title(shot: _Shot, camera: str) -> str:
    return f"episode {shot.episode}, environment {shot.row}, camera {camera!r}"

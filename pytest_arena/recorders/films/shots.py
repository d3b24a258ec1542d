"""What is filmed and how: cameras and their files, and one picture of every row at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from pytest_arena.errors import USERS_MISTAKE, RecordingError, not_among
from pytest_arena.guards.foreign_code import end_forked_child, forks, is_outcome
from pytest_arena.recorders.films.encoder import Encoder, Film
from pytest_arena.recorders.films.mp4 import Look, choose_codec
from pytest_arena.records.film_names import VIDEOS, film_name, names_of_cameras
from pytest_arena.rollout.observers import EpisodeStart, RolloutContext
from pytest_arena.simulators.base import Frames, IndexArray, SimEnv

FPS_MAX, FPS_MIN = 60, Fraction(1, 10)
FPS_DENOMINATOR_MAX = 1001
"""Of a fractional rate: 30000/1001 is that of television."""
FPS_WITHOUT_TIME = 30
"""For a simulator that has no notion of time."""


@dataclass(frozen=True, slots=True)
class Shot:
    """The films of the episode that a row is in."""

    episode: int
    row: int
    films: Mapping[str, Film]
    """Camera -> film."""

    def running(self) -> bool:
        """Whether a picture is still wanted."""
        return any(film.error is None for film in self.films.values())

    def title(self, camera: str) -> str:
        """Return what a note calls one of the films."""
        return f"episode {self.episode}, environment {self.row}, camera {camera!r}"


@dataclass(frozen=True, slots=True)
class Stage:
    """What is filmed: the environment between two rebuilds."""

    context: RolloutContext
    directory: Path
    cameras: Mapping[str, str]
    """Camera -> its name in file names."""
    look: Look
    ended_rows_show_next: bool
    """After a step, the image of a row that ended is its next episode's."""

    @classmethod
    def of(cls, context: RolloutContext, cameras: Sequence[str]) -> Stage:
        """Film *cameras* of the environment as the job's ``record`` has it.

        Raises `RecordingError` for an encoder that this machine lacks.
        """
        __tracebackhide__ = USERS_MISTAKE
        env, record = context.env, context.job.record
        assert env.cameras is not None, "asked for its cameras"
        names = names_of_cameras(env.cameras.names)
        size = record.video_size
        look = Look(
            fps=Fraction(record.video_fps or _frame_rate(env.step_dt)),
            size=None if size is None else (size.width + size.width % 2, size.height + size.height % 2),
            codec=choose_codec(record.video_codec) if cameras else record.video_codec,
        )
        next_shown = env.capabilities.autoreset == "same_step" or not env.capabilities.terminal_frame
        return cls(
            context=context,
            directory=context.directory / VIDEOS,
            cameras={camera: names[camera] for camera in cameras},
            look=look,
            ended_rows_show_next=next_shown,
        )

    @property
    def env(self) -> SimEnv:
        """The environment."""
        return self.context.env

    def begin(self, encoder: Encoder, start: EpisodeStart, row: int) -> Shot:
        """Open the films of an episode."""
        films = {
            camera: encoder.film(self.directory / film_name(start.episode, row, name), self.look)
            for camera, name in self.cameras.items()
        }
        return Shot(start.episode, row, films)

    def shoot(self, encoder: Encoder, shots: Sequence[Shot]) -> None:
        """Add the current image of each row to its films, with one call of the environment.

        Meanwhile *encoder* has the images before, and the films that ended.
        """
        encoder.release()
        assert self.env.cameras is not None, "asked for its cameras"
        self._add(shots, self.env.cameras.frames)

    def shoot_last(self, shots: Sequence[Shot]) -> None:
        """Add the last images of rows that the environment has reset already, where it still has them."""
        assert self.env.cameras is not None, "asked for its cameras"
        self._add(shots, self.env.cameras.last_frames)

    def _add(self, shots: Sequence[Shot], images_of: Callable[[IndexArray], Frames | None]) -> None:
        shots = [shot for shot in shots if shot.running()]
        if not shots:
            return
        before = forks()
        try:
            frames = images_of(np.array([shot.row for shot in shots], np.int64))
            end_forked_child(before)
        except Exception as error:
            if is_outcome(error):
                raise
            reason = f"the environment gave none, {type(error).__name__}: {error}"
            for shot in shots:
                for film in shot.films.values():
                    film.fail(f"frame {film.frames}: {reason}")
            return
        if frames is not None:
            add_frames(shots, frames)


def add_frames(shots: Sequence[Shot], frames: Frames) -> None:
    """Add an image of each camera to the films of each shot; *frames* has their rows, in their order."""
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


def choose_cameras(wanted: Sequence[str] | None, known: Sequence[str], job: str) -> tuple[str, ...]:
    """Return the cameras to film *job* with: all that are *known*, or those *wanted*.

    Raises `RecordingError` for one that the environment does not have.
    """
    __tracebackhide__ = USERS_MISTAKE
    if wanted is None:
        return tuple(known)
    for camera in wanted:
        if camera not in known:
            raise RecordingError(
                f"job {job!r}: record.cameras: the environment has no camera {camera!r}"
                f"{not_among(camera, known, 'it has no cameras')}"
            )
    return tuple(dict.fromkeys(wanted))


def _frame_rate(step_dt: float) -> Fraction:
    """Return frames a second for one frame a step of *step_dt* seconds, so that films run in real time."""
    if not 0 < step_dt < math.inf:  # NaN, too
        return Fraction(FPS_WITHOUT_TIME)
    if step_dt * FPS_MAX <= 1:
        return Fraction(FPS_MAX)
    return max(FPS_MIN, Fraction(1 / step_dt).limit_denominator(FPS_DENOMINATOR_MAX))

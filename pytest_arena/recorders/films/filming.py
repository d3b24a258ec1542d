"""Films of the episodes of a job, from the first picture to the note on what was lost.

`Filming` owns all films, those that are made live and those of episodes that are played again.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pytest_arena.errors import USERS_MISTAKE
from pytest_arena.guards.foreign_code import end_forked_child, forks, is_outcome
from pytest_arena.jobs.sections import Record
from pytest_arena.recorders.films.encoder import Encoder
from pytest_arena.recorders.films.film import Film, FilmState
from pytest_arena.recorders.films.mp4 import FilmFormat, choose_codec
from pytest_arena.records.film_names import VIDEOS, film_name, names_of_cameras
from pytest_arena.records.schema import Episode
from pytest_arena.rollout.recorder import Recorded, RolloutContext
from pytest_arena.rollout.schedule import EpisodeStart
from pytest_arena.simulators.array_types import IndexArray
from pytest_arena.simulators.base import Step
from pytest_arena.simulators.cameras import Cameras, Frames

ROWS_AT_ONCE = 64
"""Rows that are filmed at the same time unless the job names others: each has an encoder a camera open, which
costs memory."""

FPS_MAX, FPS_MIN = 60, Fraction(1, 10)
FPS_DENOMINATOR_MAX = 1001
"""Of a fractional rate: 30000/1001 is that of television."""
FPS_WITHOUT_TIME = 30
"""For a simulator that has no notion of time."""


@dataclass(frozen=True, slots=True)
class _Setting:
    """How one environment is filmed."""

    context: RolloutContext
    cameras: Cameras
    names: Mapping[str, str]
    """Camera → its name in the names of files."""
    form: FilmFormat
    ended_rows_show_next: bool
    """After a step, the image of a row that ended is its next episode's."""


class Filming:
    """Begins, finishes and discards films, and tells in the end what became of them."""

    def __init__(self) -> None:
        self._setting: _Setting | None = None
        self._encoder: Encoder | None = None
        self._running: dict[int, list[Film]] = {}
        """Row → films of the episode that it is in, one a camera."""
        self._ended: list[Film] = []
        """Films of episodes that ended, in that order, and those that had failed when they were discarded."""

    def start(self, context: RolloutContext, cameras: Iterable[str]) -> None:
        """Film these *cameras* of the context's environment, which has them, as the job's ``record`` has it.

        Raises `RecordingError` for an encoder that this machine lacks.
        """
        __tracebackhide__ = USERS_MISTAKE
        env = context.env
        assert env.cameras is not None, "it has these cameras"
        names = names_of_cameras(env.cameras.names)
        self._setting = _Setting(
            context=context,
            cameras=env.cameras,
            names={camera: names[camera] for camera in cameras},
            form=_film_format(context.job.record, env.step_dt),
            ended_rows_show_next=env.capabilities.autoreset == "same_step"
            or not env.capabilities.terminal_frame,
        )

    @property
    def rows(self) -> set[int]:
        """The rows that are being filmed."""
        return set(self._running)

    def begin(self, starts: Mapping[int, EpisodeStart]) -> None:
        """Open the films of the episodes that rows begin, and take their frame 0."""
        if not starts:
            return
        assert self._setting is not None, "started"
        self._encoder = self._encoder or Encoder()
        videos, form = self._setting.context.directory / VIDEOS, self._setting.form
        for row, start in starts.items():
            self.discard(row)
            for camera, name in self._setting.names.items():
                path = videos / film_name(start.episode, row, name)
                title = f"episode {start.episode}, environment {row}, camera {camera!r}"
                film = Film(path, form, self._encoder, camera, title)
                self._running.setdefault(row, []).append(film)
        self._encoder.release()
        self._take_pictures(starts, self._setting.cameras.frames)

    def after_step(self, rows: IndexArray, step: Step) -> None:
        """Take a picture of each of *rows* whose image is still its episode's, or which the environment kept.

        Meanwhile the encoder has the pictures before, and the films that ended.
        """
        if self._encoder is None or self._setting is None:
            return
        gone = [end.env_idx for end in step.ends] if self._setting.ended_rows_show_next else []
        self._take_pictures(gone, self._setting.cameras.last_frames, of_all=False)
        self._encoder.release()
        self._take_pictures([r for r in rows.tolist() if r not in gone], self._setting.cameras.frames)

    def finish(self, row: int, episode: Episode) -> None:
        """Keep the films of *row*: the *episode* gets their paths, the encoding may still go on."""
        for film in self._running.pop(row):
            film.finish()
            film.episode = episode
            self._ended.append(film)
            if film.state is not FilmState.FAILED:
                episode.videos[film.camera] = self._path_of(film)

    def discard(self, row: int) -> None:
        """Delete the films of *row*, if it is being filmed."""
        for film in self._running.pop(row, ()):
            film.discard()
            if film.state is FilmState.FAILED:
                self._ended.append(film)

    def discard_running(self) -> None:
        """Delete the films of all episodes that have not ended."""
        for row in self.rows:
            self.discard(row)

    def release(self) -> None:
        """Have the encoder publish the films that ended: nothing will come for a while."""
        if self._encoder is not None:
            self._encoder.release()

    def without_first_picture(self, rows: Iterable[int]) -> Film | None:
        """Return a film of *rows* that has no pictures, unless the films of an episode have ended already."""
        begun = (self._running.get(row, ()) for row in rows)
        films = () if self._ended else itertools.chain.from_iterable(begun)
        return next((film for film in films if film.pictures_refused), None)

    def without_any_picture(self) -> Film | None:
        """Return the first film of an episode that ended, where all failed for their pictures."""
        refused = [film.pictures_refused for film in self._ended]
        return self._ended[0] if refused and all(refused) else None

    def close(self, found: Recorded) -> None:
        """Wait for the films that are kept, and enter into *found* what became of all."""
        self.discard_running()
        if self._encoder is not None:
            self._encoder.close()
        if self._setting is not None:
            with contextlib.suppress(OSError):  # the folder stays unless it is empty
                (self._setting.context.directory / VIDEOS).rmdir()
        lost: dict[tuple[str, str], list[str]] = {}
        for film in self._ended:
            if film.state is FilmState.PUBLISHED:
                found.videos.append(self._path_of(film))
                continue
            lost.setdefault((film.camera, str(film.error)), []).append(film.title)
            if film.episode is not None and film.episode.videos.pop(film.camera, None) is not None:
                found.revised = True
        for (_, reason), (title, *more) in lost.items():
            others = f", and of {len(more)} more by this camera" if more else ""
            add_note(found, f"no video of {title}{others}: {reason}")
        found.videos.sort()

    def _path_of(self, film: Film) -> str:
        assert self._setting is not None, "films are kept between start and close"
        return self._setting.context.relative(film.path)

    def _take_pictures(
        self,
        rows: Iterable[int],
        images_of: Callable[[IndexArray], Frames | None],
        *,
        of_all: bool = True,
    ) -> None:
        """Add an image of each row to its films, with one call of the environment; *of_all*: to each film."""
        shooting = {
            row: self._running[row]
            for row in rows
            if any(film.state is FilmState.SHOOTING for film in self._running.get(row, ()))
        }
        if not shooting:
            return
        before = forks()
        try:
            frames = images_of(np.array(list(shooting), np.int64))
            end_forked_child(before)
        except Exception as error:
            if is_outcome(error):
                raise
            reason = f"the environment gave none, {type(error).__name__}: {error}"
            for film in itertools.chain(*shooting.values()):
                film.refuse(f"frame {film.frames}: {reason}")
            return
        if frames is not None:
            for films in zip(*shooting.values(), strict=True):
                if of_all or films[0].camera in frames:
                    _add_pictures(films, frames.get(films[0].camera))


def add_note(found: Recorded, text: str) -> None:
    """Add a note that is not there yet: a rebuild may say the same."""
    if text not in found.notes:
        found.notes.append(text)


def _add_pictures(films: Sequence[Film], images: object) -> None:
    """Add an image to each of K *films* of a camera; the environment gave *images* for them, (K, …)."""
    if isinstance(images, np.ndarray) and images.shape[:1] == (len(films),):
        for film, image in zip(films, images, strict=True):
            film.add(image)
        return
    got = f"{images.shape} {images.dtype}" if isinstance(images, np.ndarray) else repr(images)[:80]
    expected = f"({len(films)}, H, W, 3) uint8 for {len(films)} rows"
    for film in films:
        film.refuse(f"frame {film.frames}: expected {expected}, the environment gave {got}")


def _film_format(record: Record, step_dt: float) -> FilmFormat:
    size = record.video_size
    return FilmFormat(
        fps=Fraction(record.video_fps or _frame_rate(step_dt)),
        size=None if size is None else (size.width + size.width % 2, size.height + size.height % 2),
        codec=choose_codec(record.video_codec),
    )


def _frame_rate(step_dt: float) -> Fraction:
    """Return frames a second for one frame a step of *step_dt* seconds, so that films run in real time."""
    if not 0 < step_dt < math.inf:  # NaN, too
        return Fraction(FPS_WITHOUT_TIME)
    if step_dt * FPS_MAX <= 1:
        return Fraction(FPS_MAX)
    return max(FPS_MIN, Fraction(1 / step_dt).limit_denominator(FPS_DENOMINATOR_MAX))

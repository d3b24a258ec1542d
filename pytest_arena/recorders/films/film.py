"""A film of one episode by one camera, from its first picture to its file."""

from __future__ import annotations

import threading
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_arena.errors import RecordingError
from pytest_arena.recorders.films.colours import as_rgb, kind_of_image
from pytest_arena.recorders.films.encoder import Encoder
from pytest_arena.recorders.films.mp4 import FilmFormat, Mp4File
from pytest_arena.records.schema import Episode

SIDE_MAX = 8192
"""In pixels: as large as a job's cameras may be."""

_EXPECTED = (
    "expected an (H, W, 3) uint8 array (or (H, W): floats of a depth, integers of a segmentation camera)"
)


class FilmState(StrEnum):
    """The states of a film; the last three are final."""

    SHOOTING = "shooting"
    """It takes pictures."""
    FINISHING = "finishing"
    """It has all its pictures, some of which may not be encoded yet."""
    PUBLISHED = "published"
    """The file is complete and has its name."""
    DISCARDED = "discarded"
    """It is not wanted, and has no file."""
    FAILED = "failed"
    """There is no film, for a reason."""


_MAY_BECOME: dict[FilmState, tuple[FilmState, ...]] = {
    FilmState.SHOOTING: (FilmState.FINISHING, FilmState.DISCARDED, FilmState.FAILED),
    FilmState.FINISHING: (FilmState.PUBLISHED, FilmState.FAILED),
}


class Film:
    """One film, for use from one thread: calls return at once unless the encoder has too much to do.

    Its state is final after `Encoder.close`. A film that is neither published nor being made has no file.
    """

    def __init__(
        self, path: Path, form: FilmFormat, encoder: Encoder, camera: str = "", title: str = ""
    ) -> None:
        """Begin a film that will be published at *path*; the file is opened at the first picture.

        Its pictures are by *camera*, and it is encoded as *form* says, by *encoder*; notes call it *title*.
        """
        self.path, self.camera, self.title = path, camera, title
        self.episode: Episode | None = None
        """The episode that it shows and that has its path, once that has ended and is kept."""
        self.state = FilmState.SHOOTING
        self.error: str | None = None
        """Why the film failed; text alone, since a kept traceback would keep the pictures alive."""
        self.pictures_refused = False
        """The film failed for what was given as its pictures, which is known at once."""
        self.frames = 0
        """Pictures given so far."""
        self._first: tuple[tuple[int, ...], np.dtype[Any]] | None = None
        """Shape and dtype of the first picture."""
        self._mp4 = Mp4File(path, form)
        self._transition = threading.Lock()
        self._thread = encoder.thread_for(self)

    def add(self, picture: NDArray[Any]) -> None:
        """Append *picture*, which is the film's from now on; waits for room. Nothing unless it is shooting.

        It is (H, W, 3) uint8 RGB, or depth or segmentation as `colours` has them. The film fails for what is
        not such a picture, or not of the first one's size and type.
        """
        if self.state is not FilmState.SHOOTING:
            return
        problem = self._problem_with(picture)
        if problem is not None:
            self.refuse(f"frame {self.frames}: {problem}")
            return
        self._first = self._first or (picture.shape, picture.dtype)
        self.frames += 1
        self._thread.hold(partial(self._encode, picture, self.frames), picture.nbytes)
        self._thread.relieve()  # last: an interrupt may end the wait

    def refuse(self, reason: str) -> None:
        """There will be no film, because of *reason*: no picture was given."""
        if self._become(FilmState.FAILED, reason):
            self.pictures_refused = True

    def finish(self) -> None:
        """All pictures were given: publish the film, after the next `Encoder.release`; waits for nothing."""
        self._become(FilmState.FINISHING)
        self._end()

    def discard(self) -> None:
        """Delete the film, and do not encode what still waits; waits for nothing."""
        self._become(FilmState.DISCARDED)
        self._end()

    def _become(self, state: FilmState, reason: str | None = None) -> bool:
        """Pass over to *state* where the present one allows it; returns whether it does.

        All transitions are here. They come from the rollout's thread and from the encoder's.
        """
        with self._transition:
            if state not in _MAY_BECOME.get(self.state, ()):
                return False
            self.state, self.error = state, reason
            return True

    def _end(self) -> None:
        if self in self._thread.films:
            self._thread.hold(partial(self._close, self.frames))
            self._thread.films.discard(self)

    def _problem_with(self, picture: object) -> str | None:
        if not isinstance(picture, np.ndarray):
            return f"{_EXPECTED}, got {type(picture).__name__}"
        if picture.ndim > 1 and max(picture.shape[:2]) > SIDE_MAX:
            return f"expected at most {SIDE_MAX} x {SIDE_MAX} pixels, got {picture.shape} {picture.dtype}"
        if kind_of_image(picture) is None:
            return f"{_EXPECTED}, got {picture.shape} {picture.dtype}"
        if self._first is not None and self._first != (picture.shape, picture.dtype):
            shape, dtype = self._first
            return f"expected {shape} {dtype} as in the frames before, got {picture.shape} {picture.dtype}"
        return None

    # What follows runs on the encoder's thread. An error there ends this film alone. After an interrupt of
    # the rollout the same work may come twice.

    def _encode(self, picture: NDArray[Any], number: int) -> None:
        if self.state in (FilmState.DISCARDED, FilmState.FAILED) or number <= self._mp4.frames:
            return
        try:
            self._mp4.write(as_rgb(picture))
        except RecordingError as error:
            self._lose(f"frame {self._mp4.frames}: {error}")
        except Exception as error:
            self._lose(f"{type(error).__name__}: {error}")

    def _close(self, frames: int) -> None:
        """Publish a film that has *frames* pictures, and delete what is not published."""
        try:
            if self.state is FilmState.FINISHING:
                self._mp4.publish(frames)
                self._become(FilmState.PUBLISHED)
        except Exception as error:
            self._become(FilmState.FAILED, f"{type(error).__name__}: {error}")
        finally:
            self._mp4.drop()

    def _lose(self, reason: str) -> None:
        self._become(FilmState.FAILED, reason)
        self._mp4.drop()

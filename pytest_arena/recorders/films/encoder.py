"""Films while they are shot: encoded frame by frame on a few background threads.

An `Encoder` owns the threads and hands out one `Film` for each episode and camera. Their queues are bounded:
who gives frames faster than they can be encoded waits, and no frame is dropped.

Threads slow down a loop that is bound by Python: whenever they want the interpreter's lock, both sides wait.
So a step's frames are held until the next ones are rendered (`Encoder.release`): then the loop is in a
renderer, or waits for a device, and the lock is free.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_arena.errors import RecordingError
from pytest_arena.recorders.films.colours import as_rgb, kind_of
from pytest_arena.recorders.films.mp4 import Look, Mp4File

THREADS = max(2, min(8, len(os.sched_getaffinity(0)) // 4))
"""Two keep up with most simulators; with more cores, more than a quarter would be missed by the physics."""
QUEUE_BYTES = 8 * 2**20
"""Frames that may wait for one thread, and half as many that are held: 42 of 256 x 256, 10 of 512 x 512 …"""
QUEUE_STEPS = 2
"""… and at least so many of each of its films: encoding overlaps with the next step, whatever their size."""

SIDE_MAX = 8192
"""In pixels: as large as a job's cameras may be."""

_EXPECTED = (
    "expected an (H, W, 3) uint8 array (or (H, W): floats of a depth, integers of a segmentation camera)"
)

_Work = Callable[[], None]


class Film:
    """One film, as who shoots it sees it: calls return at once unless its thread has too much to do.

    `published` and `error` are final after `Encoder.close`.
    """

    def __init__(self, path: Path, look: Look, thread: _EncodingThread) -> None:
        self.path = path
        self.frames = 0
        """Frames given so far."""
        self.published = False
        """The file is complete and has its name."""
        self.error: str | None = None
        """Why there is no film; text alone, since a kept traceback would keep the frames alive."""
        self.refused = False
        """It is what was given as its pictures that it failed for; known at once."""
        self._mp4 = Mp4File(path, look)
        self._thread = thread
        self._first: tuple[tuple[int, ...], np.dtype[Any]] | None = None
        """Shape and dtype of the first frame."""
        self._dropped = False
        self._ended = False

    def add(self, frame: NDArray[Any]) -> None:
        """Append *frame*, which is the film's from now on; waits for room.

        It is (H, W, 3) uint8 RGB, or depth or segmentation as `colours` has them. What is not such an image,
        or not of the first one's size and type, ends the film with an `error`.
        """
        if self.error is not None or self._ended:
            return
        problem = self._problem_with(frame)
        if problem is not None:
            self.fail(f"frame {self.frames}: {problem}")
            return
        self._first = self._first or (frame.shape, frame.dtype)
        self.frames += 1
        self._thread.hold(partial(self._encode, frame, self.frames), frame.nbytes)
        self._thread.relieve()  # last: an interrupt may end the wait

    def fail(self, reason: str) -> None:
        """There will be no film, because of *reason*: no picture was given. The first reason stays."""
        self.refused = self.refused or self.error is None
        self._lose(reason)

    def _lose(self, reason: str) -> None:
        self.error = self.error or reason

    def finish(self) -> None:
        """All frames were given: publish the film, after the next `Encoder.release`; waits for nothing."""
        self._end(partial(self._publish, self.frames))

    def discard(self) -> None:
        """Delete the film, and do not encode what still waits; waits for nothing."""
        self._dropped = True
        self._end(self._mp4.drop)

    def _end(self, work: _Work) -> None:
        if not self._ended:
            self._ended = True
            self._thread.films -= 1
            self._thread.hold(work)

    def _problem_with(self, frame: object) -> str | None:
        if not isinstance(frame, np.ndarray):
            return f"{_EXPECTED}, got {type(frame).__name__}"
        if frame.ndim > 1 and max(frame.shape[:2]) > SIDE_MAX:
            return f"expected at most {SIDE_MAX} x {SIDE_MAX} pixels, got {frame.shape} {frame.dtype}"
        if kind_of(frame) is None:
            return f"{_EXPECTED}, got {frame.shape} {frame.dtype}"
        if self._first is not None and self._first != (frame.shape, frame.dtype):
            shape, dtype = self._first
            return f"expected {shape} {dtype} as in the frames before, got {frame.shape} {frame.dtype}"
        return None

    # What follows runs on the thread. Whatever goes wrong ends this film alone. Work may come twice: after an
    # interrupt of who shoots.

    def _encode(self, frame: NDArray[Any], number: int) -> None:
        if self._dropped or self.error is not None or number <= self._mp4.frames:
            return
        try:
            self._mp4.write(as_rgb(frame))
        except RecordingError as error:
            self._lose(f"frame {self._mp4.frames}: {error}")
            self._mp4.drop()
        except Exception as error:
            self._lose(f"{type(error).__name__}: {error}")
            self._mp4.drop()

    def _publish(self, frames: int) -> None:
        try:
            if self.error is None and not self.published:
                self._mp4.publish(frames)
                self.published = True
        except Exception as error:
            self._lose(f"{type(error).__name__}: {error}")
        finally:
            self._mp4.drop()


class Encoder:
    """Encodes any number of films on a few threads; for use from one thread."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = [_EncodingThread(f"arena-encoder-{i}") for i in range(threads)]

    def film(self, path: Path, look: Look) -> Film:
        """Begin a film that will be published at *path*; the file is opened at its first frame."""
        # A film stays on its thread: that keeps its frames in order.
        thread = min(self._threads, key=lambda thread: thread.films)
        thread.films += 1
        return Film(path, look, thread)

    def release(self) -> None:
        """Let the threads have what was added since the last call; waits for room.

        To be called when the loop will be busy outside Python for a while. An interrupt loses nothing.
        """
        for thread in self._threads:
            thread.release()

    def close(self) -> None:
        """Wait until every film that was finished is published, and end the threads."""
        for thread in self._threads:
            thread.stop()
        for thread in self._threads:
            thread.join()


class _WorkQueue(Queue[tuple[int, _Work | None]]):
    """Work in order, bounded by the bytes that it holds on to rather than by its number."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._bytes = 0

    def _qsize(self) -> int:
        return self._bytes

    def _put(self, item: tuple[int, _Work | None]) -> None:
        super()._put(item)
        self._bytes += item[0]

    def _get(self) -> tuple[int, _Work | None]:
        item = super()._get()
        self._bytes -= item[0]
        return item


class _EncodingThread:
    """A thread that works through a bounded queue, in order."""

    def __init__(self, name: str) -> None:
        self.films = 0
        """Open films; kept by the side that shoots."""
        self._queue = _WorkQueue(QUEUE_BYTES)
        self._held: deque[tuple[int, _Work]] = deque()
        self._held_bytes = 0
        # A daemon, so that a process that is told twice to end can do so.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def hold(self, work: _Work, size: int = 1) -> None:
        """Add *work*, which holds *size* bytes."""
        if size > 1:
            self._queue.maxsize = max(QUEUE_BYTES, QUEUE_STEPS * self.films * size)
        self._held.append((size, work))
        self._held_bytes += size

    def relieve(self) -> None:
        """Release what is held if it is so much that its encoding should begin."""
        if 2 * self._held_bytes > QUEUE_BYTES:
            self.release()

    def release(self) -> None:
        """Queue what is held; waits while the queue is full."""
        while self._held:
            self._queue.put(self._held[0])
            size, _ = self._held.popleft()  # not before: an interrupt would lose it
            self._held_bytes -= size

    def stop(self) -> None:
        if self._thread.is_alive():
            self.release()
            self._queue.put((1, None))

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        while (work := self._queue.get()[1]) is not None:
            work()
            del work  # it holds a frame, and the next one may be long in coming

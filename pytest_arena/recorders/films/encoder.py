"""A few background threads that encode films frame by frame.

Each film is encoded by one of them, in order. Their queues are bounded: a rollout that gives frames faster
than they can be encoded waits, and no frame is dropped.

Threads slow down a loop that is bound by Python, because both need the interpreter's lock. So the frames of a
step are held until the next ones are rendered (`Encoder.release`): then the loop is in a renderer, or waits
for a device, and the lock is free.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Hashable
from queue import Queue

THREADS = max(2, min(8, len(os.sched_getaffinity(0)) // 4))
"""Two keep up with most simulators. Of many cores they take a quarter: the physics needs the others."""
QUEUE_BYTES = 8 * 2**20
"""Frames that may wait for one thread: 42 of 256 x 256, 10 of 512 x 512; half as many are held besides."""
QUEUE_STEPS = 2
"""So many frames of each film may always wait: encoding overlaps with the next step, whatever their size."""

_Work = Callable[[], None]


class Encoder:
    """Encodes any number of films on a few threads; for use from one thread."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = [EncodingThread(f"arena-encoder-{i}") for i in range(threads)]

    def thread_for(self, film: Hashable) -> EncodingThread:
        """Return the thread of an open *film*: the one with the fewest; the film takes itself off it."""
        thread = min(self._threads, key=lambda thread: len(thread.films))
        thread.films.add(film)
        return thread

    def release(self) -> None:
        """Give the threads what was added since the last call; waits for room in their queues.

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


class EncodingThread:
    """A thread that works through a bounded queue, in order."""

    def __init__(self, name: str) -> None:
        self.films: set[Hashable] = set()
        """Films that still take pictures; only the thread of the rollout looks at them."""
        self._queue = _WorkQueue(QUEUE_BYTES)
        self._held: deque[tuple[int, _Work]] = deque()
        self._held_bytes = 0
        # A daemon, so that a second interrupt ends the process.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def hold(self, work: _Work, size: int = 1) -> None:
        """Add *work*, which holds *size* bytes."""
        if size > 1:
            self._queue.maxsize = max(QUEUE_BYTES, QUEUE_STEPS * len(self.films) * size)
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
        """End the thread after all work that was given; again does nothing."""
        if self._thread.is_alive():
            self.release()
            self._queue.put((1, None))

    def join(self) -> None:
        """Wait for the end of the thread."""
        self._thread.join()

    def _run(self) -> None:
        while (work := self._queue.get()[1]) is not None:
            work()
            del work  # it holds a frame, and the queue may stay empty for long

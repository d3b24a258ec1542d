"""Films while they are shot: H.264 in mp4, encoded frame by frame on a few background threads.

An `Encoder` owns the threads and hands out one `Film` for each episode and camera. Memory is bounded by
`QUEUE_FRAMES` a thread: who gives frames faster than they can be encoded waits, and no frame is dropped.

Which codec, and how it is set, is decided in `Mp4File` alone.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from io import FileIO
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pytest_arena.errors import RecordingError

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

THREADS = 2
"""Two keep up with most simulators; more would take cores from the physics."""
QUEUE_FRAMES = 64
"""Frames that may wait for one thread."""
KEYFRAME_INTERVAL = 30
"""In frames: what a viewer seeks over, and the most that a killed process loses of an open film."""

_FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
_FASTSTART = {"movflags": "faststart"}
# RGB is converted with the BT.601 matrix in limited range. Saying so keeps players from guessing by size.
_BT601 = 6
_LIMITED_RANGE = 1

_Work = Callable[[], None]


class Mp4File:
    """One mp4 file that grows frame by frame, in a hidden working file until it is published.

    The working file is a fragmented mp4: what was written can be played even if the process is killed.
    Belongs to the one thread that calls it.
    """

    def __init__(self, path: Path, fps: int) -> None:
        self.path = path
        self._fps = fps
        self._working = path.with_name(f".{path.name}.part")
        self._indexed = path.with_name(f".{path.name}.faststart.part")
        self._file: FileIO | None = None
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._frames = 0

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Append *frame*, (H, W, 3) RGB; an odd side is padded by repeating its last pixel."""
        import av

        frame = _even(frame)
        if self._container is None or self._stream is None:
            self._container, self._stream = self._open(frame.shape[0], frame.shape[1])
        image = av.VideoFrame.from_numpy_buffer(frame, format="rgb24")
        image.pts = self._frames
        image.time_base = Fraction(1, self._fps)
        self._container.mux(self._stream.encode(image))
        self._frames += 1

    def publish(self, frames: int) -> None:
        """Complete the film and give it its name; *frames* is how many it must have."""
        if self._container is None or self._stream is None:
            raise RecordingError("no frame was given")
        self._container.mux(self._stream.encode(None))
        self._container.close()
        found = self._remux()
        if found != frames:
            raise RecordingError(f"expected {frames} frames in the file, found {found}")
        _name_exclusively(self._indexed, self.path)

    def drop(self) -> None:
        """Close and delete whatever is still unpublished."""
        with contextlib.suppress(Exception):  # the disk may be full: closing writes, too
            if self._container is not None:
                self._container.close()
        if self._file is not None:
            self._file.close()
        self._file = self._container = self._stream = None
        for path in (self._working, self._indexed):
            with contextlib.suppress(OSError):
                path.unlink()

    def _open(self, height: int, width: int) -> tuple[OutputContainer, VideoStream]:
        import av

        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A file of our own: each fragment reaches the disk at once, and it is closed even where the disk
        # has no room for the header. FFmpeg's own would hold fragments back, and leak in that case.
        self._file = self._working.open("wb", buffering=0)
        container = av.open(self._file, "w", format="mp4", options=_FRAGMENTED)
        stream = container.add_stream("libx264", self._fps, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        codec = stream.codec_context
        codec.time_base = Fraction(1, self._fps)
        codec.gop_size = KEYFRAME_INTERVAL
        codec.colorspace, codec.color_range = _BT601, _LIMITED_RANGE
        # Films run side by side already; threads within each would be one a core and film.
        codec.thread_count = 1
        return container, stream

    def _remux(self) -> int:
        """Copy the packets into an ordinary mp4 with its index first; returns the frames in it."""
        import av

        with (
            av.open(str(self._working), format="mp4") as source,
            av.open(str(self._indexed), "w", format="mp4", options=_FASTSTART) as target,
        ):
            stream = target.add_stream_from_template(source.streams.video[0])
            start: int | None = None
            for packet in source.demux(video=0):
                if packet.dts is None or packet.pts is None:  # the end of the stream
                    continue
                # A fragmented file begins late by the depth of reordering; frame k belongs at k / fps.
                start = packet.pts if start is None else start
                packet.pts -= start
                packet.dts -= start
                packet.stream = stream
                target.mux(packet)
        with av.open(str(self._indexed), format="mp4") as film:
            return film.streams.video[0].frames


class Film:
    """One film, as who shoots it sees it: calls return at once unless the thread's queue is full.

    `published` and `error` are final after `Encoder.close`.
    """

    def __init__(self, path: Path, fps: int, thread: _EncodingThread) -> None:
        self.path = path
        self.frames = 0
        """Frames given so far."""
        self.published = False
        """The file is complete and has its name."""
        self.error: str | None = None
        """Why there is no film; text alone, since a kept traceback would keep the frames alive."""
        self._mp4 = Mp4File(path, fps)
        self._thread = thread
        self._shape: tuple[int, ...] | None = None
        self._dropped = False
        self._ended = False

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Append *frame*, (H, W, 3) uint8 RGB, which is the film's from now on; waits for room.

        What is not such an image, or not of the first one's size, ends the film with an `error`.
        """
        if self.error is not None or self._ended:
            return
        problem = self._problem_with(frame)
        if problem is not None:
            self.fail(f"frame {self.frames}: {problem}")
            return
        self._shape = frame.shape
        self._thread.put(partial(self._encode, frame))
        self.frames += 1  # after the wait, which an interrupt may end

    def fail(self, reason: str) -> None:
        """There will be no film, because of *reason*; the first reason stays."""
        self.error = self.error or reason

    def finish(self) -> None:
        """All frames were given: publish the film, later."""
        self._end(partial(self._publish, self.frames))

    def discard(self) -> None:
        """Delete the film, and do not encode what still waits."""
        self._dropped = True
        self._end(self._mp4.drop)

    def _end(self, work: _Work) -> None:
        if not self._ended:
            self._ended = True
            self._thread.films -= 1
            self._thread.put(work)

    def _problem_with(self, frame: object) -> str | None:
        if not isinstance(frame, np.ndarray):
            return f"expected an (H, W, 3) uint8 array, got {type(frame).__name__}"
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or frame.size == 0:
            return f"expected an (H, W, 3) uint8 array, got {frame.shape} {frame.dtype}"
        if self._shape is not None and frame.shape != self._shape:
            return f"expected {self._shape} as in the frames before, got {frame.shape}"
        return None

    # What follows runs on the thread. Whatever goes wrong ends this film alone.

    def _encode(self, frame: NDArray[np.uint8]) -> None:
        if self._dropped or self.error is not None:
            return
        try:
            self._mp4.write(frame)
        except Exception as error:
            self.fail(f"{type(error).__name__}: {error}")
            self._mp4.drop()

    def _publish(self, frames: int) -> None:
        try:
            if self.error is None:
                self._mp4.publish(frames)
                self.published = True
        except Exception as error:
            self.fail(f"{type(error).__name__}: {error}")
        finally:
            self._mp4.drop()


class Encoder:
    """Encodes any number of films on `THREADS` threads; for use from one thread."""

    def __init__(self) -> None:
        self._threads = [_EncodingThread(f"arena-encoder-{i}") for i in range(THREADS)]

    def film(self, path: Path, fps: int) -> Film:
        """Begin a film that will be published at *path*; the file is opened at its first frame."""
        # A film stays on its thread: that keeps its frames in order.
        thread = min(self._threads, key=lambda thread: thread.films)
        thread.films += 1
        return Film(path, fps, thread)

    def close(self) -> None:
        """Wait until every film that was finished is published, and end the threads."""
        for thread in self._threads:
            thread.stop()
        for thread in self._threads:
            thread.join()


class _EncodingThread:
    """A thread that works through a bounded queue, in order."""

    def __init__(self, name: str) -> None:
        self.films = 0
        """Open films; kept by the side that shoots."""
        self._queue: Queue[_Work | None] = Queue(QUEUE_FRAMES)
        # A daemon, so that a process that is told twice to end can do so.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, work: _Work) -> None:
        self._queue.put(work)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            work()
            del work  # it holds a frame, and the next one may be long in coming


def _even(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return *frame* contiguous and with even sides: 4:2:0 has one colour for 2 x 2 pixels."""
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(frame)


def _name_exclusively(source: Path, target: Path) -> None:
    """Give *source* the name *target*; raises FileExistsError where that exists. *source* may stay, too."""
    try:
        os.link(source, target)
    except OSError:  # the target exists, or the file system has no hard links
        with target.open("xb"):
            pass
        os.replace(source, target)

"""One film as a file: H.264 in mp4. Which codec, and how it is set, is decided here alone."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from pytest_arena.errors import USERS_MISTAKE, RecordingError
from pytest_arena.jobs.sections import VideoCodec
from pytest_arena.records.disk_space import FileThatLeavesRoom, require_room
from pytest_arena.records.files import name_first
from pytest_arena.records.film_names import indexed_file, working_file

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

KEYFRAME_INTERVAL = 30
"""In frames: what a viewer seeks over, and what reaches the disk of an open film at once."""

_FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
_FASTSTART = {"movflags": "faststart"}
# RGB is converted with the BT.601 matrix in limited range. Saying so keeps players from guessing by size.
_BT601 = 6
_LIMITED_RANGE = 1
_PROBED_SIDE = 256  # hardware refuses very small images


@dataclass(frozen=True, slots=True)
class FilmFormat:
    """How a film is made of its frames."""

    fps: Fraction | int
    """Frames a second when it is played."""
    size: tuple[int, int] | None = None
    """(width, height), both even, that frames are scaled to; None: as they come."""
    codec: VideoCodec = field(default_factory=VideoCodec)
    """Its name is that of an encoder, never ``auto``."""


def choose_codec(codec: VideoCodec) -> VideoCodec:
    """Return *codec* with the encoder that this machine has for it.

    Raises `RecordingError` where the one that is named cannot be used.
    """
    __tracebackhide__ = USERS_MISTAKE
    if codec.name == "libx264":
        return codec
    problem = _problem_with("h264_nvenc", codec)
    if problem is None:
        return codec.model_copy(update={"name": "h264_nvenc"})
    if codec.name == "auto":
        return codec.model_copy(update={"name": "libx264"})
    raise RecordingError(
        f"record.video_codec: h264_nvenc cannot be used here: {problem}; use auto, or libx264"
    )


def _free(codec: VideoCodec) -> VideoCodec:
    """Return *codec*, or libx264 where the hardware takes no further film: some GPUs limit their number."""
    if codec.name == "libx264" or _problem_with(codec.name, codec) is None:
        return codec
    return codec.model_copy(update={"name": "libx264"})


def _problem_with(name: str, codec: VideoCodec) -> str | None:
    """Return why an encoder cannot be opened: FFmpeg has some for hardware that the machine lacks."""
    import av
    from av.video.codeccontext import VideoCodecContext

    try:
        context = VideoCodecContext.create(name, "w")
        assert isinstance(context, VideoCodecContext)
        context.width = context.height = _PROBED_SIDE
        context.options = _options(codec.model_copy(update={"name": name}))
        _set_up(context, fps=30)
        context.open()
    except av.FFmpegError as error:
        return error.strerror or "FFmpeg cannot open it"
    except ValueError as error:
        return str(error)
    return None


def _options(codec: VideoCodec) -> dict[str, str]:
    if codec.name == "libx264" and codec.preset is not None:
        return {"preset": codec.preset, "crf": str(codec.quality)}
    if codec.name == "libx264":
        # Motion to whole pixels: a quarter less work than veryfast for a tenth more bytes, at equal quality.
        return {"preset": "veryfast", "crf": str(codec.quality), "x264-params": "subme=0"}
    return {"preset": "p4", "rc": "vbr", "cq": str(codec.quality)}


def _set_up(context: VideoCodecContext, fps: Fraction | int) -> None:
    context.pix_fmt = "yuv420p"
    context.time_base = Fraction(1) / fps
    context.gop_size = KEYFRAME_INTERVAL
    context.colorspace, context.color_range = _BT601, _LIMITED_RANGE
    # Films run side by side already; threads within each would be one a core and film.
    context.thread_count = 1


class Mp4File:
    """One mp4 file that grows frame by frame, in a hidden working file until it is published.

    The working file is a fragmented mp4: what was written can be played even if the process is killed.
    Belongs to the one thread that calls it.
    """

    def __init__(self, path: Path, form: FilmFormat) -> None:
        self.path = path
        self._form = form
        self._working, self._indexed = working_file(path), indexed_file(path)
        self._file: FileThatLeavesRoom | None = None
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self.frames = 0
        """Frames written."""

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Append *frame*, (H, W, 3) RGB; an odd side is padded by repeating its last pixel."""
        import av

        frame = _even(frame)
        if self._container is None or self._stream is None:
            self._container, self._stream = self._open(frame.shape[0], frame.shape[1])
        image = av.VideoFrame.from_numpy_buffer(frame, format="rgb24")
        image.pts = self.frames
        image.time_base = Fraction(1) / self._form.fps
        self._container.mux(self._stream.encode(image))
        self.frames += 1

    def publish(self, frames: int) -> None:
        """Complete the film and give it its name; *frames* is how many it must have."""
        if self._container is None or self._stream is None:
            raise RecordingError("no frame was given")
        self._container.mux(self._stream.encode(None))
        self._container.close()
        require_room(self.path.parent, self._working.stat().st_size)
        remux(self._working, self._indexed)
        require_frames(self._indexed, frames)
        name_first(self._indexed, self.path)

    def drop(self) -> None:
        """Close and delete whatever is still unpublished."""
        with contextlib.suppress(Exception):  # the disk may be full: closing writes, too
            if self._container is not None:
                self._container.close()
        with contextlib.suppress(OSError):
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
        self._file = FileThatLeavesRoom(self._working)
        container = av.open(self._file, "w", format="mp4", options=_FRAGMENTED)
        form = self._form
        codec = _free(form.codec)
        stream = cast("VideoStream", container.add_stream(codec.name, form.fps, options=_options(codec)))
        stream.width, stream.height = form.size or (width, height)
        _set_up(stream.codec_context, form.fps)
        return container, stream


def remux(source: Path, target: Path) -> None:
    """Copy the packets of a fragmented film into an ordinary one with its index first, as they are."""
    import av

    with (
        av.open(address(source), format="mp4") as fragments,
        av.open(address(target), "w", format="mp4", options=_FASTSTART) as film,
    ):
        stream = film.add_stream_from_template(fragments.streams.video[0])
        start: int | None = None
        for packet in fragments.demux(video=0):
            if packet.dts is None or packet.pts is None:  # the end of the stream
                continue
            # A fragmented file begins late by the depth of reordering; frame k belongs at k / fps.
            start = packet.pts if start is None else start
            packet.pts -= start
            packet.dts -= start
            packet.stream = stream
            film.mux(packet)


def address(path: Path) -> str:
    """Return *path* for FFmpeg, which takes what stands before a colon for a protocol."""
    return f"file:{path}"


def require_frames(path: Path, frames: int) -> None:
    """Raise `RecordingError` where the film at *path* does not have that many *frames*."""
    import av

    with av.open(address(path), format="mp4") as film:
        found = film.streams.video[0].frames
    if found != frames:
        raise RecordingError(f"expected {frames} frames in the file, found {found}")


def _even(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return *frame* contiguous and with even sides: 4:2:0 has one colour for 2 x 2 pixels."""
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(frame)

"""One film of a job's films: a grid of its episodes side by side, failures first, each with a label.

It is made after the rollout from the films that were kept. Memory is a picture of the grid and a decoder for
each tile, whatever the films' length. Labels are drawn with the font that Pillow carries: no font of the
system is needed.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pytest_arena.recorders.films.mp4 import address, require_frames
from pytest_arena.records.attempt import Attempt
from pytest_arena.records.disk_space import require_room, room
from pytest_arena.records.film_names import OVERVIEW, overview_draft
from pytest_arena.records.schema import Episode, Outcome

TILES_MAX = 16
"""More could not be told apart, and each one must be decoded."""
FPS_MAX = 15
SECONDS_MAX = 20
"""Longer films are shown faster."""
SECONDS_AT_END = 1
WIDTH_MAX, TILE_WIDTH_MIN = 960, 160
PREVIEW_WIDTH, PREVIEW_FRAMES, PREVIEW_MILLISECONDS = 400, 20, 150

ROOM_AT_LIMIT = 16 * 2**10
"""Bytes more than what is left to the results that the film leaves. Less than twice that: it was stopped."""

HEADER_HEIGHT, LABEL_HEIGHT = 28, 40
"""In pixels; even, as a film's sides must be."""

Picture = NDArray[np.uint8]

_Colour = tuple[int, int, int]

_BACKGROUND, _TEXT, _FAINT, _WHITE = (24, 24, 24), (240, 240, 240), (170, 170, 170), (255, 255, 255)
_COLOURS = {Outcome.SUCCESS: (0, 158, 115), Outcome.FAILURE: (213, 94, 0)}
"""Colour-blind people, too, can tell them apart; the marks differ in shape as well."""
_OTHER = (230, 159, 0)
_MARKS: dict[Outcome, list[tuple[int, ...]]] = {
    Outcome.SUCCESS: [(12, 18, 16, 22, 23, 13)],
    Outcome.FAILURE: [(12, 13, 22, 23), (22, 13, 12, 23)],
}
"""Lines, as x and y by turns: a tick and a cross …"""
_OTHER_MARK: list[tuple[int, ...]] = [(12, 18, 22, 18)]
"""… and a dash."""
_EDGE = 2
"""Pixels at the right that stay free."""
_SIZES, _SMALL = (13, 12, 11, 10, 9), (11, 10, 9)


def add_overview(attempt: Attempt, episodes: Sequence[Episode]) -> None:
    """Make the overview of a job in the folder of its *attempt* and enter it there; a failure is a note.

    A job without films has none.
    """
    began, record, directory = time.monotonic(), attempt.record, attempt.directory.path
    try:
        with _drafts(directory) as drafts, contextlib.ExitStack() as films:
            shown = _tiles(episodes, attempt.run.path, films)
            if not shown:
                return
            _Overview(record.job, episodes, shown).write(drafts)
        record.overview = {kind: attempt.relative(directory / name) for kind, name in OVERVIEW.items()}
    except Exception as error:  # whatever it is, the evaluation stands
        reason = (str(error).splitlines() or [""])[0]
        attempt.note(f"no overview film: {type(error).__name__}: {reason}")
    attempt.spent("overview_seconds", began)


@contextlib.contextmanager
def _drafts(directory: Path) -> Iterator[dict[str, Path]]:
    """Give hidden paths to write to, which take their names at the end, all or none."""
    paths = {kind: overview_draft(directory, name) for kind, name in OVERVIEW.items()}
    try:
        yield paths
        for kind, path in paths.items():
            if path.exists():
                os.replace(path, directory / OVERVIEW[kind])
    finally:
        for path in paths.values():
            with contextlib.suppress(OSError):
                path.unlink()


@dataclass(eq=False)
class _Tile:
    """A film being read: the picture at a time, which may only grow."""

    episode: Episode
    container: InputContainer
    size: tuple[int, int]
    """Width and height of the film."""
    fps: Fraction
    frames: int

    def __post_init__(self) -> None:
        self._scaler = VideoReformatter()
        self._decoded = self.container.decode(video=0)
        self._at = self._shown = -1
        self._frame: Any = None

    @property
    def seconds(self) -> float:
        return float((self.frames - 1) / self.fps)

    def picture(self, seconds: float, width: int, height: int) -> Picture | None:
        """Return the picture at a time; None where it is the one that was returned last."""
        wanted = min(int(seconds * self.fps + 1e-6), self.frames - 1)
        while self._at < wanted:
            frame = next(self._decoded, None)
            if frame is None:  # fewer than the film says
                break
            self._at, self._frame = self._at + 1, frame
        if self._frame is None or self._shown == self._at:
            return None
        self._shown = self._at
        # One for all pictures: setting it up costs more than a picture.
        scaled: Any = self._scaler.reformat(self._frame, width=width, height=height, format="rgb24")
        found: Picture = scaled.to_ndarray()
        return found


def _tiles(episodes: Sequence[Episode], run_dir: Path, films: contextlib.ExitStack) -> list[_Tile]:
    """Open a film, of the first camera, of each episode to show: failures first, then in episode order.

    *films* closes them. One that cannot be read is left out.
    """
    order = sorted(episodes, key=lambda e: (e.outcome == Outcome.SUCCESS, e.episode))
    tiles: list[_Tile] = []
    for episode in order:
        paths = (run_dir / path for path in episode.videos.values())
        path = next((path for path in paths if path.exists()), None)
        if path is None or len(tiles) == TILES_MAX:
            continue
        try:
            container = films.enter_context(av.open(address(path)))
        except av.error.FFmpegError:
            continue
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        size = (stream.codec_context.width, stream.codec_context.height)
        tiles.append(_Tile(episode, container, size, stream.average_rate or Fraction(30), stream.frames))
    return tiles


class _Timing:
    """Which frame of the overview shows which time of its films."""

    def __init__(self, tiles: Sequence[_Tile]) -> None:
        self.longest = max(tile.seconds for tile in tiles)
        fastest = float(max(tile.fps for tile in tiles))
        self.fps = min(FPS_MAX, round(fastest) if fastest > 1 else math.floor(100 * fastest) / 100)
        self.speed = max(1.0, self.longest / SECONDS_MAX)
        # It has at most the frames of its films, and their time: it may not cost more than they did.
        seconds = sum(float(tile.frames / tile.fps) for tile in tiles)
        most = max(1, min(sum(tile.frames for tile in tiles), math.floor(seconds * self.fps + 1e-6)))
        self.last = min(math.ceil(self.longest / self.speed * self.fps), most - 1)
        """The first frame in which all films have come to their ends."""
        self.frames = min(self.last + 1 + round(SECONDS_AT_END * self.fps), most)
        every = max(1, math.ceil((self.last + 1) / PREVIEW_FRAMES))
        self.previewed = {*range(0, self.last, every), self.last}

    def seconds(self, frame: int) -> float:
        """Return the time of the films that *frame* shows."""
        return frame / self.fps * self.speed if frame < self.last else self.longest


class _Overview:
    """The grid: it is made once, then painted into for each frame."""

    def __init__(self, job: str, episodes: Sequence[Episode], tiles: Sequence[_Tile]) -> None:
        self._tiles, self._timing = tiles, _Timing(tiles)
        columns = math.ceil(math.sqrt(len(tiles)))
        width = _even(min(max(TILE_WIDTH_MIN, *(t.size[0] for t in tiles)), WIDTH_MAX // columns))
        height = _even(max(width * t.size[1] / t.size[0] for t in tiles))
        lines = math.ceil(len(tiles) / columns)
        shape = (HEADER_HEIGHT + lines * (height + LABEL_HEIGHT), columns * width, 3)
        self._picture: Picture = np.full(shape, _BACKGROUND, np.uint8)
        self._picture[:HEADER_HEIGHT] = header(job, episodes, len(tiles), self._timing.speed, shape[1])
        self._places: list[Picture] = []
        """Views into the picture, one a tile, in which its film is painted."""
        for i, tile in enumerate(tiles):
            left = i % columns * width
            top = HEADER_HEIGHT + i // columns * (height + LABEL_HEIGHT)
            below = self._picture[top + height : top + height + LABEL_HEIGHT, left : left + width]
            below[:] = label(tile.episode, width)
            place = self._picture[top : top + height, left : left + width]
            self._places.append(_middle(place, *tile.size))
        self._preview: list[Image.Image] = []

    def write(self, paths: dict[str, Path]) -> None:
        """Write the film, the poster, which is its last picture, and the preview.

        Raises OSError where that would take what is left to the results.
        """
        self._write_film(paths["film"])
        _save(paths["poster"], "JPEG", Image.fromarray(self._picture), quality=85)
        first, *rest = self._preview
        how = {"save_all": True, "append_images": rest, "duration": PREVIEW_MILLISECONDS, "loop": 0}
        _save(paths["preview"], "WEBP", first, **how, quality=60, method=2)

    def _write_film(self, path: Path) -> None:
        height, width, _ = self._picture.shape
        check_room = partial(require_room, path.parent, 2 * ROOM_AT_LIMIT)
        check_room()
        try:
            with (
                _film_writer()(
                    str(path.absolute()),  # with a colon in it, a path that begins with a slash is one
                    (width, height),
                    self._timing.fps,
                    preset="veryfast",
                    ffmpeg_params=["-movflags", "+faststart"],
                ) as writer,
                _limited(writer.proc, path.parent),
            ):
                for frame in range(self._timing.frames):
                    self._paint(frame)
                    check_room()
                    writer.write_frame(self._picture)
        except OSError:
            check_room()  # says it better than a pipe that is closed
            raise
        check_room()
        require_frames(path, self._timing.frames)

    def _paint(self, frame: int) -> None:
        """Make the grid that of a frame of the film; frames must come in order."""
        for tile, place in zip(self._tiles, self._places, strict=True):
            height, width, _ = place.shape
            picture = tile.picture(self._timing.seconds(frame), width, height)
            if picture is not None:
                place[:] = picture
        if frame in self._timing.previewed:
            self._preview.append(_small(self._picture))


@contextlib.contextmanager
def _limited(process: subprocess.Popen[bytes], directory: Path) -> Iterator[None]:
    """Keep FFmpeg from taking what is left to the results; what goes wrong meanwhile ends it.

    It writes when it likes, and at its end dozens of pictures at once: checks between them cannot help that.
    """
    free = room(directory)
    if free is not None:
        with contextlib.suppress(OSError):  # where that is not allowed, the checks between pictures must do
            most = min(free - ROOM_AT_LIMIT, sys.maxsize)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
    try:
        yield
    except BaseException:
        if process.poll() is None:
            process.kill()
            process.communicate()
        raise


def _save(path: Path, kind: str, image: Image.Image, **how: Any) -> None:
    """Write an image once it is known that there is room for it."""
    made = io.BytesIO()
    image.save(made, kind, **how)
    require_room(path.parent, made.tell())
    path.write_bytes(made.getbuffer())


def _film_writer() -> Any:
    """Return moviepy's streaming writer. Importing it reads a ``.env`` file, whose variables do not stay."""
    before = dict(os.environ)
    from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    return FFMPEG_VideoWriter


def _middle(place: Picture, width: int, height: int) -> Picture:
    """Return the part of *place*, in its middle, that a film of *width* x *height* is shown in."""
    most_height, most_width, _ = place.shape
    scale = min(most_width / width, most_height / height)
    w, h = min(most_width, round(width * scale)), min(most_height, round(height * scale))
    left, top = (most_width - w) // 2, (most_height - h) // 2
    return place[top : top + h, left : left + w]


def _even(number: float) -> int:
    return max(2, round(number / 2) * 2)


def _small(picture: Picture) -> Image.Image:
    image = Image.fromarray(picture)
    image.thumbnail((PREVIEW_WIDTH, 4 * PREVIEW_WIDTH))
    return image


def header(job: str, episodes: Sequence[Episode], shown: int, speed: float, width: int) -> Picture:
    """Return the line above the grid: the job, how many succeeded, how many are shown, how fast.

    Args:
        job: The job's label.
        episodes: All of the job, also those without films. Only successes and failures count in the rate.
        shown: How many films the grid shows.
        speed: How many times faster than they were recorded the films are shown; 1 is not mentioned.
        width: In pixels, the grid's.

    Returns:
        (HEADER_HEIGHT, width, 3) uint8.
    """
    judged = [episode.outcome for episode in episodes if episode.outcome in _COLOURS]
    succeeded = judged.count(Outcome.SUCCESS)
    words = [f"{job}: {succeeded} of {len(judged)} episodes succeeded" if judged else job]
    films = sum(bool(episode.videos) for episode in episodes)
    words.append(f"{shown} of {films} films" if films > shown else f"{shown} film{'s' if shown > 1 else ''}")
    if speed > 1:
        words.append(f"{speed:.1f} times as fast")
    image, draw = _canvas(width, HEADER_HEIGHT)
    _write(draw, (8, 6), ", ".join(words), _TEXT, _SIZES)
    return np.asarray(image)


def label(episode: Episode, width: int) -> Picture:
    """Return (LABEL_HEIGHT, width, 3): a mark and two lines about an episode.

    A film that shows something else than what was counted says so (`Episode.videos_note`).
    """
    image, draw = _canvas(width, LABEL_HEIGHT)
    colour = _COLOURS.get(episode.outcome, _OTHER)
    draw.rectangle((8, 9, 26, 27), colour)
    for line in _MARKS.get(episode.outcome, _OTHER_MARK):
        draw.line(line, _WHITE, 2)
    _write(draw, (34, 3), f"episode {episode.episode}: {episode.outcome}", _TEXT, _SIZES)
    steps = f"{episode.length} step{'' if episode.length == 1 else 's'}"
    seed = [] if episode.seed is None else [f"seed {episode.seed}"]
    words = [*(["not faithful"] if episode.videos_note else []), steps, *seed]
    if episode.videos_note and seed and not _fits(draw, 34, ", ".join(words), _SMALL[-1]):
        words.remove(steps)  # the seed is what the episode is found by
    _write(draw, (34, 20), ", ".join(words), _OTHER if episode.videos_note else _FAINT, _SMALL)
    return np.asarray(image)


def _write(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, colour: _Colour, sizes: Sequence[int]
) -> None:
    """Write a line in the first of *sizes* in which it fits, else in the last."""
    size = next((size for size in sizes if _fits(draw, at[0], text, size)), sizes[-1])
    draw.text(at, text, colour, ImageFont.load_default(size))


def _fits(draw: ImageDraw.ImageDraw, left: int, text: str, size: int) -> bool:
    width: int = draw.im.size[0]
    return left + draw.textlength(text, ImageFont.load_default(size)) <= width - _EDGE


def _canvas(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width, height), _BACKGROUND)
    return image, ImageDraw.Draw(image)

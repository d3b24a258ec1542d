"""A film: its states, its pictures and its file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_arena.jobs.sections import VideoCodec
from pytest_arena.recorders.films import mp4
from pytest_arena.recorders.films.colours import as_rgb
from pytest_arena.recorders.films.encoder import Encoder
from pytest_arena.recorders.films.film import Film, FilmState
from pytest_arena.recorders.films.mp4 import KEYFRAME_INTERVAL, FilmFormat, Mp4File, choose_codec
from pytest_arena.records.disk_space import FileThatLeavesRoom
from tests.film_fakes import boxes, decode, grey, level_of, names_in, shoot

FRAME_BYTES, QUEUE_FRAMES, THREADS = 32 * 32 * 3, 64, 2

S = FilmState


@pytest.mark.parametrize("before", S)
@pytest.mark.parametrize("after", S)
def test_which_state_follows_which(
    tmp_path: Path, encoder: Encoder, before: FilmState, after: FilmState
) -> None:
    film = Film(tmp_path / "a.mp4", FilmFormat(30), encoder)
    film.state, film.error = before, "before" if before is S.FAILED else None
    follows = {S.SHOOTING: {S.FINISHING, S.DISCARDED, S.FAILED}, S.FINISHING: {S.PUBLISHED, S.FAILED}}
    allowed = after in follows.get(before, ())
    assert film._become(after, "after") is allowed
    assert film.state is (after if allowed else before)
    assert film.error == ("after" if allowed else "before" if before is S.FAILED else None)


def test_a_film_ends_in_one_of_three_states(tmp_path: Path, encoder: Encoder) -> None:
    published, discarded, refused, empty = (
        Film(tmp_path / f"{i}.mp4", FilmFormat(30), encoder) for i in range(4)
    )
    for film in (published, discarded, refused):
        film.add(grey(0))
    refused.refuse("no picture")
    refused.refuse("again")
    for film in (published, refused, empty):
        film.finish()
        film.discard()  # too late
    discarded.discard()
    discarded.finish()
    assert (published.state, empty.state) == (S.FINISHING, S.FINISHING)
    encoder.close()
    films = (published, discarded, refused, empty)
    assert [film.state for film in films] == [S.PUBLISHED, S.DISCARDED, S.FAILED, S.FAILED]
    assert [film.error for film in films] == [None, None, "no picture", "RecordingError: no frame was given"]
    assert [film.pictures_refused for film in films] == [False, False, True, False]
    assert names_in(tmp_path) == ["0.mp4"]


@pytest.mark.parametrize("count", [1, 2, 29, 30, 31, 73, 100, 430])
def test_frames_in_are_frames_out_in_order_and_on_time(tmp_path: Path, encoder: Encoder, count: int) -> None:
    film = Film(tmp_path / "a.mp4", FilmFormat(20), encoder)
    shoot(film, count)
    encoder.close()
    assert (film.error, film.state, film.frames) == (None, FilmState.PUBLISHED, count)
    facts, frames = decode(film.path)
    assert facts["frames"] == len(frames) == count
    assert facts["rate"] == 20
    for step, frame in enumerate(frames):
        assert frame.time == pytest.approx(step / 20)
        assert abs(frame.to_ndarray(format="rgb24").mean() - level_of(step)) < 3


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(255, 255, (256, 256)), (64, 33, (34, 64)), (17, 16, (16, 18))]
)
def test_odd_sides_are_padded_by_their_last_pixel(
    tmp_path: Path, encoder: Encoder, height: int, width: int, expected: tuple[int, int]
) -> None:
    ramp = np.linspace(30, 220, width, dtype=np.uint8)
    image = np.repeat(np.broadcast_to(ramp, (height, width))[:, :, None], 3, axis=2).copy()
    film = Film(tmp_path / "odd.mp4", FilmFormat(30), encoder)
    for _ in range(5):
        film.add(image)
    film.finish()
    encoder.close()
    facts, frames = decode(film.path)
    assert facts["size"] == expected
    assert facts["pix_fmt"] == "yuv420p"
    last = frames[-1].to_ndarray(format="rgb24").astype(int)
    assert abs(last[:, -1].mean() - 220) < 6, "the padding repeats the edge, it is not black"
    assert abs(last[-1, 0].mean() - 30) < 6


def test_the_published_film_plays_everywhere(tmp_path: Path, encoder: Encoder) -> None:
    film = Film(tmp_path / "a.mp4", FilmFormat(30), encoder)
    shoot(film, 65)
    encoder.close()
    found = boxes(film.path)
    assert found.index("moov") < found.index("mdat"), "faststart: the index comes first"
    assert "moof" not in found
    facts, frames = decode(film.path)
    assert facts["codec"] == "h264"
    assert facts["profile"] == "High"
    assert facts["pix_fmt"] == "yuv420p"
    assert facts["colorspace"] == 6, "says that it is BT.601"
    keys = [i for i, frame in enumerate(frames) if frame.key_frame]
    assert keys[0] == 0
    assert max(np.diff([*keys, len(frames)])) <= KEYFRAME_INTERVAL
    assert names_in(tmp_path) == ["a.mp4"]


def test_the_file_is_opened_with_the_first_frame(tmp_path: Path, encoder: Encoder) -> None:
    film = Film(tmp_path / "videos" / "a.mp4", FilmFormat(30), encoder)
    film.discard()
    unfilmed = Film(tmp_path / "videos" / "b.mp4", FilmFormat(30), encoder)
    unfilmed.finish()
    encoder.close()
    assert names_in(tmp_path) == []
    assert unfilmed.error is not None
    assert "no frame" in unfilmed.error


def test_a_discarded_film_leaves_nothing(tmp_path: Path, encoder: Encoder) -> None:
    film = Film(tmp_path / "a.mp4", FilmFormat(30), encoder)
    for step in range(50):
        film.add(grey(level_of(step)))
    film.discard()
    film.discard()
    film.add(grey(1))
    encoder.close()
    assert (film.state, film.error) == (FilmState.DISCARDED, None)
    assert names_in(tmp_path) == []


def test_an_existing_file_is_not_overwritten(tmp_path: Path, encoder: Encoder) -> None:
    (tmp_path / "a.mp4").write_text("precious")
    film = Film(tmp_path / "a.mp4", FilmFormat(30), encoder)
    shoot(film, 5)
    encoder.close()
    assert film.state is FilmState.FAILED
    assert film.error is not None
    assert "FileExistsError" in film.error
    assert (tmp_path / "a.mp4").read_text() == "precious"
    assert names_in(tmp_path) == ["a.mp4"]


def test_without_hard_links_films_are_published_as_exclusively(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: Path, target: Path) -> None:
        raise PermissionError("this file system has no hard links")

    monkeypatch.setattr(os, "link", link)
    (tmp_path / "taken.mp4").write_text("precious")
    free, taken = (
        Film(tmp_path / "free.mp4", FilmFormat(30), encoder),
        Film(tmp_path / "taken.mp4", FilmFormat(30), encoder),
    )
    shoot(free, 7)
    shoot(taken, 7)
    encoder.close()
    assert (free.state, taken.state) == (FilmState.PUBLISHED, FilmState.FAILED)
    assert len(decode(free.path)[1]) == 7
    assert taken.path.read_text() == "precious"
    assert names_in(tmp_path) == ["free.mp4", "taken.mp4"]


def test_a_film_with_a_missing_frame_is_not_published(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Mp4File.write

    def lose_one(self: Mp4File, frame: np.ndarray) -> None:
        if frame[0, 0, 0] != level_of(3):
            write(self, frame)

    monkeypatch.setattr(Mp4File, "write", lose_one)
    film = Film(tmp_path / "a.mp4", FilmFormat(30), encoder)
    shoot(film, 10)
    encoder.close()
    assert film.error is not None
    assert "expected 10 frames in the file, found 9" in film.error
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("second", "expected", "got"),
    [
        (np.zeros((32, 32, 3), np.float32), "(H, W, 3) uint8", "(32, 32, 3) float32"),
        (np.zeros((32, 32, 4), np.uint8), "(H, W, 3) uint8", "(32, 32, 4) uint8"),
        (np.zeros((32, 32), np.uint8), "(H, W, 3) uint8", "(32, 32) uint8"),
        (np.zeros((32, 32, 1), bool), "(H, W, 3) uint8", "(32, 32, 1) bool"),
        (np.zeros((32, 32), np.float32), "(32, 32, 3) uint8 as in the frames before", "(32, 32) float32"),
        (np.zeros((0, 32, 3), np.uint8), "(H, W, 3) uint8", "(0, 32, 3) uint8"),
        (np.zeros((32, 34, 3), np.uint8), "(32, 32, 3) uint8 as in the frames before", "(32, 34, 3)"),
        (None, "(H, W, 3) uint8", "NoneType"),
    ],
)
def test_what_is_no_image_ends_the_film_with_a_reason(
    tmp_path: Path, encoder: Encoder, second: Any, expected: str, got: str
) -> None:
    film = Film(tmp_path / "a.mp4", FilmFormat(30), encoder)
    film.add(grey(0))
    film.add(second)
    film.add(grey(0))
    film.finish()
    encoder.close()
    assert film.error is not None
    assert film.error.startswith("frame 1: ")
    assert expected in film.error
    assert f"got {got}" in film.error
    assert names_in(tmp_path) == []


def test_films_are_scaled_by_the_encoder(tmp_path: Path, encoder: Encoder) -> None:
    film = Film(tmp_path / "small.mp4", FilmFormat(30, size=(48, 32)), encoder)
    for step in range(5):
        film.add(grey(level_of(step), 65, 97))
    film.finish()
    encoder.close()
    facts, frames = decode(film.path)
    assert (facts["size"], facts["pix_fmt"], len(frames)) == ((48, 32), "yuv420p", 5)
    assert abs(frames[3].to_ndarray(format="rgb24").mean() - level_of(3)) < 3


def test_quality_and_preset_reach_the_encoder(tmp_path: Path, encoder: Encoder) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (10, 64, 64, 3), np.uint8)
    sizes = {}
    for name, codec in (
        ("fine", VideoCodec(quality=10)),
        ("coarse", VideoCodec(quality=40)),
        ("fast", VideoCodec(preset="ultrafast")),
    ):
        film = Film(tmp_path / name, FilmFormat(30, codec=codec), encoder)
        for image in images:
            film.add(image)
        film.finish()
        sizes[name] = film.path
    encoder.close()
    assert sizes["fine"].stat().st_size > 2 * sizes["coarse"].stat().st_size
    assert decode(sizes["fast"])[0]["profile"] == "Constrained Baseline"


def test_a_film_by_hardware(tmp_path: Path, encoder: Encoder) -> None:
    if (problem := mp4._problem_with("h264_nvenc", VideoCodec(name="h264_nvenc"))) is not None:
        pytest.skip(f"no NVENC: {problem}")
    film = Film(tmp_path / "a.mp4", FilmFormat(30, codec=choose_codec(VideoCodec(name="auto"))), encoder)
    for step in range(65):
        film.add(grey(level_of(step), 256, 256))
    film.finish()
    encoder.close()
    facts, frames = decode(film.path)
    assert (facts["codec"], facts["pix_fmt"], len(frames)) == ("h264", "yuv420p", 65)
    assert abs(frames[3].to_ndarray(format="rgb24").mean() - level_of(3)) < 4


def test_hardware_that_takes_no_further_film_leaves_it_to_the_cpu(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mp4, "_problem_with", lambda name, codec: "too many sessions")
    film = Film(tmp_path / "a.mp4", FilmFormat(30, codec=VideoCodec(name="h264_nvenc")), encoder)
    shoot(film, 5)
    encoder.close()
    assert (film.error, len(decode(film.path)[1])) == (None, 5)


def test_depth_and_segmentation_become_colours(tmp_path: Path, encoder: Encoder) -> None:
    depth, classes = np.linspace(0, 5, 32 * 32).reshape(32, 32), np.arange(1024).reshape(32, 32, 1) // 300
    films = {}
    for name, image in (("depth", depth.astype(np.float32)), ("classes", classes.astype(np.int32))):
        films[name] = Film(tmp_path / f"{name}.mp4", FilmFormat(30), encoder)
        for _ in range(3):
            films[name].add(image)
        films[name].finish()
    lost = Film(tmp_path / "lost.mp4", FilmFormat(30), encoder)
    lost.add(depth)
    lost.add(np.full((32, 32), np.nan))
    lost.finish()
    encoder.close()
    for name, image in (("depth", depth), ("classes", classes)):
        frame = decode(films[name].path)[1][1].to_ndarray(format="rgb24").astype(int)
        assert np.abs(frame - as_rgb(image)).mean() < 12
    assert lost.error == "frame 1: a depth image without a number in it"
    assert names_in(tmp_path) == ["classes.mp4", "depth.mp4"]


def test_frames_may_be_views_and_read_only(tmp_path: Path, encoder: Encoder) -> None:
    wide = np.zeros((32, 64, 3), np.uint8)
    wide[:, ::2] = 200
    view = wide[:, ::2]
    view.setflags(write=False)
    film = Film(tmp_path / "a.mp4", FilmFormat(30), encoder)
    film.add(view)
    film.finish()
    encoder.close()
    assert film.error is None
    assert abs(decode(film.path)[1][0].to_ndarray(format="rgb24").mean() - 200) < 3


def test_an_error_ends_its_film_and_nothing_else(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Mp4File.write

    def failing(self: Mp4File, frame: np.ndarray) -> None:
        if self.path.name.startswith("bad") and frame[0, 0, 0] == level_of(3):
            raise OSError(28, "No space left on device")
        write(self, frame)

    monkeypatch.setattr(Mp4File, "write", failing)
    films = {
        name: Film(tmp_path / name, FilmFormat(30), encoder) for name in ("bad1", "bad2", "good1", "good2")
    }
    # Far more frames than fit into the queues: threads that stopped would block here for ever.
    for step in range(4 * QUEUE_FRAMES):
        for film in films.values():
            film.add(grey(level_of(step), 16, 16))
    for film in films.values():
        film.finish()
    encoder.close()
    assert names_in(tmp_path) == ["good1", "good2"]
    assert len(decode(tmp_path / "good1")[1]) == 4 * QUEUE_FRAMES
    for name in ("bad1", "bad2"):
        assert films[name].error is not None
        assert "No space left" in films[name].error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_reported_and_leaks_no_descriptor(tmp_path: Path, encoder: Encoder) -> None:
    shoot(Film(tmp_path / "fine.mp4", FilmFormat(30), encoder), 5)
    encoder.close()
    before = len(os.listdir("/proc/self/fd"))
    full = Encoder()
    films = []
    for i in range(10):
        (tmp_path / f".{i}.mp4.part").symlink_to("/dev/full")
        films.append(Film(tmp_path / f"{i}.mp4", FilmFormat(30), full))
        shoot(films[-1], 100)
    full.close()
    assert [film.state for film in films] == [FilmState.FAILED] * 10
    assert all(film.error is not None and "No space left" in film.error for film in films)
    assert names_in(tmp_path) == ["fine.mp4"]
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path, encoder: Encoder) -> None:
    (tmp_path / "videos").write_text("a file")
    film = Film(tmp_path / "videos" / "a.mp4", FilmFormat(30), encoder)
    shoot(film, 200)
    encoder.close()
    assert film.error is not None
    assert "exists" in film.error.lower() or "directory" in film.error.lower()


def test_a_file_that_cannot_be_closed_ends_its_film_alone(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system may say only then that there is no room; a thread that ended would hang the rollout."""
    lost, kept = (
        Film(tmp_path / "lost.mp4", FilmFormat(30), encoder),
        Film(tmp_path / "kept.mp4", FilmFormat(30), encoder),
    )
    close = FileThatLeavesRoom.close

    def full(self: FileThatLeavesRoom) -> None:
        close(self)
        if "lost" in str(self.name):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(FileThatLeavesRoom, "close", full)
    for film in (lost, kept):
        shoot(film, 5)
    encoder.close()
    assert kept.state is FilmState.PUBLISHED
    assert lost.state is FilmState.PUBLISHED or lost.error is not None
    after = Encoder(1)
    shoot(film := Film(tmp_path / "after.mp4", FilmFormat(30), after), 5)
    after.close()
    assert film.state is FilmState.PUBLISHED

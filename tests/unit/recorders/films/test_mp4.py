"""Films as files: which encoder they have, what a working file holds, and films at any path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_arena import RecordingError
from pytest_arena.jobs.sections import VideoCodec
from pytest_arena.recorders.films import mp4
from pytest_arena.recorders.films.mp4 import (
    KEYFRAME_INTERVAL,
    FilmFormat,
    Mp4File,
    choose_codec,
    require_frames,
)
from pytest_arena.recorders.films.unfinished import playable_films
from tests.film_fakes import decode, grey, level_of, names_in


@pytest.mark.parametrize("name", ["2026-11-30T12:30:00", "http://x", "é [1] %03d: x/日本"])
def test_what_looks_like_a_protocol_or_a_pattern_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    film, cut_off = Path(name, "film.mp4"), Path(name, "cut.mp4")
    for path in (film, cut_off):
        made = Mp4File(path, FilmFormat(10))
        for step in range(12):
            made.write(np.full((32, 32, 3), 10 * step, np.uint8))
        if path is film:
            made.publish(12)
        made.drop()
    require_frames(film, 12)
    assert playable_films(Path(name)) == []


def test_an_open_film_can_be_played_from_its_hidden_working_file(tmp_path: Path) -> None:
    file = Mp4File(tmp_path / "a.mp4", FilmFormat(30))
    for step in range(100):
        file.write(grey(level_of(step)))
    assert names_in(tmp_path) == [".a.mp4.part"]
    _, frames = decode(tmp_path / ".a.mp4.part")
    assert len(frames) >= 100 - 2 * KEYFRAME_INTERVAL, "what a killed process leaves"
    file.drop()
    assert names_in(tmp_path) == []


def test_an_encoder_of_hardware_that_is_missing() -> None:
    nvenc, auto = VideoCodec(name="h264_nvenc"), VideoCodec(name="auto", quality=30)
    if mp4._problem_with("h264_nvenc", nvenc) is None:
        pytest.skip("this machine has it")
    assert choose_codec(auto) == VideoCodec(name="libx264", quality=30)
    assert choose_codec(VideoCodec()) == VideoCodec()
    with pytest.raises(
        RecordingError, match=r"h264_nvenc cannot be used here: [\w ]+; use auto, or libx264$"
    ):
        choose_codec(nvenc)


def test_hardware_is_taken_where_it_works_and_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mp4, "_problem_with", lambda name, codec: None)
    for asked in (VideoCodec(name="auto", quality=30), VideoCodec(name="h264_nvenc", quality=30)):
        chosen = choose_codec(asked)
        assert (chosen.name, chosen.quality) == ("h264_nvenc", 30)
        assert mp4._options(chosen) == {"preset": "p4", "rc": "vbr", "cq": "30"}
    assert choose_codec(VideoCodec()).name == "libx264"

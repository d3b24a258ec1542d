"""Films at any path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_arena.recorders.films.mp4 import FilmFormat, Mp4File, require_frames
from pytest_arena.recorders.films.unfinished import playable_films


@pytest.mark.parametrize("name", ["2026-11-30T12:30:00", "http://x", "é [1] %03d: x/日本"])
def test_what_looks_like_a_protocol_or_a_pattern_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    film, cut_off = Path(name, "film.mp4"), Path(name, "cut.mp4")
    for path in (film, cut_off):
        mp4 = Mp4File(path, FilmFormat(10))
        for step in range(12):
            mp4.write(np.full((32, 32, 3), 10 * step, np.uint8))
        if path is film:
            mp4.publish(12)
        mp4.drop()
    require_frames(film, 12)
    assert playable_films(Path(name)) == []

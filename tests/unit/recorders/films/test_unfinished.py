"""What a process that was killed had of a film becomes a film, and what plays nothing becomes none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pytest_arena.recorders.films import unfinished
from pytest_arena.recorders.films.unfinished import playable_films
from pytest_arena.records.episodes import write_episodes
from pytest_arena.records.interrupted_attempt import keep_measured
from pytest_arena.records.run_directory import JobDirectory
from tests.inner import ROOT
from tests.unit.gate.samples import episode

SHOOT_AND_DIE = """
import os, signal, sys
from pathlib import Path
import numpy as np
from pytest_arena.recorders.films.mp4 import FilmFormat, Mp4File

film = Mp4File(Path(sys.argv[1]), FilmFormat(fps=10))
# What does not move keeps the encoder from seeing a cut, where it would begin another fragment.
background = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
for k in range(int(sys.argv[2])):
    image = background.copy()
    image[:8] = np.unpackbits(np.array([k], np.uint8)).repeat(8)[None, :, None] * 255
    film.write(image)
os.kill(os.getpid(), signal.SIGKILL)
"""


def shot(path: Path, frames: int) -> Path:
    """The working file of a film whose process was killed after so many *frames*."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", SHOOT_AND_DIE, str(path), str(frames)]
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    working = path.with_name(f".{path.name}.part")
    assert working.exists()
    return working


def numbers(path: Path) -> list[int]:
    """What each frame of a film shows, which is its number in bars of black and white."""
    with av.open(str(path), format="mp4") as film:
        bars = [frame.to_ndarray(format="gray")[4, 4::8] > 128 for frame in film.decode(video=0)]
    return [int(np.packbits(bar)[0]) for bar in bars]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The working file of a film of 100 frames."""
    return shot(tmp_path_factory.mktemp("killed") / "film.mp4", 100).read_bytes()


def lay(videos: Path, content: bytes, name: str = "episode-0002-env0-front.mp4") -> Path:
    videos.mkdir(parents=True, exist_ok=True)
    working = videos / f".{name}.part"
    working.write_bytes(content)
    return working


@pytest.mark.process
def test_what_was_written_becomes_an_ordinary_film(tmp_path: Path, killed: bytes) -> None:
    working = lay(tmp_path, killed)
    (film,) = playable_films(tmp_path)
    assert film.name == "episode-0002-env0-front.partial.mp4"
    assert list(tmp_path.iterdir()) == [film], "no working file is left"
    seen = numbers(film)
    assert 30 < len(seen) < 100
    assert seen == list(range(len(seen)))
    content = film.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(film)) as opened:
        stream = opened.streams.video[0]
        assert stream.frames == len(seen), "the index has every frame, so a viewer can seek"
        assert stream.duration * stream.time_base == Fraction(len(seen), 10)
    assert not working.exists()


@pytest.mark.parametrize("lost", [1, 40, 400, 1000])
def test_a_film_that_breaks_off_within_a_fragment(tmp_path: Path, killed: bytes, lost: int) -> None:
    """The machine may stop in the middle of a write."""
    lay(tmp_path, killed[:-lost])
    (film,) = playable_films(tmp_path)
    seen = numbers(film)
    assert len(seen) >= 30
    assert seen == list(range(len(seen)))


@pytest.mark.process
def test_films_without_a_picture_are_deleted_and_no_film_of_an_episode_is_touched(tmp_path: Path) -> None:
    """The first frames wait in the encoder; the header alone is on disk."""
    videos = tmp_path / "reach" / "videos"
    header = shot(videos / "episode-0003-env0-front.mp4", 25)
    assert header.stat().st_size > 0
    lay(videos, b"", "episode-0004-env0-front.mp4")
    lay(videos, b"nonsense", "episode-0005-env0-front.mp4")
    lay(videos, b"\0\0\0\x10mdat" + bytes(8), "episode-0006-env0-front.mp4")
    whole = videos / "episode-0001-env0-front.mp4"
    whole.write_bytes(b"whole")
    write_episodes(tmp_path / "reach" / "episodes.jsonl", [episode(1)])
    lay(videos, b"its working file was not deleted yet", whole.name)
    assert playable_films(videos) == []
    keep_measured(JobDirectory(tmp_path / "reach", 1))
    assert list(videos.iterdir()) == [whole]
    assert whole.read_bytes() == b"whole"


def test_on_a_full_disk_the_film_stays_in_fragments(
    tmp_path: Path, killed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unfinished, "require_room", full)
    lay(tmp_path, killed)
    (film,) = playable_films(tmp_path)
    assert list(tmp_path.iterdir()) == [film]
    assert film.read_bytes() == killed
    assert len(numbers(film)) > 30


def test_a_job_without_films_has_nothing_to_save(tmp_path: Path) -> None:
    assert playable_films(tmp_path / "videos") == []

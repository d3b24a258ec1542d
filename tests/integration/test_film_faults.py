"""What goes wrong with films costs films, and is said: finished ones stay, and so do the numbers."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import gymnasium
import numpy as np
import pytest

from pytest_arena import (
    Job,
    JobRecord,
    RecordingError,
    RunDirectory,
    Status,
    VideoRecorder,
    evaluate,
    read_episodes,
)
from pytest_arena.records.disk_space import LEFT_TO_RESULTS
from tests.fakes import ScriptedEnv
from tests.integration.conftest import ROOT
from tests.jobs import make_job


class Noisy(ScriptedEnv):
    """Episodes of 40 steps whose images cannot be compressed; `spoil` changes what is seen from frame 5 on."""

    spoil: Callable[[np.ndarray], Any] | None = None

    def reset(self, **kwargs: Any) -> Any:
        found = super().reset(**kwargs)
        self.length, self.success = 40, False
        return found

    def render(self) -> Any:
        image = np.random.default_rng([self.seed, self.t]).integers(0, 255, (128, 128, 3), np.uint8)
        return image if Noisy.spoil is None or self.t < 5 else Noisy.spoil(image)


class Deep(Noisy):
    """What is seen is a depth in metres, of which `unknown` says how much is no number from frame 5 on."""

    unknown: float = 0.0

    def render(self) -> Any:
        image = super().render()[..., 0].astype(np.float32)
        if self.t >= 5:
            image[: round(Deep.unknown * len(image))] = np.nan
        return image


gymnasium.register("arena/Noisy-v0", Noisy, max_episode_steps=500, disable_env_checker=True)
gymnasium.register("arena/Deep-v0", Deep, max_episode_steps=500, disable_env_checker=True)


def job(env_id: str = "arena/Noisy-v0", **changes: Any) -> Job:
    environment = {"id": env_id, "num_envs": 3, "cameras": {"render": {}}}
    return make_job(**{"environment": environment, "rollout": {"episodes": 9}, **changes})


def run(output: Path, video: str, env_id: str = "arena/Noisy-v0") -> tuple[JobRecord, Path]:
    evaluate(job(env_id), output=output, recorders=[VideoRecorder(video)])  # type: ignore[arg-type]
    (path,) = (path for path in output.iterdir() if not path.is_symlink())
    (record,) = RunDirectory(path).records()
    return record, path


def frames(path: Path) -> int:
    with av.open(str(path), format="mp4") as film:
        return sum(1 for _ in film.decode(video=0))


def check(record: JobRecord, path: Path) -> None:
    """The numbers are whole, and every film that the record names is whole, too."""
    assert (record.status, record.episodes["measured"]) == (Status.COMPLETED, 9)
    assert record.metrics["episode_length"] == 40
    episodes = read_episodes(path / "job" / "episodes.jsonl")
    assert sorted(record.videos) == sorted(p for e in episodes for p in e.videos.values())
    on_disk = sorted(p.relative_to(path).as_posix() for p in path.glob("job/videos/*"))
    assert on_disk == record.videos, "no half film, no path of a film that is not there"
    for film in record.videos:
        assert frames(path / film) == 41


def films_lost(note: str) -> int:
    """How many films a note tells of: all that one camera lost for one reason."""
    more = re.search(r", and of (\d+) more by this camera: ", note)
    return 1 + (int(more[1]) if more else 0)


@pytest.mark.parametrize("video", ["on", "retain-on-failure"])
def test_a_full_disk(small_disk: Path, video: str) -> None:
    record, path = run(small_disk, video)
    check(record, path)
    assert 0 < len(record.videos) < 9
    notes = [note for note in record.notes if not note.startswith("no overview film: ")]
    assert sum(films_lost(note) for note in notes) == 9 - len(record.videos)
    assert all("no video of episode" in note for note in notes)
    assert bool(record.overview) == (notes == record.notes), "what the films left may do for an overview"
    assert all(os.strerror(errno.ENOSPC) in note for note in record.notes)
    results = sum(file.stat().st_size + 4096 for file in path.rglob("*.json*"))
    assert shutil.disk_usage(small_disk).free + results >= LEFT_TO_RESULTS


def smaller(image: np.ndarray) -> Any:
    return image[:64]


def floats(image: np.ndarray) -> Any:
    return image / 255.0


def not_a_number(image: np.ndarray) -> Any:
    return np.full((128, 128), np.nan, np.float32)


def nothing(image: np.ndarray) -> Any:
    return None


@pytest.mark.parametrize("video", ["on", "retain-on-failure"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (smaller, "frame 5: expected (128, 128, 3) uint8 as in the frames before, got (64, 128, 3) uint8"),
        (floats, "frame 5: expected an (H, W, 3) uint8 array"),
        (
            not_a_number,
            "frame 5: expected (128, 128, 3) uint8 as in the frames before, got (128, 128) float32",
        ),
        (nothing, "frame 5: expected an (H, W, 3) uint8 array"),
    ],
)
def test_a_camera_that_goes_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[np.ndarray], Any],
    message: str,
    video: str,
) -> None:
    monkeypatch.setattr(Noisy, "spoil", staticmethod(spoil))
    if video == "on":  # asked for, and none is there: the numbers stand, the job does not
        with pytest.raises(RecordingError, match=re.escape(message)):
            run(tmp_path, video)
        (path,) = tmp_path.iterdir()
        (record,) = RunDirectory(path).records()
        assert record.status == Status.ERROR
        record.status = Status.COMPLETED
    else:
        record, path = run(tmp_path, video)
    check(record, path)
    assert record.videos == []
    (note,) = record.notes
    assert note.startswith("no video of episode 0, environment ")
    assert films_lost(note) == 9
    assert message in note


@pytest.mark.parametrize("video", ["on", "retain-on-failure"])
def test_a_depth_camera_that_sees_nothing_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, video: str
) -> None:
    """Each film breaks at its own frame; the numbers stand, and one note says what was wrong."""
    monkeypatch.setattr(Deep, "unknown", 1.0)
    record, path = run(tmp_path, video, "arena/Deep-v0")
    check(record, path)
    assert record.videos == []
    (note,) = record.notes
    assert films_lost(note) == 9
    assert note.startswith("no video of episode 0, environment 0, camera 'render'")
    assert note.endswith(": frame 5: a depth image without a number in it")


def test_a_depth_camera_that_sees_a_part_is_filmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no number is black, as where a sensor gets no echo."""
    monkeypatch.setattr(Deep, "unknown", 0.5)
    record, path = run(tmp_path, "on", "arena/Deep-v0")
    check(record, path)
    assert (len(record.videos), record.notes) == (9, [])
    with av.open(str(path / record.videos[0])) as film:
        images = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert [image[8:56].mean() < 10 for image in images] == [k >= 5 for k in range(41)]
    assert all(image[72:120].mean() > 20 for image in images), "far away is dark blue"


KILLED = """
import os, signal, sys, threading
from pathlib import Path
import numpy as np
import tests.registered
from pytest_arena import evaluate
from pytest_arena import VideoRecorder
from tests.fakes import ScriptedEnv
from tests.jobs import make_job

output, step = Path(sys.argv[1]), ScriptedEnv.step

def size_of_the_part():
    return sum(part.stat().st_size for part in output.glob("*/job/videos/.episode-0001*.part"))

def killed(self, action):
    '''Kill this process in its second episode, once the first film is there and the second in part.'''
    if self.t == 90 and self.played > 1:
        while not any(output.glob("*/job/videos/episode-0000*.mp4")) or size_of_the_part() < 8_000:
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, action)

def reset(self, **kwargs):
    self.played = getattr(self, "played", 0) + 1
    return ScriptedEnv.reset(self, **kwargs)

def render(self):
    return np.random.default_rng(self.t).integers(0, 255, (64, 64, 3), np.uint8)

tests.registered.Endless.reset, tests.registered.Endless.render = reset, render
ScriptedEnv.step = killed
environment = {"id": "arena/Endless-v0", "cameras": {"render": {}}}
evaluate(make_job(environment=environment), output=output, recorders=[VideoRecorder("on")])
"""


def test_a_process_that_is_killed_in_the_middle_of_a_film(tmp_path: Path) -> None:
    child = [sys.executable, "-c", KILLED, str(tmp_path / "out")]
    killed = subprocess.run(child, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    (path,) = (path for path in (tmp_path / "out").iterdir() if not path.is_symlink())
    (episode,) = read_episodes(path / "job" / "episodes.jsonl")
    assert (episode.episode, episode.length) == (0, 100)
    assert frames(path / episode.videos["render"]) == 101, "what had finished is whole"
    (part,) = (path / "job" / "videos").glob(".*.part")
    assert frames(part) >= 25, "what had not can be played as far as it went"
    (record,) = RunDirectory(path).records()
    assert record.status == Status.RUNNING


@pytest.mark.parametrize("leave", [unittest.SkipTest, pytest.exit.Exception, pytest.skip.Exception])
def test_a_picture_that_skips_or_exits_is_an_error_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leave: type[BaseException]
) -> None:
    def spoil(image: np.ndarray) -> Any:
        raise leave("not today")

    monkeypatch.setattr(Noisy, "spoil", staticmethod(spoil))
    with pytest.raises(Exception, match=r"raised .*: not today; this is no way out of a job"):
        run(tmp_path, "on")

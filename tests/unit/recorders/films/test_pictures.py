"""What an environment may give in place of a picture: filmed as it is, or named; never a job without a word."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import gymnasium
import numpy as np
import pytest

from pytest_arena import JobRecord, RecordingError, RunDirectory, Status, VideoRecorder, evaluate
from tests.fakes import ScriptedEnv
from tests.jobs import make_job

pytestmark = pytest.mark.process

IMAGE = np.zeros((32, 48, 3), np.uint8)


def late(self: Any) -> Any:
    if self.t >= 2:
        raise RuntimeError("no picture late")
    return IMAGE


def never(self: Any) -> Any:
    raise RuntimeError("no picture")


def reused(self: Any) -> Any:
    self.buffer = getattr(self, "buffer", IMAGE.copy())
    self.buffer[:] = 10 * self.t
    return self.buffer


RENDERS: dict[str, Callable[[Any], Any]] = {
    "fine": lambda self: np.full_like(IMAGE, 10 * self.t),
    "reused": reused,
    "flipped": lambda self: np.full_like(IMAGE, 10 * self.t)[::-1, ::-1],
    "odd": lambda self: np.full((33, 47, 3), 10 * self.t, np.uint8),
    "dot": lambda self: np.full((1, 1, 3), 10 * self.t, np.uint8),
    "none": lambda self: None,
    "list": lambda self: [IMAGE, IMAGE],
    "ragged": lambda self: [[1, 2], [3]],
    "batched": lambda self: np.full_like(IMAGE[None], 10 * self.t),
    "list of one": lambda self: [np.full_like(IMAGE, 10 * self.t)],
    "batch": lambda self: np.zeros((2, 32, 48, 3), np.uint8),
    "numbers": lambda self: [1, 2],
    "text": lambda self: "picture",
    "number": lambda self: 3,
    "float": lambda self: IMAGE / 255.0,
    "gray": lambda self: IMAGE[..., 0],
    "rgba": lambda self: np.zeros((32, 48, 4), np.uint8),
    "empty": lambda self: np.zeros((0, 0, 3), np.uint8),
    "flat": lambda self: np.zeros(12, np.uint8),
    "huge": lambda self: np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (9000, 40, 3)),
    "never": never,
    "late": late,
    "changing": lambda self: np.zeros((32 + 16 * (self.t % 3), 48, 3), np.uint8),
}
FILMED = ("fine", "reused", "flipped", "odd", "dot", "batched", "list of one")
TOLD = {
    "none": "got NoneType",
    "list": "environment.cameras: render() gives render_0, render_1, got 'render'",
    "batch": "environment.cameras: render() gives render_0, render_1, got 'render'",
    "numbers": "got list",
    "ragged": "got list",
    "text": "got str",
    "number": "got int",
    "float": "got (32, 48, 3) float64",
    "gray": "got (32, 48) uint8",
    "rgba": "got (32, 48, 4) uint8",
    "empty": "got (0, 0, 3) uint8",
    "flat": "got (12,) uint8",
    "huge": "expected at most 8192 x 8192 pixels, got (9000, 40, 3) uint8",
    "never": "RuntimeError: no picture",
}


class Shown(ScriptedEnv):
    """Five steps, without success; its picture is what *kind* says."""

    def __init__(self, kind: str, render_mode: Any = None) -> None:
        super().__init__()
        self.kind = kind

    def reset(self, **kwargs: Any) -> Any:
        found = super().reset(**kwargs)
        self.length, self.success = 5, False
        return found

    def render(self) -> Any:
        return RENDERS[self.kind](self)


gymnasium.register("arena/Shown-v0", Shown, max_episode_steps=50, disable_env_checker=True)


def run(
    output: Path, kind: str, recorder: VideoRecorder, vectorization: str = "sync", cameras: bool = True
) -> JobRecord:
    options = {"vectorization": vectorization, "make": {"kind": kind}}
    environment = {"id": "arena/Shown-v0", "num_envs": 2, "options": options}
    made = make_job(environment={**environment, "cameras": {"render": {}} if cameras else {}})
    return evaluate(made, output=output, recorders=[recorder])


def read(output: Path) -> tuple[JobRecord, Path]:
    (path,) = (path for path in output.iterdir() if not path.is_symlink())
    (record,) = RunDirectory(path).records()
    return record, path


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("video", ["on", "retain-on-failure"])
@pytest.mark.parametrize("kind", FILMED)
def test_what_is_a_picture_is_filmed(tmp_path: Path, kind: str, video: Any, vectorization: str) -> None:
    run(tmp_path, kind, VideoRecorder(video), vectorization)
    record, path = read(tmp_path)
    assert (record.notes, len(record.videos)) == ([], 4)
    for film in record.videos:
        with av.open(str(path / film)) as opened:
            shown = [frame.to_ndarray(format="gray").mean() for frame in opened.decode(video=0)]
        assert len(shown) == 6
        assert all(a < b for a, b in pairwise(shown)), "each picture of its own step"


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("kind", TOLD)
def test_where_films_must_be_no_picture_is_an_error_before_the_first_step(
    tmp_path: Path, kind: str, vectorization: str
) -> None:
    with pytest.raises(
        RecordingError, match="expected films, since video is on, and camera 'render' gives no"
    ):
        run(tmp_path, kind, VideoRecorder("on"), vectorization)
    record, _ = read(tmp_path)
    assert record.status == Status.ERROR
    assert TOLD[kind] in str(record.error)
    assert record.steps == 0
    assert record.videos == []


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("kind", [*TOLD, "late", "changing"])
def test_where_nobody_asked_it_is_a_note(tmp_path: Path, kind: str, vectorization: str) -> None:
    record = run(tmp_path, kind, VideoRecorder("retain-on-failure", required=False), vectorization)
    assert (record.status, record.episodes["measured"]) == (Status.COMPLETED, 4)
    assert record.videos == []
    (note,) = record.notes
    assert note.startswith(
        "no video of episode 0, environment 0, camera 'render', and of 3 more by this camera"
    )
    assert TOLD.get(kind, "frame ") in note


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("late", "RuntimeError: no picture late"),
        ("changing", "frame 1: expected (32, 48, 3) uint8 as in the frames before, got (48, 48, 3) uint8"),
    ],
)
def test_films_that_all_break_later_are_an_error_after_the_measurement(
    tmp_path: Path, kind: str, told: str, vectorization: str
) -> None:
    """What was measured is kept; that nothing of it can be seen, though it was asked for, is no green."""
    with pytest.raises(
        RecordingError, match="expected films, since video is on, and there are none: episode 0"
    ):
        run(tmp_path, kind, VideoRecorder("on"), vectorization)
    record, _ = read(tmp_path)
    assert (record.status, record.episodes["measured"], record.videos) == (Status.ERROR, 4, [])
    assert told in str(record.error)


def test_some_films_that_break_are_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def once(self: Any) -> Any:
        self.pictures = getattr(self, "pictures", 0) + 1
        return IMAGE if self.pictures < 10 else None

    monkeypatch.setitem(RENDERS, "late", once)
    record = run(tmp_path, "late", VideoRecorder("on"))
    assert (record.status, len(record.videos), len(record.notes)) == (Status.COMPLETED, 2, 1)


def test_without_a_camera(tmp_path: Path) -> None:
    with pytest.raises(
        RecordingError, match=r"name them under environment.cameras, or set record.video: off"
    ):
        run(tmp_path / "on", "fine", VideoRecorder("on"), cameras=False)
    record, _ = read(tmp_path / "on")
    assert (record.status, record.steps) == (Status.ERROR, 0)
    record = run(tmp_path / "asked", "fine", VideoRecorder("retain-on-failure"), cameras=False)
    assert record.notes == ["no videos: the environment has no cameras"]
    record = run(
        tmp_path / "default", "fine", VideoRecorder("retain-on-failure", required=False), cameras=False
    )
    assert record.notes == []

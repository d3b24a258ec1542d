"""What every film is, made live or by playing its episode again: one suite for both."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest

from pytest_arena import Camera, Outcome, Recorded, VideoRecorder
from pytest_arena.jobs.sections import Record
from pytest_arena.recorders import video
from pytest_arena.recorders.films import by_replay
from pytest_arena.recorders.films import encoder as encoder_module
from pytest_arena.recorders.films.encoder import QUEUE_BYTES, THREADS
from pytest_arena.recorders.films.mp4 import Mp4File
from tests.film_fakes import JOB, FakeEnv, Loop, names_in, rate, require_each_step, shown

Way = Literal["live", "replay"]


@pytest.fixture(params=["live", "replay"])
def way(request: pytest.FixtureRequest) -> Way:
    return request.param  # type: ignore[no-any-return]


def env(way: Way, lengths: Sequence[Sequence[int]], **how: Any) -> FakeEnv:
    return FakeEnv(lengths, replayable=way == "replay", **how)


def recorder(cameras: Sequence[str] | None = None) -> VideoRecorder:
    return VideoRecorder("retain-on-failure", cameras)


def test_frame_k_is_the_image_after_k_steps_up_to_the_terminal_one(tmp_path: Path, way: Way) -> None:
    loop = Loop(recorder(), env(way, [[5, 40], [12]]), tmp_path)
    recorded = loop.run()
    assert recorded.notes == []
    assert recorded.videos == [
        "reach/videos/episode-0000-env0-front.mp4",
        "reach/videos/episode-0001-env1-front.mp4",
        "reach/videos/episode-0002-env0-front.mp4",
    ]
    require_each_step(loop)
    assert recorded.revised == (way == "replay"), "lines that were written before the films are written anew"


def test_without_a_terminal_image_the_film_ends_one_step_before(tmp_path: Path, way: Way) -> None:
    loop = Loop(recorder(), env(way, [[5, 30], [1, 12]], terminal_frame=False), tmp_path)
    recorded = loop.run()
    assert recorded.notes == []
    assert len(recorded.videos) == 4
    require_each_step(loop, terminal_image=False)


def test_the_environment_is_asked_once_a_step_with_all_rows(tmp_path: Path, way: Way) -> None:
    made = env(way, [[3], [5], [4]], cameras=("front", "wrist"))
    Loop(recorder(), made, tmp_path).run()
    asked = [sorted(rows) for rows in made.asked]
    assert asked == [[0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 2], [1, 2], [1]]


def test_the_films_of_successes_alone_are_not_kept(tmp_path: Path, way: Way) -> None:
    outcomes = [Outcome.SUCCESS, Outcome.FAILURE, Outcome.ERROR, Outcome.UNKNOWN, Outcome.SUCCESS]
    loop = Loop(recorder(), env(way, [[6] * 5]), tmp_path, outcomes.__getitem__)
    recorded = loop.run()
    assert names_in(tmp_path / "reach" / "videos") == [f"episode-000{i}-env0-front.mp4" for i in (1, 2, 3)]
    assert [bool(made.videos) for made in loop.episodes] == [False, True, True, True, False]
    assert recorded.videos == [made.videos["front"] for made in loop.episodes if made.videos]


def test_a_run_of_successes_leaves_no_folder(tmp_path: Path, way: Way) -> None:
    made = env(way, [[6, 6]])
    assert Loop(recorder(), made, tmp_path, lambda i: Outcome.SUCCESS).run() == Recorded()
    assert names_in(tmp_path / "reach") == []
    assert bool(made.asked) == (way == "live"), "what is not filmed is not rendered"


@pytest.mark.parametrize("at", [2, 9])
def test_an_interrupt_leaves_films_that_are_whole_and_nothing_else(tmp_path: Path, way: Way, at: int) -> None:
    def interrupted(frames: dict[str, Any], rows: list[int]) -> Any:
        if len(made.asked) == at:
            raise KeyboardInterrupt
        return frames

    made = env(way, [[4, 100], [100]])
    made.spoil = interrupted
    loop = Loop(recorder(), made, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        loop.roll_out()
    recorded = loop.recorder.close()
    whole = [] if at == 2 else ["episode-0000-env0-front.mp4"]
    assert recorded.videos == [f"reach/videos/{name}" for name in whole]
    assert names_in(tmp_path / "reach" / "videos") == whole
    assert [len(shown(tmp_path / film)) for film in recorded.videos] == [5] * len(whole)
    assert [list(made.videos.values()) for made in loop.episodes if made.videos] == [
        [f] for f in recorded.videos
    ]


def test_closing_twice_gives_the_same(tmp_path: Path, way: Way) -> None:
    loop = Loop(recorder(), env(way, [[3]]), tmp_path)
    first = loop.run()
    assert first.videos
    assert loop.recorder.close() == first


def test_a_rebuild_goes_on_with_another_environment(tmp_path: Path, way: Way) -> None:
    lines: list[str] = []
    loop = Loop(VideoRecorder("retain-on-failure", log=lines.append), env(way, [[3], [4]]), tmp_path)
    loop.roll_out()
    loop.env = env(way, [[5], [50]])
    loop.start()
    for _ in range(5):
        loop.step()
    loop.recorder.after_rollout(lambda activity: None)
    loop.env = env(way, [[2]])
    recorded = loop.run()
    kept = [(0, 0, 3), (1, 1, 4), (2, 0, 5), (4, 0, 2)]
    assert [(e.episode, e.env_idx, e.length) for e in loop.episodes] == kept
    assert recorded.videos == [f"reach/videos/episode-{e:04d}-env{row}-front.mp4" for e, row, _ in kept]
    for path, (_, _, length) in zip(recorded.videos, kept, strict=True):
        assert len(shown(tmp_path / path)) == length + 1
    assert names_in(tmp_path / "reach" / "videos") == [Path(path).name for path in recorded.videos]
    assert len(lines) == 1


def test_only_the_chosen_cameras_are_filmed(tmp_path: Path, way: Way) -> None:
    made = env(way, [[3]], cameras=("front", "wrist", "top"))
    loop = Loop(recorder(["top", "front", "top"]), made, tmp_path)
    loop.run()
    assert list(loop.episodes[0].videos) == ["top", "front"]
    assert names_in(tmp_path / "reach" / "videos") == [
        "episode-0000-env0-front.mp4",
        "episode-0000-env0-top.mp4",
    ]


def test_every_kth_episode_of_some_environments(tmp_path: Path, way: Way) -> None:
    job = JOB.model_copy(update={"record": Record(video_every=2, video_environments=[1, 2])})
    loop = Loop(recorder(), env(way, [[2] * 6] * 4), tmp_path, job=job)
    loop.run()
    assert {e.episode for e in loop.episodes if e.videos} == {
        e.episode for e in loop.episodes if e.episode % 2 == 0 and e.env_idx in (1, 2)
    }


def test_camera_names_become_safe_and_distinct_file_names(tmp_path: Path, way: Way) -> None:
    cameras = ("robot/wrist cam", "robot_wrist_cam", "robot:wrist:cam", "robot_wrist_cam-2", "Ünï", "../up")
    loop = Loop(recorder(), env(way, [[3]], cameras=cameras), tmp_path)
    recorded = loop.run()
    videos = loop.episodes[0].videos
    names = {camera: Path(path).name for camera, path in videos.items()}
    assert names["robot_wrist_cam"] == "episode-0000-env0-robot_wrist_cam.mp4"
    assert names["robot_wrist_cam-2"] == "episode-0000-env0-robot_wrist_cam-2.mp4"
    assert len({name.casefold() for name in names.values()}) == len(cameras)
    assert sorted(names.values()) == names_in(tmp_path / "reach" / "videos")
    assert recorded.videos == sorted(videos.values())
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert set("".join(names.values())) <= allowed


@pytest.mark.parametrize(
    ("step_dt", "fps"),
    [
        (0.05, 20),
        (0.0, 30),
        (float("nan"), 30),
        (float("inf"), 30),
        (-1.0, 30),
        (0.001, 60),
        (1e-320, 60),
        (0.0125, 60),
        (0.4, Fraction(5, 2)),
        (1 / 29.97, Fraction(2997, 100)),
        (1001 / 30000, Fraction(30000, 1001)),
        (4.0, Fraction(1, 4)),
        (3600.0, Fraction(1, 10)),
    ],
)
def test_films_run_in_real_time_within_what_players_show(
    tmp_path: Path, way: Way, step_dt: float, fps: Fraction
) -> None:
    recorded = Loop(recorder(), env(way, [[10]], step_dt=step_dt), tmp_path).run()
    assert rate(tmp_path / recorded.videos[0]) == fps


def test_frame_rate_and_size_are_the_jobs_choice(tmp_path: Path, way: Way) -> None:
    record = Record(video_fps=7, video_size=Camera(width=47, height=32))
    job = JOB.model_copy(update={"record": record})
    recorded = Loop(recorder(), env(way, [[3]], step_dt=0.05), tmp_path, job=job).run()
    film = tmp_path / recorded.videos[0]
    assert rate(film) == 7
    with av.open(str(film)) as opened:
        codec = opened.streams.video[0].codec_context
        assert (codec.width, codec.height, codec.pix_fmt) == (48, 32, "yuv420p")
    assert len(shown(film)) == 4


def drop_camera(frames: dict[str, Any]) -> Any:
    return {name: images for name, images in frames.items() if name != "front"}


def give_floats(frames: dict[str, Any]) -> Any:
    return {**frames, "front": frames["front"].astype(np.float32)}


def give_depth(frames: dict[str, Any]) -> Any:
    return {**frames, "front": frames["front"][..., :1]}


def give_one_row_less(frames: dict[str, Any]) -> Any:
    return {**frames, "front": frames["front"][1:]}


def give_a_list(frames: dict[str, Any]) -> Any:
    return {**frames, "front": [1, 2]}


def give_another_size(frames: dict[str, Any]) -> Any:
    return {**frames, "front": frames["front"][:, :16]}


@pytest.mark.parametrize(
    ("spoil", "expected", "got"),
    [
        (drop_camera, "(2, H, W, 3) uint8", "gave None"),
        (give_floats, "an (H, W, 3) uint8 array", "got (32, 32, 3) float32"),
        (give_depth, "an (H, W, 3) uint8 array", "got (32, 32, 1) uint8"),
        (give_one_row_less, "(2, H, W, 3) uint8", "gave (1, 32, 32, 3) uint8"),
        (give_a_list, "(2, H, W, 3) uint8", "gave [1, 2]"),
        (give_another_size, "(32, 32, 3) uint8 as in the frames before", "got (16, 32, 3)"),
    ],
)
def test_a_camera_that_goes_wrong_costs_its_films_alone(
    tmp_path: Path, way: Way, spoil: Callable[[dict[str, Any]], Any], expected: str, got: str
) -> None:
    made = env(way, [[6, 4], [8]], cameras=("front", "wrist"))
    made.spoil = lambda frames, rows: spoil(frames) if len(made.asked) == 3 else frames
    loop = Loop(recorder(), made, tmp_path)
    recorded = loop.run()
    (note,) = recorded.notes
    assert note.startswith(
        "no video of episode 0, environment 0, camera 'front', and of 1 more by this camera: frame 2: "
    )
    assert f"expected {expected}" in note
    assert got in note
    assert [list(e.videos) for e in loop.episodes] == [["wrist"], ["wrist"], ["front", "wrist"]]
    for finished in loop.episodes:
        for path in finished.videos.values():
            assert len(shown(tmp_path / path)) == finished.length + 1
    assert len(names_in(tmp_path / "reach" / "videos")) == len(recorded.videos) == 4


def test_an_error_while_rendering_costs_the_films_not_the_rollout(tmp_path: Path, way: Way) -> None:
    def explode(frames: dict[str, Any], rows: list[int]) -> Any:
        if len(made.asked) == 3:
            raise RuntimeError("EGL context lost")
        return frames

    made = env(way, [[6], [8]])
    made.spoil = explode
    loop = Loop(recorder(), made, tmp_path)
    recorded = loop.run()
    assert recorded.videos == []
    (note,) = recorded.notes
    assert "and of 1 more by this camera: frame 2: " in note
    assert "EGL context lost" in note
    assert [e.videos for e in loop.episodes] == [{}, {}]
    assert len(made.asked) == 3, "rows without a film are not rendered"
    assert names_in(tmp_path / "reach") == []


def test_a_failing_encoder_is_a_note_and_does_not_hang(
    tmp_path: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Mp4File, frame: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Mp4File, "write", full)
    length = 3 * THREADS * (QUEUE_BYTES // (32 * 32 * 3))
    loop = Loop(recorder(), env(way, [[length], [length]]), tmp_path)
    recorded = loop.run()
    assert [made.length for made in loop.episodes] == [length, length]
    assert recorded.videos == []
    (note,) = recorded.notes
    assert "and of 1 more by this camera: " in note
    assert "No space left on device" in note


def test_a_film_that_is_there_already_stays_as_it_is(tmp_path: Path, way: Way) -> None:
    folder = tmp_path / "reach" / "videos"
    folder.mkdir(parents=True)
    (folder / "episode-0000-env0-front.mp4").write_text("precious")
    loop = Loop(recorder(), env(way, [[3, 3]]), tmp_path)
    recorded = loop.run()
    assert recorded.videos == ["reach/videos/episode-0001-env0-front.mp4"]
    assert [bool(made.videos) for made in loop.episodes] == [False, True]
    (note,) = recorded.notes
    assert "episode 0, environment 0, camera 'front'" in note
    assert "FileExistsError" in note
    assert (folder / "episode-0000-env0-front.mp4").read_text() == "precious"


@pytest.mark.parametrize("rows", [2, 8])
def test_what_is_held_grows_neither_with_episodes_nor_with_rows(
    tmp_path: Path, way: Way, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Encoders and images that are alive at once: they are what films cost in memory."""
    for module in (video, by_replay):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 2)
    encoders: set[Mp4File] = set()
    images: set[int] = set()
    most = {"encoders": 0, "images": 0}
    numbers = iter(range(10**6))
    open_file, drop = Mp4File._open, Mp4File.drop

    def opened(self: Mp4File, *size: int) -> Any:
        encoders.add(self)
        most["encoders"] = max(most["encoders"], len(encoders))
        return open_file(self, *size)

    def dropped(self: Mp4File) -> None:
        drop(self)
        encoders.discard(self)

    def counted(frames: dict[str, Any], asked: list[int]) -> Any:
        number = next(numbers)
        images.add(number)
        weakref.finalize(frames["front"], images.discard, number)
        most["images"] = max(most["images"], len(images))
        return frames

    monkeypatch.setattr(Mp4File, "_open", opened)
    monkeypatch.setattr(Mp4File, "drop", dropped)
    monkeypatch.setattr(encoder_module, "QUEUE_BYTES", 8 * 32 * 32 * 3)
    episodes = 60 if way == "live" else 120 // rows
    made = env(way, [[3] * episodes for _ in range(rows)])
    made.spoil = counted
    loop = Loop(recorder(), made, tmp_path)
    recorded = loop.run()
    assert (len(loop.episodes), len(recorded.videos)) == (episodes * rows, 120)
    assert encoders == set()
    assert most["encoders"] <= 2 * THREADS, (
        "a film is closed before its row's next one is opened on its thread"
    )
    # In each queue, held for it, and in the hands of a thread and of who waits.
    assert most["images"] <= THREADS * (8 + 4 + 2) + 2


def test_many_films_at_once(tmp_path: Path, way: Way) -> None:
    lengths = [[17 + row, 30 - row, 5] for row in range(8)]
    made = env(way, lengths, cameras=("front", "wrist"), size=(33, 31))
    loop = Loop(recorder(), made, tmp_path)
    recorded = loop.run()
    assert recorded.notes == []
    assert len(recorded.videos) == 8 * 3 * 2
    assert names_in(tmp_path / "reach" / "videos") == [Path(path).name for path in recorded.videos]
    for finished in loop.episodes:
        for path in finished.videos.values():
            assert shown(tmp_path / path) == [(finished.env_idx, step) for step in range(finished.length + 1)]

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from pytest_arena import Recorded, RecordingError, Step, VideoRecorder
from pytest_arena.errors import TimeIsUp
from pytest_arena.jobs.sections import Record
from pytest_arena.recorders.films import encoder as encoder_module
from pytest_arena.recorders.films.mp4 import Mp4File
from tests.film_fakes import JOB, FakeEnv, Loop, names_in, require_each_step, shown


def test_frame_k_is_the_image_after_k_steps_where_a_row_is_reset_by_its_next_step(tmp_path: Path) -> None:
    loop = Loop(VideoRecorder("on"), FakeEnv([[5, 40], [12]], "next_step"), tmp_path)
    recorded = loop.run()
    assert recorded.notes == []
    assert recorded.videos == [
        "reach/videos/episode-0000-env0-front.mp4",
        "reach/videos/episode-0001-env1-front.mp4",
        "reach/videos/episode-0002-env0-front.mp4",
    ]
    require_each_step(loop)


def test_where_a_row_is_reset_by_its_last_step_the_film_ends_one_step_before(tmp_path: Path) -> None:
    loop = Loop(VideoRecorder("on"), FakeEnv([[5, 30], [1, 12]], "same_step", False), tmp_path)
    recorded = loop.run()
    assert recorded.notes == []
    assert len(recorded.videos) == 4
    require_each_step(loop, terminal_image=False)


def test_a_film_that_has_failed_is_no_fault_of_a_row_that_begins_later(tmp_path: Path) -> None:
    """Row 1, which alone is filmed, loses its camera; that row 0 begins its next episode changes nothing."""
    env = FakeEnv([[2, 9], [20, 3]])
    env.spoil = lambda frames, rows: {"front": None} if len(env.asked) == 2 else frames
    job = JOB.model_copy(update={"record": Record(video_environments=[1])})
    recorded = Loop(VideoRecorder("on"), env, tmp_path, job=job).run()
    assert recorded.videos == ["reach/videos/episode-0003-env1-front.mp4"]
    (note,) = recorded.notes
    assert note.startswith("no video of episode 1, environment 1, camera 'front': frame 1: ")


AFTER_THREE = ("queued", "ended", "queued")
"""Row 0's last image, its end, and row 1's image: on two threads."""


def test_images_are_encoded_while_the_next_ones_are_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not while the simulator steps: beside a loop that is bound by Python, encoding slows it down."""
    env, happened = FakeEnv([[3], [4]]), []
    put: Callable[..., None] = encoder_module._WorkQueue.put
    for holder, name in ((env, "step"), (env.cameras, "frames")):
        called = getattr(holder, name)
        monkeypatch.setattr(
            holder, name, lambda arg, name=name, called=called: happened.append(name) or called(arg)
        )

    def queue(self: Any, item: Any, *args: Any) -> None:
        happened.append("queued" if item[0] > 1 else "ended")
        put(self, item, *args)

    monkeypatch.setattr(encoder_module._WorkQueue, "put", queue)
    loop = Loop(VideoRecorder("on"), env, tmp_path)
    loop.start()
    while loop.running:
        loop.step()
    loop.recorder.close()
    assert happened == [
        *("frames", "step", "queued", "queued"),
        *("frames", "step", "queued", "queued"),
        *("frames", "step", "queued", "queued"),
        # Row 0 ended with its third step: its film is published with what came before.
        *("frames", "step", *AFTER_THREE, "frames"),
        "ended",  # row 0's thread
        *("queued", "ended", "ended"),  # row 1's film, and its thread
    ]


def test_rows_that_ended_are_not_asked_for_where_the_image_is_the_next_episodes(tmp_path: Path) -> None:
    env = FakeEnv([[2], [3]], "same_step")
    Loop(VideoRecorder("on"), env, tmp_path).run()
    assert env.asked == [[0, 1], [0, 1], [1]]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_films_of_episodes_that_never_ended_are_deleted(
    tmp_path: Path, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop(VideoRecorder("on"), FakeEnv([[4, 100], [100]]), tmp_path)
    loop.start()
    for _ in range(20):
        loop.step()

    def fail(actions: Any) -> Step:
        raise error

    monkeypatch.setattr(loop.env, "step", fail)
    with pytest.raises(error):
        loop.step()
    recorded = loop.recorder.close()
    assert recorded.videos == ["reach/videos/episode-0000-env0-front.mp4"]
    assert recorded.notes == []
    assert names_in(tmp_path / "reach" / "videos") == ["episode-0000-env0-front.mp4"]


def test_an_interrupt_while_waiting_for_room_can_be_closed_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop(VideoRecorder("on"), FakeEnv([[100], [100]]), tmp_path)
    loop.start()
    loop.step()
    put, puts = Queue.put, []

    def interrupted(self: Any, item: Any, block: bool = True, timeout: float | None = None) -> None:
        puts.append(item)
        if len(puts) == 2:
            raise KeyboardInterrupt
        put(self, item, block, timeout)

    monkeypatch.setattr(Queue, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.step()
    assert loop.recorder.close() == Recorded()
    assert names_in(tmp_path / "reach") == []


def test_films_that_ended_are_released_before_a_rebuild(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop(VideoRecorder("on"), FakeEnv([[3]]), tmp_path)
    loop.start()
    while loop.running:
        loop.step()
    queued: list[int] = []
    put: Callable[..., None] = encoder_module._WorkQueue.put

    def counted(self: Any, item: Any, *args: Any) -> None:
        queued.append(item[0])
        put(self, item, *args)

    monkeypatch.setattr(encoder_module._WorkQueue, "put", counted)
    loop.recorder.after_rollout(lambda text: None)
    assert len(queued) == 2, "the last image and the end"
    assert len(loop.recorder.close().videos) == 1


def test_a_film_that_ended_is_published_though_no_other_is_shot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = JOB.model_copy(update={"record": Record(video_every=2)})
    published = threading.Event()
    publish: Callable[[Mp4File, int], None] = Mp4File.publish

    def watched(self: Mp4File, frames: int) -> None:
        publish(self, frames)
        published.set()

    monkeypatch.setattr(Mp4File, "publish", watched)
    loop = Loop(VideoRecorder("on"), FakeEnv([[3, 40]]), tmp_path, job=job)
    loop.start()
    for _ in range(4):
        loop.step()
    assert published.wait(60)
    while loop.running:
        loop.step()
    assert loop.recorder.close().videos == ["reach/videos/episode-0000-env0-front.mp4"]


def test_an_interrupt_leaves_films_of_ended_episodes_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes while the loop waits for room: the next picture is due, and two films are to be published."""
    env = FakeEnv([[3, 9], [9]], cameras=("front", "wrist"))
    loop = Loop(VideoRecorder("on"), env, tmp_path)
    loop.start()
    for _ in range(3):
        loop.step()
    put: Callable[..., None] = encoder_module._WorkQueue.put
    before_the_second = iter(range(2))

    def interrupted(self: Any, item: Any, *args: Any) -> None:
        if next(before_the_second, None) == 1:
            raise KeyboardInterrupt
        put(self, item, *args)

    monkeypatch.setattr(encoder_module._WorkQueue, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.step()
    recorded = loop.recorder.close()
    assert recorded.notes == []
    films = [f"reach/videos/episode-0000-env0-{camera}.mp4" for camera in env.cameras.names]
    assert recorded.videos == films == list(loop.episodes[0].videos.values())
    assert names_in(tmp_path / "reach" / "videos") == [Path(film).name for film in films]
    assert [len(shown(tmp_path / film)) for film in films] == [4, 4]


def test_closing_a_recorder_that_never_started() -> None:
    assert VideoRecorder("on").close() == Recorded()


def test_calls_after_closing_do_nothing(tmp_path: Path) -> None:
    loop = Loop(VideoRecorder("on"), FakeEnv([[3, 3]]), tmp_path)
    loop.start()
    loop.recorder.close()
    while loop.running:
        loop.step()
    assert loop.recorder.close() == Recorded()
    assert [made.videos for made in loop.episodes] == [{}, {}]


def test_the_log_says_what_is_recorded_and_where(tmp_path: Path) -> None:
    lines: list[str] = []
    env = FakeEnv([[3]], cameras=("front", "wrist"))
    Loop(VideoRecorder("retain-on-failure", log=lines.append), env, tmp_path).run()
    (line,) = lines
    for part in ("front", "wrist", "retain-on-failure", str(tmp_path / "reach" / "videos")):
        assert part in line


def test_an_unknown_camera_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    env = FakeEnv([[3]], cameras=("front", "wrist"))
    loop = Loop(VideoRecorder("on", cameras=["fornt"]), env, tmp_path)
    with pytest.raises(RecordingError, match=r"'fornt' \(did you mean 'front'\?\).*front, wrist"):
        loop.start()
    loop.recorder.close()


def test_asking_an_environment_without_cameras_for_one_is_an_error(tmp_path: Path) -> None:
    loop = Loop(VideoRecorder("on", cameras=["front"]), FakeEnv([[3]], cameras=()), tmp_path)
    with pytest.raises(RecordingError, match="it has no cameras"):
        loop.start()


@pytest.mark.parametrize(("cameras", "chosen"), [((), None), (("front",), [])])
def test_without_cameras_nothing_happens(
    tmp_path: Path, cameras: tuple[str, ...], chosen: list[str] | None
) -> None:
    lines: list[str] = []
    env = FakeEnv([[3, 3]], cameras=cameras)
    recorder = VideoRecorder("on", cameras=chosen, log=lines.append, required=False)
    loop = Loop(recorder, env, tmp_path)
    assert loop.run() == Recorded()
    assert (env.asked, lines, names_in(tmp_path / "reach")) == ([], [], [])
    assert [made.videos for made in loop.episodes] == [{}, {}]


def test_the_jobs_time_limit_is_not_taken_for_a_rendering_error(tmp_path: Path) -> None:
    def ring(frames: dict[str, Any], rows: list[int]) -> Any:
        raise TimeIsUp

    env = FakeEnv([[6]])
    loop = Loop(VideoRecorder("on"), env, tmp_path)
    loop.start()
    env.spoil = ring
    with pytest.raises(TimeIsUp):
        loop.step()
    loop.recorder.close()


def test_films_asked_for_where_nothing_can_film(tmp_path: Path) -> None:
    env = FakeEnv([[3]], cameras=())
    with pytest.raises(RecordingError, match="job 'reach': expected films, since video is on, and the env"):
        Loop(VideoRecorder("on"), env, tmp_path).start()
    assert Loop(VideoRecorder("retain-on-failure"), env, tmp_path).run().notes == [
        "no videos: the environment has no cameras"
    ]
    env = FakeEnv([[3]], cameras=())
    assert Loop(VideoRecorder("on", required=False), env, tmp_path).run().notes == []


def test_live_films_are_limited_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_arena.recorders.video.ROWS_AT_ONCE", 2)
    loop = Loop(VideoRecorder("on"), FakeEnv([[3, 2], [4], [2, 2], [3]]), tmp_path)
    recorded = loop.run()
    assert {made.env_idx for made in loop.episodes if made.videos} == {0, 1}
    (note,) = recorded.notes
    assert note == "filmed the first 2 of 4 environments; record.video_environments names others"

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from queue import Queue
from typing import Any, Literal

import av
import numpy as np
import pytest

from pytest_arena import (
    Camera,
    Capabilities,
    Episode,
    EpisodeEnd,
    EpisodeStart,
    Job,
    Outcome,
    Recorded,
    RecordingError,
    Reset,
    RolloutContext,
    SimEnv,
    Step,
    VideoRecorder,
)
from pytest_arena.errors import TimeIsUp
from pytest_arena.jobs.sections import Environment, PolicyConfig, Record, Rollout
from pytest_arena.recorders.films import encoder as encoder_module
from pytest_arena.recorders.films.encoder import QUEUE_BYTES, THREADS
from pytest_arena.recorders.films.mp4 import Mp4File
from pytest_arena.simulators.base import Cameras, Frames, IndexArray

Autoreset = Literal["manual", "next_step", "same_step"]
JOB = Job(
    name="reach",
    simulator="fake",
    environment=Environment(id="fake"),
    policy=PolicyConfig(type="fake"),
    rollout=Rollout(episodes=1),
)


def colour(row: int, step: int, size: tuple[int, int] = (32, 32)) -> np.ndarray:
    """A flat image that names its row (blue) and its step (red, green)."""
    image = np.empty((*size, 3), np.uint8)
    step %= 130  # as many as there are colours for
    image[:] = (20 + 8 * (step % 26), 20 + 40 * (step // 26), 20 + 25 * row)
    return image


def read_colour(frame: av.VideoFrame) -> tuple[int, int]:
    """Row and step of a decoded image."""
    red, green, blue = frame.to_ndarray(format="rgb24").reshape(-1, 3).mean(axis=0)
    return round((blue - 20) / 25), round((red - 20) / 8) + 26 * round((green - 20) / 40)


class FakeCameras(Cameras):
    def __init__(self, env: FakeEnv, names: tuple[str, ...], size: tuple[int, int]) -> None:
        self.env, self.names, self.size = env, names, size

    def frames(self, env_ids: IndexArray) -> Frames:
        rows = env_ids.tolist()
        self.env.asked.append(rows)
        batch = np.stack([colour(row, self.env.counts[row], self.size) for row in rows])
        frames = {camera: batch.copy() for camera in self.names}
        return self.env.spoil(frames, rows)  # type: ignore[no-any-return]


class FakeEnv(SimEnv):
    """Rows that count their steps; `lengths[row]` are the lengths of its episodes."""

    def __init__(
        self,
        lengths: Sequence[Sequence[int]],
        autoreset: Autoreset = "manual",
        terminal_frame: bool | None = None,
        cameras: tuple[str, ...] = ("front",),
        step_dt: float = 0.05,
        size: tuple[int, int] = (32, 32),
    ) -> None:
        self.num_envs, self.step_dt = len(lengths), step_dt
        self.cameras = FakeCameras(self, cameras, size) if cameras else None
        self.max_episode_steps, self.device, self.identity = None, "cpu", {}
        self.capabilities = Capabilities(
            autoreset=autoreset,
            terminal_observation=False,
            terminal_frame=autoreset != "same_step" if terminal_frame is None else terminal_frame,
            partial_reset=True,
            episode_seeds=False,
            deterministic=True,
        )
        self.lengths = [list(row) for row in lengths]
        self.counts = [0] * self.num_envs
        self.asked: list[list[int]] = []
        """The rows of every call of `frames`."""
        self.spoil: Callable[[dict[str, Any], list[int]], Any] = lambda frames, rows: frames

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> Reset:
        for row in range(self.num_envs) if env_ids is None else env_ids.tolist():
            self.counts[row] = 0
        return Reset(None, np.zeros(self.num_envs, np.int8))

    def step(self, actions: Any) -> Step:
        ends = []
        for row, lengths in enumerate(self.lengths):
            if lengths:
                self.counts[row] += 1
                if self.counts[row] == lengths[0]:
                    lengths.pop(0)
                    ends.append(EpisodeEnd(row, "time_out"))
                    if self.capabilities.autoreset == "same_step" or not self.capabilities.terminal_frame:
                        self.counts[row] = 0
        n = self.num_envs
        no = np.zeros(n, np.bool_)
        return Step(None, np.zeros(n), no, no, ~no, np.zeros(n, np.int8), tuple(ends))


@dataclass
class Loop:
    """As much of a rollout as a recorder can see; episodes are numbered as they begin."""

    recorder: VideoRecorder
    env: FakeEnv
    run_dir: Path
    outcome: Callable[[int], Outcome] = lambda episode: Outcome.FAILURE
    episodes: list[Episode] = field(default_factory=list)
    begun: int = 0
    steps: int = 0

    def start(self) -> None:
        directory = self.run_dir / "reach"
        directory.mkdir(exist_ok=True)
        self.recorder.start(RolloutContext(JOB, "reach", 1, directory, self.run_dir, self.env))
        self.running: dict[int, int] = {}
        self.env.reset()
        self.begin(range(self.env.num_envs))

    def begin(self, rows: Sequence[int]) -> None:
        rows = [row for row in rows if self.env.lengths[row]]
        if rows:
            starts = [EpisodeStart(self.begun + i, 0, 0, 0) for i in range(len(rows))]
            self.begun += len(rows)
            self.running.update({row: start.episode for row, start in zip(rows, starts, strict=True)})
            self.recorder.on_reset(np.array(rows, np.int64), starts, None)

    def step(self) -> None:
        rows = sorted(self.running)
        lengths = [row[0] if row else 0 for row in self.env.lengths]
        step = self.env.step(None)
        self.steps += 1
        self.recorder.on_step(np.array(rows, np.int64), None, step)
        for end in step.ends:
            self.end(end.env_idx, lengths[end.env_idx])
        again = [end.env_idx for end in step.ends]
        self.env.reset(np.array(again, np.int64))
        self.begin(again)

    def end(self, row: int, length: int) -> None:
        number = self.running.pop(row)
        made = episode(number, row, length, self.outcome(number))
        self.recorder.on_end(row, made)
        self.episodes.append(made)

    def run(self) -> Recorded:
        self.start()
        while self.running:
            self.step()
        return self.recorder.close()


def episode(number: int, row: int, length: int, outcome: Outcome) -> Episode:
    return Episode(
        job="reach",
        attempt=1,
        rebuild=0,
        episode=number,
        seed=0,
        env_idx=row,
        start_step=0,
        end_step=length - 1,
        length=length,
        outcome=outcome,
        success_once=None,
        success_at_end=None,
        success_at_reset=None,
        return_=0.0,
        end_reason="time_out",
        started_at="",
        wall_time_seconds=0.0,
    )


def shown(path: Path) -> list[tuple[int, int]]:
    """(row, step) of every frame of a film."""
    with av.open(str(path)) as film:
        return [read_colour(frame) for frame in film.decode(video=0)]


def rate(path: Path) -> Fraction:
    with av.open(str(path)) as film:
        return film.streams.video[0].average_rate or Fraction(0)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("arena-encoder")] == []


@pytest.mark.parametrize("autoreset", ["manual", "next_step"])
def test_frame_k_is_the_image_after_k_steps_up_to_the_terminal_one(
    tmp_path: Path, autoreset: Autoreset
) -> None:
    loop = Loop(VideoRecorder("on"), FakeEnv([[5, 40], [12]], autoreset), tmp_path)
    recorded = loop.run()
    assert recorded.notes == []
    assert recorded.videos == [
        "reach/videos/episode-0000-env0-front.mp4",
        "reach/videos/episode-0001-env1-front.mp4",
        "reach/videos/episode-0002-env0-front.mp4",
    ]
    for made in loop.episodes:
        film = tmp_path / made.videos["front"]
        assert shown(film) == [(made.env_idx, step) for step in range(made.length + 1)]


@pytest.mark.parametrize(("autoreset", "terminal"), [("same_step", False), ("manual", False)])
def test_without_a_terminal_image_the_film_ends_one_step_before(
    tmp_path: Path, autoreset: Autoreset, terminal: bool
) -> None:
    loop = Loop(VideoRecorder("on"), FakeEnv([[5, 30], [1, 12]], autoreset, terminal), tmp_path)
    recorded = loop.run()
    assert recorded.notes == []
    assert len(recorded.videos) == 4
    for made in loop.episodes:
        film = tmp_path / made.videos["front"]
        assert shown(film) == [(made.env_idx, step) for step in range(made.length)]


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
    Loop(VideoRecorder("on"), env, tmp_path).run()
    assert happened == [
        *("frames", "step", "queued", "queued"),
        *("frames", "step", "queued", "queued"),
        *("frames", "step", "queued", "queued"),
        # Row 0 ended with its third step: its film is published with what came before.
        *("frames", "step", *AFTER_THREE, "frames"),
        "ended",  # row 0's thread
        *("queued", "ended", "ended"),  # row 1's film, and its thread
    ]


def test_the_environment_is_asked_once_a_step_with_all_rows(tmp_path: Path) -> None:
    env = FakeEnv([[3], [5], [4]], cameras=("front", "wrist"))
    Loop(VideoRecorder("on"), env, tmp_path).run()
    assert env.asked == [[0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 2], [1, 2], [1]]


def test_rows_that_ended_are_not_asked_for_where_the_image_is_the_next_episodes(tmp_path: Path) -> None:
    env = FakeEnv([[2], [3]], "same_step")
    Loop(VideoRecorder("on"), env, tmp_path).run()
    assert env.asked == [[0, 1], [0, 1], [1]]


def test_retain_on_failure_deletes_the_films_of_successes_alone(tmp_path: Path) -> None:
    outcomes = [Outcome.SUCCESS, Outcome.FAILURE, Outcome.ERROR, Outcome.UNKNOWN, Outcome.SUCCESS]
    env = FakeEnv([[6] * 5])
    loop = Loop(VideoRecorder("retain-on-failure"), env, tmp_path, outcomes.__getitem__)
    recorded = loop.run()
    assert names_in(tmp_path / "reach" / "videos") == [f"episode-000{i}-env0-front.mp4" for i in (1, 2, 3)]
    assert [bool(made.videos) for made in loop.episodes] == [False, True, True, True, False]
    assert recorded.videos == [made.videos["front"] for made in loop.episodes if made.videos]


def test_a_run_of_successes_leaves_no_folder(tmp_path: Path) -> None:
    loop = Loop(VideoRecorder("retain-on-failure"), FakeEnv([[6, 6]]), tmp_path, lambda i: Outcome.SUCCESS)
    assert loop.run() == Recorded()
    assert names_in(tmp_path / "reach") == []


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
    monkeypatch.setitem(globals(), "JOB", JOB.model_copy(update={"record": Record(video_every=2)}))
    published = threading.Event()
    publish: Callable[[Mp4File, int], None] = Mp4File.publish

    def watched(self: Mp4File, frames: int) -> None:
        publish(self, frames)
        published.set()

    monkeypatch.setattr(Mp4File, "publish", watched)
    loop = Loop(VideoRecorder("on"), FakeEnv([[3, 40]]), tmp_path)
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


def test_closing_twice_gives_the_same(tmp_path: Path) -> None:
    loop = Loop(VideoRecorder("on"), FakeEnv([[3]]), tmp_path)
    first = loop.run()
    assert first.videos
    assert loop.recorder.close() == first


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


def test_a_rebuild_goes_on_with_another_environment(tmp_path: Path) -> None:
    lines: list[str] = []
    recorder = VideoRecorder("on", log=lines.append)
    loop = Loop(recorder, FakeEnv([[3], [4]]), tmp_path)
    loop.start()
    while loop.running:
        loop.step()
    loop.env = FakeEnv([[5], [50]])
    loop.start()
    for _ in range(5):
        loop.step()
    loop.env = FakeEnv([[2]])
    loop.start()
    while loop.running:
        loop.step()
    recorded = recorder.close()
    kept = [(0, 0, 3), (1, 1, 4), (2, 0, 5), (4, 0, 2)]
    assert [(e.episode, e.env_idx, e.length) for e in loop.episodes] == kept
    assert recorded.videos == [f"reach/videos/episode-{e:04d}-env{row}-front.mp4" for e, row, _ in kept]
    for path, (_, _, length) in zip(recorded.videos, kept, strict=True):
        assert len(shown(tmp_path / path)) == length + 1
    assert len(lines) == 1


def test_the_log_says_what_is_recorded_and_where(tmp_path: Path) -> None:
    lines: list[str] = []
    env = FakeEnv([[3]], cameras=("front", "wrist"))
    Loop(VideoRecorder("retain-on-failure", log=lines.append), env, tmp_path).run()
    (line,) = lines
    for part in ("front", "wrist", "retain-on-failure", str(tmp_path / "reach" / "videos")):
        assert part in line


def test_only_the_chosen_cameras_are_filmed(tmp_path: Path) -> None:
    env = FakeEnv([[3]], cameras=("front", "wrist", "top"))
    loop = Loop(VideoRecorder("on", cameras=["top", "front", "top"]), env, tmp_path)
    loop.run()
    assert list(loop.episodes[0].videos) == ["top", "front"]
    assert names_in(tmp_path / "reach" / "videos") == [
        "episode-0000-env0-front.mp4",
        "episode-0000-env0-top.mp4",
    ]


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


def test_camera_names_become_safe_and_distinct_file_names(tmp_path: Path) -> None:
    cameras = ("robot/wrist cam", "robot_wrist_cam", "robot:wrist:cam", "robot_wrist_cam-2", "Ünï", "../up")
    loop = Loop(VideoRecorder("on"), FakeEnv([[3]], cameras=cameras), tmp_path)
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
    tmp_path: Path, step_dt: float, fps: Fraction
) -> None:
    recorded = Loop(VideoRecorder("on"), FakeEnv([[10]], step_dt=step_dt), tmp_path).run()
    assert rate(tmp_path / recorded.videos[0]) == fps


def drop_camera(frames: dict[str, Any], rows: list[int]) -> Any:
    del frames["front"]
    return frames


def give_floats(frames: dict[str, Any], rows: list[int]) -> Any:
    return {**frames, "front": frames["front"].astype(np.float32)}


def give_depth(frames: dict[str, Any], rows: list[int]) -> Any:
    return {**frames, "front": frames["front"][..., :1]}


def give_one_row_less(frames: dict[str, Any], rows: list[int]) -> Any:
    return {**frames, "front": frames["front"][1:]}


def give_a_list(frames: dict[str, Any], rows: list[int]) -> Any:
    return {**frames, "front": [1, 2]}


def give_another_size(frames: dict[str, Any], rows: list[int]) -> Any:
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
    tmp_path: Path, spoil: Callable[[dict[str, Any], list[int]], Any], expected: str, got: str
) -> None:
    env = FakeEnv([[6, 4], [8]], cameras=("front", "wrist"))
    loop = Loop(VideoRecorder("on"), env, tmp_path)
    loop.start()
    loop.step()
    env.spoil = spoil
    loop.step()
    env.spoil = lambda frames, rows: frames
    while loop.running:
        loop.step()
    recorded = loop.recorder.close()
    (note,) = recorded.notes
    assert note.startswith(
        "no video of episode 0, environment 0, camera 'front', and of 1 more by this camera: frame 2: "
    )
    assert f"expected {expected}" in note
    assert got in note
    assert [list(made.videos) for made in loop.episodes] == [["wrist"], ["wrist"], ["front", "wrist"]]
    for made in loop.episodes:
        for path in made.videos.values():
            assert len(shown(tmp_path / path)) == made.length + 1
    assert len(names_in(tmp_path / "reach" / "videos")) == len(recorded.videos) == 4


def test_an_error_while_rendering_costs_the_films_not_the_rollout(tmp_path: Path) -> None:
    def explode(frames: dict[str, Any], rows: list[int]) -> Any:
        raise RuntimeError("EGL context lost")

    env = FakeEnv([[6], [8]])
    loop = Loop(VideoRecorder("on"), env, tmp_path)
    loop.start()
    loop.step()
    env.spoil = explode
    while loop.running:
        loop.step()
    recorded = loop.recorder.close()
    assert recorded.videos == []
    (note,) = recorded.notes
    assert "and of 1 more by this camera: frame 2: " in note
    assert "EGL context lost" in note
    assert len(loop.episodes) == 2
    assert len(env.asked) == 3, "rows without a film are not rendered"
    assert names_in(tmp_path / "reach") == []


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


def test_a_failing_encoder_is_a_note_and_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Mp4File, frame: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Mp4File, "write", full)
    length = 3 * THREADS * (QUEUE_BYTES // (32 * 32 * 3))
    loop = Loop(VideoRecorder("on"), FakeEnv([[length], [length]]), tmp_path)
    recorded = loop.run()
    assert [made.length for made in loop.episodes] == [length, length]
    assert recorded.videos == []
    (note,) = recorded.notes
    assert "and of 1 more by this camera: " in note
    assert "No space left on device" in note


def test_films_asked_for_where_nothing_can_film(tmp_path: Path) -> None:
    env = FakeEnv([[3]], cameras=())
    with pytest.raises(RecordingError, match="job 'reach': expected films, since video is on, and the env"):
        Loop(VideoRecorder("on"), env, tmp_path).start()
    assert Loop(VideoRecorder("retain-on-failure"), env, tmp_path).run().notes == [
        "no videos: the environment has no cameras"
    ]
    env = FakeEnv([[3]], cameras=())
    assert Loop(VideoRecorder("on", required=False), env, tmp_path).run().notes == []


def test_a_film_that_is_there_already_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "reach" / "videos"
    folder.mkdir(parents=True)
    (folder / "episode-0000-env0-front.mp4").write_text("precious")
    recorded = Loop(VideoRecorder("on"), FakeEnv([[3, 3]]), tmp_path).run()
    assert recorded.videos == ["reach/videos/episode-0001-env0-front.mp4"]
    (note,) = recorded.notes
    assert "episode 0, environment 0, camera 'front'" in note
    assert "FileExistsError" in note
    assert (folder / "episode-0000-env0-front.mp4").read_text() == "precious"


def test_live_films_are_limited_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_arena.recorders.video.ROWS_AT_ONCE", 2)
    loop = Loop(VideoRecorder("on"), FakeEnv([[3, 2], [4], [2, 2], [3]]), tmp_path)
    recorded = loop.run()
    assert {made.env_idx for made in loop.episodes if made.videos} == {0, 1}
    (note,) = recorded.notes
    assert note == "filmed the first 2 of 4 environments; record.video_environments names others"


@pytest.mark.parametrize("rows", [2, 12])
def test_what_is_held_grows_neither_with_episodes_nor_with_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Encoders and images that are alive at once: they are what films cost in memory."""
    monkeypatch.setattr("pytest_arena.recorders.video.ROWS_AT_ONCE", 2)
    encoders: set[Mp4File] = set()
    images: set[int] = set()
    most = {"encoders": 0, "images": 0}
    made = iter(range(10**6))
    open_file, drop = Mp4File._open, Mp4File.drop

    def opened(self: Mp4File, *size: int) -> Any:
        encoders.add(self)
        most["encoders"] = max(most["encoders"], len(encoders))
        return open_file(self, *size)

    def dropped(self: Mp4File) -> None:
        drop(self)
        encoders.discard(self)

    def counted(frames: dict[str, Any], asked: list[int]) -> Any:
        number = next(made)
        images.add(number)
        weakref.finalize(frames["front"], images.discard, number)
        most["images"] = max(most["images"], len(images))
        return frames

    monkeypatch.setattr(Mp4File, "_open", opened)
    monkeypatch.setattr(Mp4File, "drop", dropped)
    monkeypatch.setattr(encoder_module, "QUEUE_BYTES", 8 * 32 * 32 * 3)
    env = FakeEnv([[3] * 60 for _ in range(rows)])
    env.spoil = counted
    loop = Loop(VideoRecorder("on"), env, tmp_path)
    recorded = loop.run()
    assert (len(loop.episodes), len(recorded.videos)) == (60 * rows, 60 * 2)
    assert encoders == set()
    assert most["encoders"] <= 2 * THREADS, (
        "a film is closed before its row's next one is opened on its thread"
    )
    # In each queue, held for it, and in the hands of a thread and of who waits.
    assert most["images"] <= THREADS * (8 + 4 + 2) + 2


def test_frame_rate_and_size_are_the_jobs_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record(video_fps=7, video_size=Camera(width=47, height=32))
    monkeypatch.setitem(globals(), "JOB", JOB.model_copy(update={"record": record}))
    recorded = Loop(VideoRecorder("on"), FakeEnv([[3]], step_dt=0.05), tmp_path).run()
    film = tmp_path / recorded.videos[0]
    assert rate(film) == 7
    with av.open(str(film)) as opened:
        codec = opened.streams.video[0].codec_context
        assert (codec.width, codec.height, codec.pix_fmt) == (48, 32, "yuv420p")
    assert len(shown(film)) == 4


def test_many_films_at_once(tmp_path: Path) -> None:
    lengths = [[17 + row, 30 - row, 5] for row in range(8)]
    env = FakeEnv(lengths, cameras=("front", "wrist"), size=(33, 31))
    loop = Loop(VideoRecorder("on"), env, tmp_path)
    recorded = loop.run()
    assert recorded.notes == []
    assert len(recorded.videos) == 8 * 3 * 2
    assert names_in(tmp_path / "reach" / "videos") == [Path(path).name for path in recorded.videos]
    for made in loop.episodes:
        for path in made.videos.values():
            assert shown(tmp_path / path) == [(made.env_idx, step) for step in range(made.length + 1)]

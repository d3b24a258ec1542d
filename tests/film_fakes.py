"""An environment and a rollout for recorders of films: each picture names its row and its step."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import gymnasium
import numpy as np

from pytest_arena import (
    Capabilities,
    Episode,
    EpisodeEnd,
    EpisodeStart,
    Job,
    Outcome,
    Recorded,
    Reset,
    RolloutContext,
    SimEnv,
    Step,
    VideoRecorder,
)
from pytest_arena.jobs.sections import Environment, PolicyConfig, Rollout
from pytest_arena.recorders.films.film import Film
from pytest_arena.simulators.array_types import IndexArray
from pytest_arena.simulators.cameras import Cameras, Frames

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
    """Rows that count their steps; `lengths[row]` are the lengths of its episodes.

    One that is *replayable* gives an episode again from its seed, which is its number.
    """

    single_action_space = single_observation_space = gymnasium.spaces.Discrete(2)

    def __init__(
        self,
        lengths: Sequence[Sequence[int]],
        autoreset: Autoreset = "manual",
        terminal_frame: bool | None = None,
        cameras: tuple[str, ...] = ("front",),
        step_dt: float = 0.05,
        size: tuple[int, int] = (32, 32),
        replayable: bool = False,
    ) -> None:
        self.num_envs, self.step_dt = len(lengths), step_dt
        self.cameras = FakeCameras(self, cameras, size) if cameras else None
        self.max_episode_steps, self.device, self.identity = None, "cpu", {}
        self.capabilities = Capabilities(
            autoreset=autoreset,
            terminal_observation=False,
            terminal_frame=autoreset != "same_step" if terminal_frame is None else terminal_frame,
            partial_reset=True,
            episode_seeds=replayable,
            deterministic=True,
        )
        self.lengths = [list(row) for row in lengths]
        self.counts = [0] * self.num_envs
        self.begun: dict[int, int] = {}
        """Number of an episode that a rollout has begun → its length."""
        self.asked: list[list[int]] = []
        """The rows of every call of `frames`."""
        self.spoil: Callable[[dict[str, Any], list[int]], Any] = lambda frames, rows: frames

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> Reset:
        for row in range(self.num_envs) if env_ids is None else env_ids.tolist():
            self.counts[row] = 0
        for row, seed in zip([] if env_ids is None else env_ids.tolist(), seeds or (), strict=False):
            self.lengths[row] = [self.begun[seed]]
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
        return Step(None, np.array(self.counts, np.float64), no, no, ~no, np.zeros(n, np.int8), tuple(ends))


@dataclass
class Loop:
    """As much of a rollout as a recorder can see; episodes are numbered as they begin."""

    recorder: VideoRecorder
    env: FakeEnv
    run_dir: Path
    outcome: Callable[[int], Outcome] = lambda episode: Outcome.FAILURE
    job: Job = JOB
    episodes: list[Episode] = field(default_factory=list)
    begun: int = 0
    steps: int = 0

    def start(self) -> None:
        directory = self.run_dir / "reach"
        directory.mkdir(exist_ok=True)
        self.recorder.start(RolloutContext(self.job, "reach", 1, directory, self.run_dir, self.env))
        self.running: dict[int, int] = {}
        self.env.reset()
        self.begin(range(self.env.num_envs))

    def begin(self, rows: Sequence[int]) -> None:
        rows = [row for row in rows if self.env.lengths[row]]
        if rows:
            numbers = range(self.begun, self.begun + len(rows))
            starts = [EpisodeStart(number, 0, number, 0) for number in numbers]
            self.env.begun.update({k: self.env.lengths[row][0] for k, row in zip(numbers, rows, strict=True)})
            self.begun += len(rows)
            self.running.update({row: start.episode for row, start in zip(rows, starts, strict=True)})
            self.recorder.on_reset(np.array(rows, np.int64), starts, None)

    def step(self) -> None:
        rows = sorted(self.running)
        lengths = [row[0] if row else 0 for row in self.env.lengths]
        step = self.env.step(None)
        self.steps += 1
        self.recorder.on_step(np.array(rows, np.int64), np.zeros(self.env.num_envs, np.int64), step)
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

    def roll_out(self) -> None:
        """One rollout in one environment, with the films that are made after it."""
        self.start()
        while self.running:
            self.step()
        self.recorder.after_rollout(lambda activity: None)

    def run(self) -> Recorded:
        self.roll_out()
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


def grey(level: int, height: int = 32, width: int = 32) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def level_of(step: int) -> int:
    return 20 + 8 * (step % 25)


def boxes(path: Path) -> list[str]:
    """Names of the top-level boxes of an mp4 file, in order."""
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        names.append(name.decode())
        at += size
    return names


def decode(path: Path) -> tuple[Any, list[av.VideoFrame]]:
    with av.open(str(path), format="mp4") as film:
        stream = film.streams.video[0]
        frames = list(film.decode(stream))
        facts = {
            "codec": stream.codec_context.name,
            "profile": stream.codec_context.profile,
            "pix_fmt": stream.codec_context.pix_fmt,
            "size": (stream.codec_context.width, stream.codec_context.height),
            "rate": stream.average_rate,
            "frames": stream.frames,
            "colorspace": stream.codec_context.colorspace,
        }
    return facts, frames


def shoot(film: Film, frames: int) -> None:
    for step in range(frames):
        film.add(grey(level_of(step)))
    film.finish()


def require_each_step(loop: Loop, *, terminal_image: bool = True) -> None:
    """Each film of *loop* shows its row, step by step, from the reset to the last image that there is."""
    for made in loop.episodes:
        film = loop.run_dir / made.videos["front"]
        assert shown(film) == [(made.env_idx, step) for step in range(made.length + terminal_image)]

"""What films cost: this project beside others who film rollouts, on the same frames, one after the other.

    pip install pytest-arena[metaworld] imageio imageio-ffmpeg     # moviepy and gymnasium are there already
    python benchmarks/recording.py

8 environments, 1 and 2 cameras, 256 x 256 and 512 x 512, 300 frames of a Meta-World task each. Every
contestant runs in a process of its own, with its own default settings, and makes one film an environment and
camera:

- `pytest-arena`: the video recorder with `video: on`;
- `RecordVideo`: gymnasium's wrapper, one an environment and camera;
- `buffered clip`: moviepy's `ImageSequenceClip` over all frames of an episode;
- `streamed clip`: moviepy's `FFMPEG_VideoWriter`, one ffmpeg an environment and camera;
- `LeRobot`: the frames of all environments are stacked, then written by `imageio`, a thread a film. Written
  anew from its description, since the package brings a robot-learning stack along.

Wall time is from the first frame to the last file. Blocked is what the loop spends in the recorder until its
last step. Memory is the peak of resident memory over the process and its children, sampled every 10 ms.
Frames are those found in the files, of those given. A loop that waits between its steps, as for a GPU, is
measured by turns with one that records nothing. Exit status 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ENVS, FPS = 8, 30
PICTURES = 24
"""Distinct frames; a rollout shows them forwards and backwards, each environment from another one."""
PEERS = ("RecordVideo", "buffered clip", "streamed clip", "LeRobot")
OURS, NOTHING = "pytest-arena", "no recording"
BUFFERED = ("RecordVideo", "buffered clip", "LeRobot")
WAIT = 0.025
WAITING_RUNS = 3
"""By turns; the fastest counts, since other work on the machine only makes a loop that sleeps oversleep."""

Batch = dict[str, np.ndarray]
"""Camera -> (ENVS, H, W, 3)."""


@dataclass
class Measured:
    """One run; seconds and bytes."""

    wall: float = 0.0
    loop: float = 0.0
    """Until the last step."""
    blocked: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    frames: float = 0.0
    """Found in the files, of those given."""
    whole: int = 0
    """Films with just the frames that were given."""


class Source:
    """The frames of a rollout."""

    def __init__(self, pictures: Path, cameras: int) -> None:
        self._pictures = np.load(pictures)
        self._order = [*range(PICTURES), *range(PICTURES - 2, 0, -1)]
        self.cameras = [f"camera{i}" for i in range(cameras)]
        self.size = self._pictures.shape[1]

    def batch(self, step: int) -> Batch:
        def index(env: int, camera: int) -> int:
            return self._order[(step + 3 * env + 7 * camera) % len(self._order)]

        return {
            name: self._pictures[[index(env, camera) for env in range(ENVS)]]
            for camera, name in enumerate(self.cameras)
        }


# --- Contestants: each gives (add a step's frames, end) ----------------------------------------------------

Contestant = tuple[Callable[[Batch], None], Callable[[], None]]


def no_recording(source: Source, folder: Path) -> Contestant:
    return (lambda batch: None), (lambda: None)


def pytest_arena(source: Source, folder: Path) -> Contestant:
    from pytest_arena import (
        Cameras,
        Capabilities,
        Episode,
        EpisodeStart,
        Job,
        Outcome,
        RolloutContext,
        Step,
        VideoRecorder,
    )

    class Shown(Cameras):
        names = tuple(source.cameras)
        now: Batch

        def frames(self, env_ids: np.ndarray) -> Batch:
            return self.now

    class Env:
        num_envs, cameras, step_dt = ENVS, Shown(), 1 / FPS
        capabilities = Capabilities("manual", True, True, True, False, False)

    job = Job.model_validate(
        {
            "name": "films",
            "simulator": "gymnasium",
            "environment": {"id": "films", "num_envs": ENVS},
            "policy": {"type": "zero"},
            "rollout": {"episodes": ENVS},
        }
    )
    env, recorder, rows = Env(), VideoRecorder("on"), np.arange(ENVS)
    recorder.start(RolloutContext(job, "films", 1, folder, folder, env))  # type: ignore[arg-type]
    no = np.zeros(ENVS, np.bool_)
    step = Step(None, np.zeros(ENVS), no, no, ~no, np.zeros(ENVS, np.int8))
    begun: list[bool] = []

    def add(batch: Batch) -> None:
        env.cameras.now = batch
        if begun:
            recorder.on_step(rows, None, step)
        else:
            begun.append(True)
            recorder.on_reset(rows, [EpisodeStart(row, 0, 0, 0) for row in range(ENVS)], None)

    def end() -> None:
        for row in range(ENVS):
            facts = (None, None, None, 0.0, "time_out", "", 0.0)
            recorder.on_end(row, Episode("films", 1, 0, row, 0, row, 0, 0, 1, Outcome.FAILURE, *facts))
        assert recorder.close().notes == []

    return add, end


def record_video(source: Source, folder: Path) -> Contestant:
    import gymnasium
    from gymnasium.wrappers import RecordVideo

    class Shown(gymnasium.Env[Any, Any]):
        metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012
        render_mode = "rgb_array"
        observation_space = action_space = gymnasium.spaces.Discrete(1)
        image: np.ndarray

        def reset(self, **kwargs: Any) -> Any:
            return 0, {}

        def step(self, action: Any) -> Any:
            return 0, 0.0, False, False, {}

        def render(self) -> Any:
            return self.image

    envs, films, begun = [], [], []
    for i in range(ENVS * len(source.cameras)):
        envs.append(Shown())
        films.append(RecordVideo(envs[-1], str(folder / str(i)), episode_trigger=lambda episode: True))

    def add(batch: Batch) -> None:
        for env, image in zip(envs, each(batch), strict=True):
            env.image = image
        for film in films:
            film.step(0) if begun else film.reset()
        begun.append(True)

    def end() -> None:
        for film in films:
            film.close()

    return add, end


def buffered_clip(source: Source, folder: Path) -> Contestant:
    from moviepy.video.io.ImageSequenceClip import ImageSequenceClip

    kept: list[list[np.ndarray]] = [[] for _ in range(ENVS * len(source.cameras))]

    def add(batch: Batch) -> None:
        for frames, image in zip(kept, each(batch), strict=True):
            frames.append(image)

    def end() -> None:
        for i, frames in enumerate(kept):
            ImageSequenceClip(frames, fps=FPS).write_videofile(str(folder / f"{i}.mp4"), logger=None)

    return add, end


def streamed_clip(source: Source, folder: Path) -> Contestant:
    from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

    size = (source.size, source.size)
    writers = [
        FFMPEG_VideoWriter(str(folder / f"{i}.mp4"), size, FPS) for i in range(ENVS * len(source.cameras))
    ]

    def add(batch: Batch) -> None:
        for writer, image in zip(writers, each(batch), strict=True):
            writer.write_frame(image)

    def end() -> None:
        for writer in writers:
            writer.close()

    return add, end


def lerobot(source: Source, folder: Path) -> Contestant:
    import imageio

    kept: dict[str, list[np.ndarray]] = {camera: [] for camera in source.cameras}

    def add(batch: Batch) -> None:
        for camera, images in batch.items():
            kept[camera].append(images)

    def end() -> None:
        threads = []
        for camera, batches in kept.items():
            for env, frames in enumerate(np.stack(batches, axis=1)):
                file = str(folder / f"{camera}-{env}.mp4")
                threads.append(threading.Thread(target=partial(imageio.mimsave, file, frames, fps=FPS)))
                threads[-1].start()
        for thread in threads:
            thread.join()

    return add, end


def each(batch: Batch) -> Iterator[np.ndarray]:
    """Yield one image an environment and camera."""
    for images in batch.values():
        yield from images


CONTESTANTS: dict[str, Callable[[Source, Path], Contestant]] = {
    NOTHING: no_recording,
    OURS: pytest_arena,
    "RecordVideo": record_video,
    "buffered clip": buffered_clip,
    "streamed clip": streamed_clip,
    "LeRobot": lerobot,
}


def contest(name: str, pictures: Path, cameras: int, steps: int, wait: float) -> None:
    """Run one contestant in this process; prints what was measured as JSON."""
    source, measured = Source(pictures, cameras), Measured()
    with tempfile.TemporaryDirectory() as folder:
        add, end = CONTESTANTS[name](source, Path(folder))
        began = time.perf_counter()
        for step in range(steps):
            batch = source.batch(step)
            given = time.perf_counter()
            add(batch)
            measured.blocked += time.perf_counter() - given
            if wait:
                time.sleep(wait)
        measured.loop = time.perf_counter() - began
        end()
        measured.wall = time.perf_counter() - began
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
            used = resource.getrusage(who)
            measured.cpu += used.ru_utime + used.ru_stime
        if name != NOTHING:
            counts = [frames_in(path) for path in Path(folder).rglob("*.mp4")]
            measured.frames = sum(counts) / (steps * ENVS * cameras)
            measured.whole = counts.count(steps)
    print(json.dumps(asdict(measured)))


def frames_in(path: Path) -> int:
    import av

    with av.open(str(path)) as film:
        return sum(packet.size > 0 for packet in film.demux(video=0))


# --- Measuring ---------------------------------------------------------------------------------------------


def measure(name: str, pictures: Path, cameras: int, steps: int, wait: float = 0.0) -> Measured:
    """Run a contestant in a process of its own, and watch its memory."""
    arguments = [name, str(pictures), str(cameras), str(steps), str(wait)]
    process = subprocess.Popen(
        [sys.executable, __file__, "--contest", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak = 0
    reader = threading.Thread(target=lambda: told.extend(process.communicate()), daemon=True)
    told: list[str] = []
    reader.start()
    while reader.is_alive():
        peak = max(peak, resident(process.pid))
        reader.join(0.01)
    if process.returncode:
        raise SystemExit(f"{name} failed:\n{told[1]}")
    measured = Measured(**json.loads(told[0].splitlines()[-1]))
    measured.memory = peak
    return measured


def resident(pid: int) -> int:
    """Return the resident bytes of a process and all below it."""
    total = 0
    try:
        program = os.readlink(f"/proc/{pid}/exe")
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                total = 1024 * int(line.split()[1])
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                # A child that has not become another program yet shares its parent's memory.
                if os.readlink(f"/proc/{child}/exe") != program:
                    total += resident(int(child))
    except (OSError, ValueError):  # it has just ended
        pass
    return total


def render(size: int, folder: Path) -> Path:
    """Render the frames that everybody films: a Meta-World task with its expert."""
    from pytest_arena import Camera, Job, make_policy
    from pytest_arena.simulators.mujoco.metaworld import MetaworldEnv, MetaworldSimulator

    job = Job.model_validate(
        {
            "name": "films",
            "simulator": "metaworld",
            "environment": {"id": "door-open-v3"},
            "policy": {"type": "metaworld_expert"},
            "rollout": {"episodes": 1},
        }
    )
    MetaworldSimulator().launch(job)
    camera = {"corner2": Camera(width=size, height=size)}
    env = MetaworldEnv("door-open-v3", cameras=camera, terminate_on_success=False)
    policy = make_policy(job, env)
    observation, row, pictures = env.reset(seeds=[1]).observation, np.array([0]), []
    policy.reset(row, [1])
    while len(pictures) < PICTURES:
        pictures.append(env.cameras.frames(row)["corner2"][0])
        observation = env.step(policy.act(observation)).observation
    env.close()
    path = folder / f"{size}.npy"
    np.save(path, np.stack(pictures))
    return path


def table(title: str, found: dict[str, Measured]) -> None:
    print(f"\n{title}\n")
    print(f"{'':16}{'wall s':>9}{'x ours':>8}{'CPU s':>8}{'blocked s':>11}{'memory MB':>11}{'frames':>9}")
    ours = found[OURS]
    for name, run in found.items():
        frames = f"{run.frames:.1%}" if run.frames else ""
        print(
            f"{name:16}{run.wall:9.2f}{run.wall / ours.wall:8.2f}{run.cpu:8.2f}{run.blocked:11.3f}"
            f"{run.memory / 1e6:11.0f}{frames:>9}"
        )


class Verdicts:
    """Prints each comparison with its target."""

    def __init__(self) -> None:
        self.all_met = True

    def at_most(self, what: str, ratio: float, target: float) -> None:
        met = ratio <= target
        self.all_met &= met
        print(f"{'PASS' if met else 'MISS'}  {what}: {ratio:.3f}, target <= {target:g}")


def compare(size: int, pictures: Path, cameras: int, steps: int, verdicts: Verdicts) -> None:
    """Compare as fast as frames come."""
    found = {name: measure(name, pictures, cameras, steps) for name in (NOTHING, OURS, *PEERS)}
    table(f"{ENVS} environments, {cameras} cameras, {size} x {size}, {steps} frames", found)
    ours, peers = found[OURS], [found[name] for name in PEERS]
    print()
    verdicts.at_most("wall time / fastest peer", ours.wall / min(peer.wall for peer in peers), 0.5)
    buffered = min(found[name].memory for name in BUFFERED)
    verdicts.at_most("memory / leanest that buffers", ours.memory / buffered, 0.25 if size >= 512 else 0.35)
    verdicts.at_most("loop blocked / streamed clip", ours.blocked / found["streamed clip"].blocked, 0.5)
    verdicts.at_most("films that lack frames, or have more", ENVS * cameras - ours.whole, 0)


def compare_waiting(
    size: int, pictures: Path, cameras: int, steps: int, verdicts: Verdicts, *, peer: bool
) -> None:
    """Compare a loop that waits, as it does for a simulator on a GPU; with a *peer*, also what it blocks."""
    names = (NOTHING, OURS, *(("streamed clip",) if peer else ()))
    found: dict[str, Measured] = {}
    for _ in range(WAITING_RUNS):
        for name in names:
            run = measure(name, pictures, cameras, steps, WAIT)
            found[name] = min(found.get(name, run), run, key=lambda run: run.loop)
    table(
        f"a loop that waits {WAIT * 1000:.0f} ms a step, {cameras} cameras, {size} x {size}, "
        f"fastest of {WAITING_RUNS}",
        found,
    )
    print()
    verdicts.at_most("loop / loop without recording", found[OURS].loop / found[NOTHING].loop, 1.02)
    if peer:
        blocked = found[OURS].blocked / found["streamed clip"].blocked
        verdicts.at_most("loop blocked / streamed clip", blocked, 0.5)


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure what films cost.")
    parser.add_argument("--frames", type=int, default=300, help="a film (300)")
    parser.add_argument("--sizes", type=int, nargs="*", default=[256, 512])
    parser.add_argument("--cameras", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--contest", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contest:
        name, pictures, cameras, steps, wait = options.contest
        contest(name, Path(pictures), int(cameras), int(steps), float(wait))
        return 0
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory() as folder:
        pictures = {size: render(size, Path(folder)) for size in options.sizes}
        for size in options.sizes:
            for cameras in options.cameras:
                compare(size, pictures[size], cameras, options.frames, verdicts)
        for size in options.sizes:
            for cameras in options.cameras:
                last = (size, cameras) == (options.sizes[-1], options.cameras[-1])
                compare_waiting(size, pictures[size], cameras, options.frames, verdicts, peer=last)
        size = options.sizes[-1]
        short, long = (measure(OURS, pictures[size], 1, n) for n in (options.frames, 10 * options.frames))
        memory = [f"{run.memory / 1e6:.0f} MB" for run in (short, long)]
        print(f"\n{options.frames} frames: {memory[0]}; ten times as many: {memory[1]}")
        verdicts.at_most("memory of a film ten times as long", long.memory / short.memory, 1.05)
    return 0 if verdicts.all_met else 1


if __name__ == "__main__":
    sys.exit(main())

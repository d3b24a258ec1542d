"""Cameras of gymnasium's environments: several images of a `render()`, and images that are observed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import av
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from pytest_arena import EvaluationError, Job, JobRecord, RunDirectory, VideoRecorder, evaluate
from pytest_arena.recorders import video
from pytest_arena.simulators.gymnasium.simulator import GymnasiumSimulator
from tests.jobs import make_job

pytestmark = pytest.mark.process

SIZE = 32


def picture(episode: int, t: int, kind: int) -> np.ndarray:
    """Tells episode, step and camera in one grey: films lose little of it."""
    return np.full((SIZE, SIZE, 3), 100 * (episode % 2) + 20 * t + 3 * kind, np.uint8)


class Camera(gymnasium.Env[Any, Any]):
    """Observes images of its episode and step, in buffers that it uses again; ends after 3 or 4 steps."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}
    action_space = spaces.Box(-1, 1, (2,), np.float32)
    observation_space = spaces.Dict(
        {
            "pixels": spaces.Dict(
                {
                    "top": spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8),
                    "wrist": spaces.Box(0, 255, (3, SIZE, SIZE), np.uint8),
                }
            ),
            "depth": spaces.Box(0, 1, (SIZE, SIZE, 1), np.float32),
            "state": spaces.Box(-np.inf, np.inf, (2,)),
        }
    )

    def __init__(self, render_mode: str | None = None, rendered: str = "list") -> None:
        self.render_mode, self.rendered, self.episode = render_mode, rendered, -1
        self.held = {name: np.zeros((SIZE, SIZE, 3), np.uint8) for name in ("top", "wrist")}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.episode, self.t = self.episode + 1, 0
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        done = self.t == 3 + self.episode % 2
        return self._observation(), 0.0, done, False, {"success": False}

    def _observation(self) -> Any:
        for kind, name in enumerate(self.held):
            self.held[name][:] = picture(self.episode, self.t, kind)
        wrist = np.moveaxis(self.held["wrist"], -1, 0)
        state = np.array([self.episode, self.t], np.float32)
        pixels = {"top": self.held["top"], "wrist": wrist}
        return {"pixels": pixels, "depth": np.zeros((SIZE, SIZE, 1), np.float32), "state": state}

    def render(self) -> Any:
        images = [picture(self.episode, self.t, kind) for kind in (2, 3)]
        return dict(zip(("front", "side"), images, strict=True)) if self.rendered == "dict" else images


class Whole(Camera):
    """Its observation is one image."""

    observation_space = Camera.observation_space["pixels"]["top"]  # type: ignore[assignment, index]

    def _observation(self) -> Any:
        return super()._observation()["pixels"]["top"]


gymnasium.register("cameras/Camera-v0", Camera, max_episode_steps=9, disable_env_checker=True)
gymnasium.register("cameras/Whole-v0", Whole, max_episode_steps=9, disable_env_checker=True)


def job(*cameras: str, name: str = "Camera", num_envs: int = 2, **options: Any) -> Job:
    environment = {"id": f"cameras/{name}-v0", "num_envs": num_envs, "options": options}
    return make_job(
        environment={**environment, "cameras": {camera: {} for camera in cameras}},
        rollout={"episodes": 4},
        record={"overview": False},
    )


def grey(film: Path) -> list[int]:
    with av.open(str(film)) as opened:
        return [round(float(frame.to_ndarray(format="rgb24").mean())) for frame in opened.decode(video=0)]


def films(output: Path, made: Job, choice: Any = "on") -> tuple[JobRecord, dict[tuple[int, str], list[int]]]:
    """Return the record, and (episode, camera) -> the grey of each frame."""
    evaluate(made, output=output, recorders=[VideoRecorder(choice)])
    (path,) = (path for path in output.iterdir() if not path.is_symlink())
    (record,) = RunDirectory(path).records()
    found = {}
    for film in record.videos:
        _, episode, _, camera = Path(film).stem.split("-", 3)
        found[int(episode), camera] = grey(path / film)
    return record, found


def expected(row_episode: int, kind: int, frames: int | None = None) -> list[int]:
    length = 3 + row_episode % 2
    return [int(picture(row_episode, t, kind)[0, 0, 0]) for t in range(length + 1)][:frames]


def near(film: list[int], wanted: list[int]) -> bool:
    return len(film) == len(wanted) and all(abs(a - b) <= 2 for a, b in zip(film, wanted, strict=True))


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("autoreset", ["manual", "next_step", "same_step"])
def test_observed_images_are_filmed_with_the_last_one_in_every_mode(
    tmp_path: Path, autoreset: str, vectorization: str
) -> None:
    """Row i of 2 runs its own episodes one after the other; each tells which one it is."""
    made = job("pixels.top", "pixels.wrist", autoreset=autoreset, vectorization=vectorization)
    record, found = films(tmp_path, made)
    assert (record.terminal_frame, len(found)) == (True, 8)
    for episode in range(4):
        for kind, camera in enumerate(("pixels.top", "pixels.wrist")):
            film = found[episode, camera]
            assert any(near(film, expected(own, kind)) for own in (0, 1)), (episode, camera, film)


def test_beside_a_rendered_camera_only_that_one_lacks_the_last_image(tmp_path: Path) -> None:
    made = job("pixels.top", "render_0", num_envs=1, autoreset="same_step")
    record, found = films(tmp_path, made)
    assert record.terminal_frame is False
    assert near(found[0, "pixels.top"], expected(0, 0))
    assert near(found[0, "render_0"], expected(0, 2)[:-1])


def test_the_whole_observation_may_be_the_image(tmp_path: Path) -> None:
    _, found = films(tmp_path, job(".", name="Whole", num_envs=1))
    assert near(found[0, "."], expected(0, 0))


@pytest.mark.parametrize(("rendered", "names"), [("list", ("0", "1")), ("dict", ("front", "side"))])
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_several_images_of_a_render_are_several_cameras(
    tmp_path: Path, rendered: str, names: tuple[str, str], vectorization: str
) -> None:
    cameras = [f"render_{name}" for name in names]
    made = job(*cameras, num_envs=1, vectorization=vectorization, make={"rendered": rendered})
    _, found = films(tmp_path, made)
    assert near(found[0, cameras[0]], expected(0, 2))
    assert near(found[0, cameras[1]], expected(0, 3))


def test_films_by_replay_are_those_made_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that are observed are filmed live in any case; a replay would show the same."""

    def of_this_episode(self: Any, *, seed: int | None = None, options: Any = None) -> Any:
        gymnasium.Env.reset(self, seed=seed)
        self.episode, self.t = (seed or 0) % 2, 0
        return self._observation(), {}

    monkeypatch.setattr(Camera, "reset", of_this_episode)
    made = job("pixels.top", num_envs=3)
    _, live = films(tmp_path / "live", made, "retain-on-failure")
    monkeypatch.setattr(video, "can_replay", lambda env: True)
    _, replayed = films(tmp_path / "replayed", made, "retain-on-failure")
    assert live == replayed
    assert len(live) == 4


def test_without_a_rendered_camera_nothing_is_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    made = job("pixels.top", "render_0", num_envs=1)
    monkeypatch.setattr(Camera, "render", lambda self: modes.append(self.render_mode))
    chosen = made.model_copy(update={"record": made.record.model_copy(update={"cameras": ("pixels.top",)})})
    evaluate(chosen, output=tmp_path, recorders=[VideoRecorder("on", ["pixels.top"])])
    assert modes == []


@pytest.mark.parametrize(
    ("name", "camera", "words"),
    [
        (
            "Camera",
            "pixels.tpo",
            r"got 'pixels.tpo' \(did you mean 'pixels.top'\?\); it has pixels.top, pixels.",
        ),
        ("Camera", "depth", "'depth'; it has pixels.top, pixels.wrist"),
        ("Camera", "state", "'state'; it has pixels.top, pixels.wrist"),
        ("Whole", "pixels", "'pixels'; it has ."),
    ],
)
def test_what_is_no_image_is_refused_with_those_that_are(name: str, camera: str, words: str) -> None:
    with pytest.raises(
        EvaluationError, match="environment.cameras: expected 'render' or the path .*" + words
    ):
        GymnasiumSimulator().make(job(camera, name=name))

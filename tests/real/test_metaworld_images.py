"""Images in what a policy sees of Meta-World: those of the camera, of the moment, of each row."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytest.importorskip("metaworld")

from pytest_arena import Camera, EvaluationError, Policy, evaluate
from pytest_arena.policies.observation import ObservationEntry, ObservationMap
from pytest_arena.simulators.mujoco import rendering
from pytest_arena.simulators.mujoco.metaworld import MetaworldEnv
from pytest_arena.simulators.mujoco.rendering import Renderer, import_mujoco
from pytest_arena.testing import SimEnvContract
from tests.jobs import make_job
from tests.lacking import lacking

SIZES = {"corner2": Camera(width=64, height=48), "topview": Camera(width=32, height=32)}
MakeEnv = Callable[..., MetaworldEnv]


@pytest.fixture(scope="module", autouse=True)
def opengl() -> None:
    """Skip where this machine cannot render."""
    renderer = Renderer(import_mujoco().MjModel.from_xml_string("<mujoco/>"))
    renderer.check()
    renderer.close()
    if renderer.notice is not None:
        lacking(renderer.notice)


@pytest.fixture
def make_env() -> Iterator[MakeEnv]:
    made: list[MetaworldEnv] = []

    def make(images: tuple[str, ...] = ("corner2",), **settings: Any) -> MetaworldEnv:
        made.append(MetaworldEnv("reach-v3", cameras=SIZES, images=images, quality="fast", **settings))
        return made[-1]

    yield make
    for env in made:
        env.close()


class TestContract(SimEnvContract):
    steps = 12

    @pytest.fixture
    def env(self, make_env: MakeEnv) -> MetaworldEnv:
        return make_env(("corner2", "topview"), num_envs=2, max_episode_steps=10)


def test_the_observation_has_what_the_camera_shows_at_each_moment(make_env: MakeEnv) -> None:
    seeing, filmed, blind = make_env(), make_env(()), make_env((), num_envs=1)
    moments = [[env.reset(seeds=[5]) for env in (seeing, filmed, blind)]]
    for _ in range(4):
        images = filmed.cameras.frames(np.array([0]))
        with_images, without, _ = (moment.observation for moment in moments[-1])
        assert np.array_equal(with_images["pixels"]["corner2"], images["corner2"])
        assert np.array_equal(with_images["state"], without)
        moments.append([env.step(np.ones((1, 4))) for env in (seeing, filmed, blind)])
    pictures = [moment[0].observation["pixels"]["corner2"] for moment in moments]
    assert all(not np.array_equal(a, b) for a, b in itertools.pairwise(pictures))
    assert all(np.array_equal(moment[0].observation["state"], moment[2].observation) for moment in moments)


def test_only_rows_that_moved_are_drawn_again(make_env: MakeEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make_env(num_envs=3, max_episode_steps=2)
    drawn: list[int] = []
    render = env.cameras.render
    monkeypatch.setattr(
        env.cameras, "render", lambda name, rows: (drawn.append(len(rows)), render(name, rows))[1]
    )
    env.reset(seeds=[1, 2, 3])
    env.step(np.ones((3, 4)))
    last = env.step(np.ones((3, 4)))
    assert len(last.ends) == 3
    reset = env.reset(np.array([1]), [7])
    after = env.step(np.zeros((3, 4)))
    assert drawn == [3, 3, 3, 1, 1]
    ended, begun = (moment.observation["pixels"]["corner2"] for moment in (last, reset))
    assert np.array_equal(last.terminal_observation["pixels"]["corner2"], ended)
    assert np.array_equal(ended[[0, 2]], begun[[0, 2]])
    assert not np.array_equal(ended[1], begun[1])
    assert np.array_equal(after.observation["pixels"]["corner2"][[0, 2]], ended[[0, 2]])
    env.cameras.frames(np.arange(3))
    assert drawn[5:] == [3]  # topview alone: a film of corner2 shows what the policy has seen


def test_a_model_is_given_the_image(make_env: MakeEnv) -> None:
    env = make_env(num_envs=2)
    entries = {"image": ObservationEntry.model_validate({"from": "pixels.corner2", "resize": [24, 32]})}
    inputs = ObservationMap(entries, env)(env.reset(seeds=[1, 2]).observation, np.array([1]))
    assert inputs["image"].shape == (1, 24, 32, 3)
    assert inputs["image"].std() > 5


def test_a_model_is_given_a_camera_that_no_film_has(make_env: MakeEnv) -> None:
    env = make_env((), num_envs=2)
    assert env.cameras is not None
    env.cameras.choose(["topview"])
    entries = {"image": ObservationEntry(camera="corner2")}
    inputs = ObservationMap(entries, env)(env.reset(seeds=[1, 2]).observation, np.array([1]))
    assert inputs["image"].std() > 5


def test_ray_cast_images_are_shown_to_no_policy(make_env: MakeEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering.Renderer, "opened", False)
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    monkeypatch.delattr("mujoco.GLContext", raising=False)
    with pytest.raises(EvaluationError, match=r"environment\.options\.images"):
        make_env()


class Looks(Policy):
    """Moves as the brightness of what it sees says."""

    reproducible = deterministic = True

    def __init__(self, settings: Any, env: Any) -> None:
        """No settings."""

    def act(self, observation: Any) -> Any:
        """Return (N, 4)."""
        brightness = observation["pixels"]["corner2"].mean(axis=(1, 2, 3)) / 255
        return np.repeat(brightness[:, None], 4, axis=1).astype(np.float32)


def run(tmp_path: Path, rows: int) -> list[dict[str, Any]]:
    job = make_job(
        simulator="metaworld",
        environment={
            "id": "reach-v3",
            "num_envs": rows,
            "max_episode_steps": 6,
            "cameras": {"corner2": {"width": 48, "height": 32}},
            "options": {"images": ["corner2"], "quality": "fast"},
        },
        policy={"type": f"{__name__}:Looks"},
        rollout={"episodes": 3},
        record={"trajectory": True, "video": "off"},
    )
    evaluate(job, output=tmp_path)
    lines = next(tmp_path.rglob("episodes.jsonl")).read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_episodes_of_a_policy_that_looks_do_not_depend_on_the_rows(tmp_path: Path) -> None:
    one, three = run(tmp_path / "one", 1), run(tmp_path / "three", 3)
    assert len(one) == 3
    by_index = {line["episode"]: line for line in three}
    for line in one:
        assert {k: line[k] for k in ("return", "initial_state")} == {
            k: by_index[line["episode"]][k] for k in ("return", "initial_state")
        }
    with h5py.File(next((tmp_path / "one").rglob("dataset.hdf5"))) as file:
        pixels: Any = file["data/demo_0/obs/pixels/corner2"]
        assert pixels.shape == (6, 32, 48, 3)
        assert np.std(pixels[0]) > 5

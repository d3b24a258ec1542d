"""Images of ManiSkill, drawn on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

if find_spec("mani_skill") is None:
    pytest.skip("needs ManiSkill: pip install 'mani-skill>=3.0.1'", allow_module_level=True)

from pytest_arena.simulators.maniskill.simulator import ManiSkillSimulator
from pytest_arena.testing import SimEnvContract
from tests.jobs import make_job


def make() -> Any:
    return ManiSkillSimulator().make(
        make_job(
            simulator="maniskill",
            environment={
                "id": "PickCube-v1",
                "num_envs": 2,
                "device": "cpu",
                "max_episode_steps": 3,
                "cameras": {
                    "render_camera": {"width": 64, "height": 48},
                    "base_camera": {"width": 32, "height": 32},
                },
                "options": {"obs_mode": "rgb"},
            },
        )
    )


@pytest.fixture(scope="module")
def shared() -> Iterator[Any]:
    """One for all tests: without a GPU, the first image of a process takes seconds."""
    made = make()
    yield made
    made.close()


class TestContract(SimEnvContract):
    steps = 5

    @pytest.fixture
    def env(self, shared: Any, request: pytest.FixtureRequest) -> Any:
        """All tests share one, but for the one that closes it."""
        return make() if request.node.name == "test_close_twice" else shared


def test_films_and_observations_show_the_rows(shared: Any) -> None:
    env = shared
    seen = env.reset(None, [1, 2]).observation
    frames = env.cameras.frames(np.array([1]))
    assert frames["render_camera"].shape == (1, 48, 64, 3)
    assert frames["base_camera"].shape == (1, 128, 128, 3)  # what the policy sees keeps its size
    assert all(image.std() > 5 for image in frames.values())
    pixels = seen["sensor_data"]["base_camera"]["rgb"]
    assert np.array_equal(pixels[1], frames["base_camera"][0])
    assert not np.array_equal(pixels[0], pixels[1])
    env.cameras.choose(["base_camera"])
    chosen = list(env.cameras.frames(np.array([0])))
    env.cameras.choose(env.cameras.names)
    assert chosen == ["base_camera"]

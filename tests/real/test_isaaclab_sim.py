"""Real Isaac Lab 3.0 without Isaac Sim: the contract, and what each kind of environment must tell."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

if find_spec("isaaclab") is None or find_spec("isaaclab_newton") is None:
    pytest.skip("needs Isaac Lab 3.0 (docs/isaaclab.md)", allow_module_level=True)

from pytest_arena import EvaluationError, RecordingError
from pytest_arena.simulators.isaaclab.simulator import IsaacLabSimulator
from pytest_arena.testing import SimEnvContract
from tests.jobs import make_job

NO_CAMERA = {"scene.side": None}
KINDS = {
    "manager": {"id": "evals.cart:CartEnvCfg"},
    "direct": {"id": "tests.real.isaaclab_direct:DirectCfg"},
    "team": {"id": "tests.real.isaaclab_direct:TeamCfg"},
}
ENTRY_POINTS = {
    "direct": "tests.real.isaaclab_direct:DirectCart",
    "team": "tests.real.isaaclab_direct:TeamCart",
}


def make(kind: str = "manager", *, cameras: bool = True, success: Any = None, **environment: Any) -> Any:
    options: dict[str, Any] = {"overrides": {} if cameras else NO_CAMERA}
    options["overrides"] = {**options["overrides"], **environment.pop("overrides", {})}
    options.update(environment.pop("options", {}))
    if kind in ENTRY_POINTS:
        options["entry_point"] = ENTRY_POINTS[kind]
    data = {"num_envs": 2, "device": "cpu", "max_episode_steps": 12, **KINDS[kind], "options": options}
    return build(make_job(simulator="isaaclab", environment={**data, **environment}, success=success or {}))


OPEN: list[Any] = []
"""Isaac Lab has one environment a process: that of the tests before is closed."""


def build(job: Any) -> Any:
    while OPEN:
        OPEN.pop().close()
    simulator = IsaacLabSimulator()
    simulator.launch(job)
    OPEN.append(simulator.make(job))
    return OPEN[-1]


def constant(env: Any, push: float) -> Any:
    actions = np.full((env.num_envs, 1), push, np.float32)
    return {"left": actions, "right": actions} if hasattr(env.unwrapped, "possible_agents") else actions


class Contract(SimEnvContract):
    """One environment a class: building one takes seconds. The last test closes it."""

    steps = 30
    kind = "manager"

    @pytest.fixture(scope="class", params=[True, False], ids=["camera", "no-camera"])
    def env(self, request: Any) -> Any:
        made = make(self.kind, cameras=request.param)
        yield made
        made.close()

    def actions(self, env: Any) -> Any:
        return constant(env, 0.2)


class TestManagerBased(Contract):
    pass


class TestDirect(Contract):
    kind = "direct"


class TestTeam(Contract):
    kind = "team"


@pytest.fixture(scope="module")
def cart() -> Any:
    env = make(max_episode_steps=60, overrides={"events.start.params.position_range": [0.0, 0.0]})
    yield env
    env.close()


def first_end(env: Any, push: float) -> tuple[int, Any, Any]:
    """Return after how many steps the first row ended, the step, and the observation before it."""
    observation = env.reset(None, [1] * env.num_envs).observation
    env.cameras.frames(np.arange(env.num_envs))
    for count in range(1, 100):
        step = env.step(constant(env, push))
        if step.ends:
            return count, step, observation
        observation = step.observation
    raise AssertionError("no end")


@pytest.mark.parametrize(("push", "reason"), [(1.0, "off_rail"), (-1.0, "off_rail"), (0.0, "time_out")])
def test_the_term_that_fired_is_the_reason(cart: Any, push: float, reason: str) -> None:
    count, step, _ = first_end(cart, push)
    assert [end.reason for end in step.ends] == [reason] * 2
    assert step.truncated.all() == (reason == "time_out")
    assert step.success.tolist() == [0, 0]
    assert count == 60 if reason == "time_out" else count < 40


def test_the_terminal_observation_is_of_the_episode_that_ended(cart: Any) -> None:
    _, step, before = first_end(cart, 1.0)
    reached = step.terminal_observation["policy"][:, 0]
    assert (reached > before["policy"][:, 0]).all()
    assert (reached > 1.8).all()
    assert (step.observation["policy"][:, 0].abs() < 0.1).all()


def test_the_terminal_image_is_of_the_episode_that_ended(cart: Any) -> None:
    """The cart at the right end of the picture, not in the middle."""
    first_end(cart, 1.0)
    assert orange(cart.cameras.last_frames(np.array([0]))["side"][0]) > 150
    assert orange(cart.cameras.frames(np.array([0]))["side"][0]) == pytest.approx(96, abs=12)


def orange(image: Any) -> float:
    """Return the mean column of the cart's colour."""
    red, blue = image[..., 0].astype(int), image[..., 2].astype(int)
    return float(np.nonzero(red - blue > 60)[1].mean())


def test_the_same_seed_gives_the_same_rollout_whatever_ran_before(cart: Any) -> None:
    """In one environment object; new ones are compared in the tests of whole jobs."""
    runs = []
    for _ in range(2):
        steps = [cart.reset(None, [7, 7]).observation["policy"].numpy().copy()]
        for _ in range(70):
            steps.append(cart.step(constant(cart, 0.6)).observation["policy"].numpy().copy())
        runs.append(np.stack(steps))
        cart.reset(None, [3, 3])
        for _ in range(5):
            cart.step(constant(cart, -1.0))
    assert np.array_equal(runs[0], runs[1])


def test_success_of_a_direct_environment_is_read_before_the_reset() -> None:
    env = make(
        "direct",
        cameras=False,
        max_episode_steps=30,
        success={"callable": "tests.real.isaaclab_direct:on_the_right"},
    )
    env.reset(None, [0, 0])
    step = next(step for step in (env.step(constant(env, 1.0)) for _ in range(40)) if step.ends)
    assert step.success.tolist() == [1, 1]
    assert {end.reason for end in step.ends} <= {"success", "time_out"}
    env.close()


def test_a_task_package_registers_an_environment_that_is_made_by_its_id() -> None:
    with pytest.raises(EvaluationError, match="no environment 'Arena-Cart' is registered"):
        make(id="Arena-Cart", cameras=False)
    registered = {"task_package": ["tests.real.isaaclab_tasks_of_ours"]}
    env = make(id="Arena-Cart", cameras=False, num_envs=3, options=registered)
    assert env.unwrapped.spec.id == "Arena-Cart"
    assert (env.num_envs, env.max_episode_steps, env.cameras) == (3, 12, None)
    assert env.reset(None, [5] * 3).observation["policy"].shape == (3, 2)
    steps = [env.step(constant(env, 0.0)) for _ in range(12)]
    assert [(end.env_idx, end.reason) for end in steps[-1].ends] == [(row, "time_out") for row in range(3)]
    env.close()


def test_what_the_job_says_wrongly_is_told() -> None:
    with pytest.raises(EvaluationError, match=r"EventsCfg has no 'stort' \(did you mean 'start'\?\)"):
        make(overrides={"events.stort.mode": "reset"})
    with pytest.raises(EvaluationError, match=r"no environment 'Isaac-Kart' is registered"):
        make(id="Isaac-Kart")
    with pytest.raises(EvaluationError, match=r"environment.options.entry_point"):
        make(id="tests.real.isaaclab_direct:DirectCfg")
    with pytest.raises(RecordingError, match=r"no camera 'sid' \(did you mean 'side'\?\)"):
        make_with_camera("sid")


def make_with_camera(name: str, **size: int) -> Any:
    environment = {"id": "evals.cart:CartEnvCfg", "device": "cpu", "cameras": {name: size}}
    return build(make_job(simulator="isaaclab", environment=environment))


def test_a_camera_has_the_size_that_the_job_writes() -> None:
    env = make_with_camera("side", width=64, height=48)
    env.reset(None, [0])
    assert env.cameras.frames(np.array([0]))["side"].shape == (1, 48, 64, 3)
    env.close()

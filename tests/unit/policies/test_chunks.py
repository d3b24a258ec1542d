"""Plans of actions: one a row, whatever the other rows do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from pydantic import ValidationError

from pytest_arena import Episode, EvaluationError, Outcome, episode_seeds
from pytest_arena.guards.deadline import Deadline
from pytest_arena.policies.action import ActionEntry, ActionMap
from pytest_arena.policies.chunks import ChunkedPolicy, ChunkSettings, PlanError
from pytest_arena.rollout.loop import Loop, Observers
from pytest_arena.rollout.recorder import RolloutContext
from pytest_arena.rollout.schedule import fixed_schedule
from pytest_arena.simulators.gymnasium.simulator import GymnasiumEnv
from tests.fakes import ACTIONS, BOX, CountingVectorEnv, ScriptedEnv
from tests.jobs import make_job

MODES = [AutoresetMode.DISABLED, AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]


def fake(n: int, actions: gymnasium.Space[Any] = ACTIONS) -> Any:
    return SimpleNamespace(
        num_envs=n, single_action_space=actions, single_observation_space=BOX, cameras=None, step_dt=0.1
    )


class Planner(ChunkedPolicy):
    """Plans H actions ``[requests of this episode, step of the plan] / 100`` and writes down who asked."""

    def __init__(self, env: Any, horizon: int = 4, **settings: Any) -> None:
        super().__init__(ChunkSettings.model_validate(settings), env)
        self.horizon, self.asked, self.requests, self.failing = horizon, [], {}, {}

    def plan(self, rows: Any, inputs: Any) -> list[Any]:
        self.asked.append(rows.tolist())
        answers: list[Any] = []
        for row in rows.tolist():
            self.requests[row] = self.requests.get(row, 0) + 1
            plan = [[self.requests[row] / 100, step / 100] for step in range(self.horizon)]
            answers.append(self.failing.pop(row) if row in self.failing else {"actions": np.array(plan)})
        return answers

    def forget(self, rows: Any, seeds: Any) -> None:
        for row in rows.tolist():
            self.requests[row] = 0


def ended(row: int) -> Any:
    return np.array([row]), [SimpleNamespace()]


def taken(policy: Planner) -> list[list[int]]:
    return np.round(policy.act(np.zeros((policy.running.size, 3))) * 100).astype(int).tolist()


def test_a_plan_is_executed_to_its_end_and_then_asked_for_anew() -> None:
    policy = Planner(fake(1), horizon=3)
    policy.reset(np.array([0]), [1])
    assert [taken(policy)[0] for _ in range(7)] == [[1, 0], [1, 1], [1, 2], [2, 0], [2, 1], [2, 2], [3, 0]]


def test_execute_takes_the_first_steps_only() -> None:
    policy = Planner(fake(1), execute=2)
    policy.reset(np.array([0]), [1])
    assert [taken(policy)[0] for _ in range(4)] == [[1, 0], [1, 1], [2, 0], [2, 1]]


def test_a_reset_forgets_the_plan_of_its_row_alone() -> None:
    policy = Planner(fake(3), horizon=4)
    policy.reset(None, [1, 2, 3])
    taken(policy)
    policy.end_episodes(*ended(1))
    policy.reset(np.array([1]), [9])
    assert taken(policy) == [[1, 1], [1, 0], [1, 1]]
    assert policy.asked == [[0, 1, 2], [1]]


def test_rows_without_an_episode_are_never_asked_for() -> None:
    policy = Planner(fake(3), horizon=1)
    policy.reset(None, [1, 2, 3])
    policy.end_episodes(*ended(0))
    assert taken(policy) == [[0, 0], [1, 0], [1, 0]]
    assert policy.asked == [[1, 2]]


def test_a_row_without_a_plan_is_an_error_of_that_row() -> None:
    policy = Planner(fake(2))
    policy.failing[1] = PlanError("the server said: out of memory")
    policy.reset(None, [1, 2])
    assert taken(policy) == [[1, 0], [0, 0]]
    assert list(policy.row_errors) == [1]
    assert policy.row_errors[1].startswith("the server said: out of memory (the model was given ")
    taken(policy)
    assert not policy.row_errors
    assert policy.asked == [[0, 1]]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (np.zeros((4, 3)), r"expected actions of shape \(H, 2\), got \(4, 3\)"),
        (np.array([[0.0, np.nan]]), "not finite"),
        (np.zeros((0, 2)), "expected at least one action"),
        (np.array([["a", "b"]]), "expected actions as numbers"),
        ({"actions": [[0.1, 0.2], [0.3]]}, "expected actions as an array, got a list of 2"),
        (
            {"action": np.zeros((1, 2)), "info": np.zeros(1)},
            r"the answer has no 'actions' \(did you mean 'action'",
        ),
        ({"error": "out of memory"}, r"the answer has no 'actions'; it has error: 'out of memory'"),
    ],
)
def test_an_answer_that_does_not_fit_is_an_error_of_its_row(answer: Any, words: str) -> None:
    policy = Planner(fake(1))
    policy.failing[0] = answer
    policy.reset(None, [1])
    taken(policy)
    with pytest.raises(EvaluationError, match=words):
        raise EvaluationError(policy.row_errors[0])
    assert "the model was given .: (3,) float64 in 0 .. 0" in policy.row_errors[0]


class OutOfMemory(Planner):
    def plan(self, rows: Any, inputs: Any) -> list[Any]:
        raise PlanError("out of memory")


def test_an_error_that_a_plan_raises_is_one_line() -> None:
    policy = OutOfMemory(fake(1))
    policy.reset(None, [1])
    with pytest.raises(PlanError, match="out of memory") as caught:
        taken(policy)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_temporal_ensembling_averages_all_plans_of_a_step() -> None:
    """Zhao et al. 2023: the i-th oldest of the plans that speak of a step weighs exp(-m i)."""
    coefficient = 0.5
    policy = Planner(fake(1), horizon=3, ensemble=coefficient)
    policy.reset(None, [1])
    got = [policy.act(np.zeros((1, 3)))[0] for _ in range(5)]
    plans = [np.array([[k / 100, step / 100] for step in range(3)]) for k in range(1, 6)]
    for now, action in enumerate(got):
        speaking = [plans[k][now - k] for k in range(max(0, now - 2), now + 1)]
        weights = np.exp(-coefficient * np.arange(len(speaking)))
        np.testing.assert_allclose(action, np.average(speaking, axis=0, weights=weights), rtol=1e-6)


def test_ensembling_asks_at_every_step_and_is_forgotten_at_the_rows_reset() -> None:
    policy = Planner(fake(2), horizon=3, ensemble=0.0)
    policy.reset(None, [1, 2])
    taken(policy), taken(policy)
    policy.reset(np.array([0]), [3])
    assert taken(policy)[0] == [1, 0]
    assert policy.asked == [[0, 1]] * 3
    with pytest.raises(ValidationError, match="no execute beside ensemble"):
        ChunkSettings.model_validate({"ensemble": 0.1, "execute": 2})


class Historian(Planner):
    """Writes down the first number of each observation that a plan is made from."""

    history = 3

    def plan(self, rows: Any, inputs: Any) -> list[Any]:
        self.given = getattr(self, "given", [])
        self.given += [
            [row, *steps[:, 0].astype(int).tolist()] for row, steps in zip(rows, inputs["."], strict=True)
        ]
        return super().plan(rows, inputs)


@pytest.mark.parametrize("execute", [1, 2, 5])
def test_a_plan_is_made_from_the_rows_latest_observations(execute: int) -> None:
    """Row 1 begins anew at step 4. Observations are numbered by the step; those before an episode are its first."""
    policy = Historian(fake(2), horizon=5, execute=execute)
    policy.reset(None, [1, 2])
    begun = {0: 0, 1: 0}
    wanted = []
    for step in range(12):
        if step == 4:
            policy.end_episodes(*ended(1))
            policy.reset(np.array([1]), [9])
            begun[1] = 4
        policy.act(np.full((2, 3), step))
        for row, first in begun.items():
            if (step - first) % execute == 0:
                wanted.append([row, *(max(first, step - back) for back in (2, 1, 0))])
    assert policy.given == wanted


def test_actions_without_a_mean_have_no_ensemble() -> None:
    with pytest.raises(
        EvaluationError, match=r"policy.ensemble: expected actions that have a mean, got Discrete"
    ):
        Planner(fake(1, gymnasium.spaces.Discrete(3)), ensemble=0.1)


class TestActionMap:
    def test_joins_parts_in_their_order_and_takes_a_single_action(self) -> None:
        entry = ActionEntry.model_validate({"from": ["arm", "gripper"]})
        actions = ActionMap(entry, fake(1))({"gripper": np.array([[0.5]]), "arm": np.array([[0.25]])})
        assert actions.tolist() == [[0.25, 0.5]]
        assert ActionMap(None, fake(1))(np.array([0.1, 0.2])).shape == (1, 2)

    def test_scale_env_maps_minus_one_to_the_lower_limit(self) -> None:
        space = gymnasium.spaces.Box(np.array([0.0, -4.0]), np.array([10.0, 4.0]), dtype=np.float64)
        scaled = ActionMap(ActionEntry(scale="env"), fake(1, space))(np.array([[-1, 1], [0, 0], [9, 9]]))
        assert scaled.tolist() == [[0, 4], [5, 0], [10, 4]]

    def test_take_and_scale_reorder_and_turn_signs(self) -> None:
        entry = ActionEntry(take=(1, 0), scale=(1.0, -1.0))
        assert ActionMap(entry, fake(1))(np.array([[0.25, 0.5]])).tolist() == [[0.5, -0.25]]

    def test_clips_unless_told_not_to(self) -> None:
        answer = np.array([[3.0, -3.0]])
        assert ActionMap(None, fake(1))(answer).tolist() == [[1, -1]]
        assert ActionMap(ActionEntry(clip=False), fake(1))(answer).tolist() == [[3, -3]]

    def test_discrete_actions_are_integers(self) -> None:
        to_actions = ActionMap(None, fake(1, gymnasium.spaces.Discrete(3)))
        assert to_actions(np.array([2, 1])).tolist() == [2, 1]
        with pytest.raises(EvaluationError, match="expected actions as integers"):
            to_actions(np.array([0.5]))

    @pytest.mark.parametrize(
        ("space", "answer", "words"),
        [
            (gymnasium.spaces.Discrete(3), [1, 3], r"the action 3 is not in Discrete\(3\)"),
            (
                gymnasium.spaces.MultiDiscrete([3, 4]),
                [[2, 3], [3, 0]],
                r"the action \[3, 0\] is not in Multi",
            ),
            (gymnasium.spaces.Box(-np.inf, np.inf, (1,)), [[1e300]], "the actions are too large for float32"),
        ],
    )
    def test_an_answer_that_the_environment_cannot_take(self, space: Any, answer: Any, words: str) -> None:
        with pytest.raises(EvaluationError, match=words):
            ActionMap(None, fake(1, space))(np.array(answer))

    def test_a_single_number_has_no_values_to_choose(self) -> None:
        """Else the first step of each plan would be taken, and the others left out."""
        with pytest.raises(EvaluationError, match="an action is a single number"):
            ActionMap(ActionEntry(take=(0,)), fake(1, gymnasium.spaces.Discrete(3)))(np.array([2, 1, 0]))

    def test_a_scale_of_another_length_is_named(self) -> None:
        with pytest.raises(
            EvaluationError, match=r"policy\.action\.scale: expected 2 numbers, one a value, got 3"
        ):
            ActionMap(ActionEntry(scale=(1.0, 2.0, 3.0)), fake(1))(np.zeros((4, 2)))

    def test_refuses_what_no_array_can_be(self) -> None:
        space = gymnasium.spaces.Dict(arm=ACTIONS)
        with pytest.raises(EvaluationError, match="whose actions are one array each"):
            ActionMap(None, fake(1, space))
        unbounded = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
        with pytest.raises(EvaluationError, match="no limits to scale to"):
            ActionMap(ActionEntry(scale="env"), fake(1, unbounded))


def roll_out(env: Any, policy: Any, episodes: int, tmp_path: Any) -> tuple[list[Episode], Loop]:
    job = make_job(
        rollout={"episodes": episodes}, environment={"id": "CartPole-v1", "num_envs": env.num_envs}
    )
    seeded = env.capabilities.episode_seeds
    schedule = fixed_schedule(
        range(episodes), job.environment, rebuild=0, num_envs=env.num_envs, seeded=seeded
    )
    saved: list[Episode] = []
    loop = Loop(
        RolloutContext(job, "j", 1, tmp_path, tmp_path, env),
        policy,
        schedule,
        Observers([], [], save=saved.append),
    )
    loop.run(Deadline(None))
    return sorted(saved, key=lambda e: e.episode), loop


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_an_error_of_a_row_ends_its_episode_and_no_other(mode: Any, tmp_path: Any) -> None:
    """The row's next episode begins as the simulator resets it; every listed episode has one line."""

    class Failing(Planner):
        def plan(self, rows: Any, inputs: Any) -> list[Any]:
            if 0 in rows and len(self.asked) == 1:
                self.failing[0] = PlanError("gone")
            return super().plan(rows, inputs)

    env = GymnasiumEnv(CountingVectorEnv([[5], [3]], mode=mode))
    episodes, loop = roll_out(env, Failing(env, horizon=2), 6, tmp_path)
    assert [e.episode for e in episodes] == list(range(6))
    assert [e.outcome for e in episodes] == [Outcome.ERROR, *[Outcome.SUCCESS] * 5]
    assert [e.length for e in episodes] == [2, 3, 5, 3, 5, 3]
    cut_off = episodes[0]
    assert (cut_off.error or "").startswith("gone")
    assert (cut_off.end_reason, cut_off.success_once) == ("policy", None)
    assert not loop.active.any()


def test_errors_of_all_rows_leave_every_episode_a_line(tmp_path: Any) -> None:
    class Silent(Planner):
        def plan(self, rows: Any, inputs: Any) -> list[Any]:
            return [PlanError("no answer")] * len(rows)

    env = GymnasiumEnv(SyncVectorEnv([ScriptedEnv] * 3, autoreset_mode=AutoresetMode.DISABLED))
    episodes, _ = roll_out(env, Silent(env), 8, tmp_path)
    assert [(e.episode, e.outcome, e.length) for e in episodes] == [(k, Outcome.ERROR, 0) for k in range(8)]


@pytest.mark.parametrize("num_envs", [1, 7, 50])
def test_episodes_do_not_depend_on_the_number_of_rows(num_envs: int, tmp_path: Any) -> None:
    """The plan tells the seed of its row's episode and its phase, and both are in the return."""

    class Telling(Planner):
        def forget(self, rows: Any, seeds: Any) -> None:
            super().forget(rows, seeds)
            self.seeds = {**getattr(self, "seeds", {}), **dict(zip(rows.tolist(), seeds, strict=True))}

        def plan(self, rows: Any, inputs: Any) -> list[Any]:
            answers = super().plan(rows, inputs)
            return [
                a["actions"] + self.seeds[row] % 1000 / 1e4
                for row, a in zip(rows.tolist(), answers, strict=True)
            ]

    env = GymnasiumEnv(SyncVectorEnv([ScriptedEnv] * num_envs, autoreset_mode=AutoresetMode.DISABLED))
    episodes, _ = roll_out(env, Telling(env, horizon=3, execute=2), 24, tmp_path)
    for episode in episodes:
        seed = episode_seeds(0, 0, episode.episode)[1] % 1000 / 1e4
        plans = [np.float32(request / 100 + seed) + np.float32(step / 100 + seed)
                 for request in range(1, 9) for step in range(2)]  # fmt: skip
        steps = episode.length * (episode.length + 1) / 2
        assert episode.return_ == pytest.approx(steps + sum(plans[: episode.length]), abs=1e-5)

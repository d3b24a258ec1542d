"""The loop on exact fakes: which episodes are counted, and what is counted of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from pytest_arena import (
    Capabilities,
    Episode,
    EpisodeEnd,
    EpisodeStart,
    EvaluationError,
    Metric,
    Outcome,
    Policy,
    Recorder,
    Reset,
    RolloutContext,
    SimEnv,
    Step,
    Transition,
    episode_seeds,
)
from pytest_arena.guards.deadline import Deadline
from pytest_arena.jobs.sections import Environment
from pytest_arena.rollout.initial_state import initial_states
from pytest_arena.rollout.loop import Loop, Observers
from pytest_arena.rollout.schedule import fixed_schedule
from pytest_arena.simulators.gymnasium.simulator import GymnasiumEnv
from tests.fakes import ACTIONS, BOX, CountingVectorEnv, ScriptedEnv
from tests.jobs import make_job

MODES = [AutoresetMode.DISABLED, AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]


class Still(Policy):
    """Zeros, and a diary."""

    def __init__(self, env: SimEnv) -> None:
        self.env, self.resets = env, []

    def act(self, observation: Any) -> Any:
        return np.zeros((self.env.num_envs, 2), np.float32)

    def reset(self, env_ids: Any = None, seeds: Any = None) -> None:
        self.resets.append((env_ids.tolist(), list(seeds)))


class Diary(Recorder):
    """Writes down what it is told."""

    watches_steps = True

    def __init__(self) -> None:
        self.entries: list[Any] = []

    def on_reset(self, rows: Any, starts: Any, observation: Any) -> None:
        for row, start in zip(rows, starts, strict=True):
            self.entries.append(("reset", int(row), start.episode, observation[row].tolist()))

    def on_step(self, rows: Any, actions: Any, step: Any) -> None:
        self.entries += [("step", int(row), float(step.reward[row])) for row in rows]

    def on_end(self, row: int, episode: Episode) -> None:
        self.entries.append(("end", row, episode.episode, episode.length))


def run(
    env: SimEnv, episodes: int, *, metrics: Any = (), recorder: Any = None, when: str = "once"
) -> tuple[list[Episode], Loop, Still]:
    job = make_job(rollout={"episodes": episodes}, success={"when": when})
    context = RolloutContext(job, "job", 1, Path("."), Path("."), env)
    schedule = fixed_schedule(
        range(episodes),
        job.environment,
        rebuild=0,
        num_envs=env.num_envs,
        seeded=env.capabilities.episode_seeds,
    )
    policy = Still(env)
    recorders = [recorder] if recorder else []
    loop = Loop(context, policy, schedule, Observers(metrics, recorders))
    loop.run(Deadline(None))
    return sorted(loop.episodes, key=lambda e: e.episode), loop, policy


def scripted(num_envs: int, lengths: list[int], successes: list[bool] | None = None) -> GymnasiumEnv:
    """An environment in which episode i lasts lengths[i] steps, whichever row runs it."""
    good = successes or [True] * len(lengths)
    script = {episode_seeds(0, 0, i)[0]: (n, ok) for i, (n, ok) in enumerate(zip(lengths, good, strict=True))}
    vec = SyncVectorEnv([lambda: ScriptedEnv(script)] * num_envs, autoreset_mode=AutoresetMode.DISABLED)
    return GymnasiumEnv(vec)


@pytest.mark.parametrize(
    ("num_envs", "lengths"),
    [(4, [2, 2, 2, 2]), (3, [2] * 5), (2, [9, 2, 2, 2]), (1, [2, 3])],
    ids=["4x2", "3-rows-5-episodes", "one-long", "one-row"],
)
def test_exactly_the_requested_episodes(num_envs: int, lengths: list[int]) -> None:
    episodes, loop, _ = run(scripted(num_envs, lengths), len(lengths))
    assert [e.episode for e in episodes] == list(range(len(lengths)))
    assert [e.length for e in episodes] == lengths
    assert not loop.active.any()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize(
    ("rows", "episodes"),
    [([[2]] * 4, 4), ([[2]] * 3, 5), ([[9, 9], [2, 2]], 4), ([[2, 3]], 2), ([[3], [5], [4], [2]], 11)],
)
def test_exact_counts_in_every_autoreset_mode(mode: Any, rows: list[list[int]], episodes: int) -> None:
    """Row i runs episodes i, i+N, …; each is counted from its reset to its end and never beyond."""
    found, _, _ = run(GymnasiumEnv(CountingVectorEnv(rows, mode=mode)), episodes)
    n = len(rows)
    assert [e.episode for e in found] == list(range(episodes))
    assert [e.env_idx for e in found] == [i % n for i in range(episodes)]
    for episode in found:
        row = rows[episode.env_idx]
        length = row[(episode.episode // n) % len(row)]
        assert episode.length == length
        assert episode.return_ == length * (length + 1) / 2


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_boundaries_are_inclusive_and_contiguous_per_row(mode: Any) -> None:
    found, loop, _ = run(GymnasiumEnv(CountingVectorEnv([[3, 2], [4]], mode=mode)), 6)
    for row in range(2):
        mine = [e for e in found if e.env_idx == row]
        assert [e.start_step for e in mine] == [0, *(e.end_step + 1 for e in mine[:-1])]
        assert all(e.end_step - e.start_step + 1 == e.length for e in mine)
        assert mine[-1].end_step == loop.row_steps[row] - 1


@pytest.mark.statistics
@pytest.mark.parametrize("num_envs", [10, 25, 50])
@pytest.mark.parametrize("rate", [0.3, 0.8])
def test_success_rate_is_the_true_one_however_long_failures_take(num_envs: int, rate: float) -> None:
    """Success lasts 100 to 300 steps, failure 720: counting the first to finish would favour success."""
    rng = np.random.default_rng(7)
    outcomes = [bool(x) for x in rng.random(50) < rate]
    lengths = [int(rng.integers(100, 301)) if ok else 720 for ok in outcomes]
    found, _, _ = run(scripted(num_envs, lengths, outcomes), 50)
    assert np.mean([e.outcome == Outcome.SUCCESS for e in found]) == np.mean(outcomes)


@pytest.mark.statistics
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_the_same_without_seeds_per_episode(mode: Any) -> None:
    """Rows with short episodes must not get more of them."""
    rows = [[720] if i < 5 else [100] for i in range(25)]
    good = [[False] if i < 5 else [True] for i in range(25)]
    found, _, _ = run(GymnasiumEnv(CountingVectorEnv(rows, good, mode)), 50)
    assert np.mean([e.outcome == Outcome.SUCCESS for e in found]) == 0.8


def test_independent_of_num_envs() -> None:
    def told(num_envs: int) -> list[Any]:
        vec = SyncVectorEnv([ScriptedEnv] * num_envs, autoreset_mode=AutoresetMode.DISABLED)
        episodes, _, _ = run(GymnasiumEnv(vec), 12)
        return [(e.episode, e.seed, e.length, e.outcome, e.return_, e.time_to_success) for e in episodes]

    assert told(1) == told(3) == told(8) == told(20)


def test_policy_is_reset_with_its_own_seed_for_each_episode() -> None:
    _, _, policy = run(scripted(2, [2, 3, 2]), 3)
    assert [rows for rows, _ in policy.resets] == [[0, 1], [0]]
    told = [seed for _, seeds in policy.resets for seed in seeds]
    assert told == [episode_seeds(0, 0, i)[1] for i in range(3)]
    assert not set(told) & {episode_seeds(0, 0, i)[0] for i in range(3)}


def test_recorders_see_reset_steps_and_end_in_order() -> None:
    diary = Diary()
    run(scripted(1, [2, 1]), 2, recorder=diary)
    kinds = [(entry[0], entry[1], *entry[2:3]) for entry in diary.entries]
    assert kinds == [
        ("reset", 0, 0), ("step", 0, 1.0), ("step", 0, 2.0), ("end", 0, 0),
        ("reset", 0, 1), ("step", 0, 1.0), ("end", 0, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_recorders_are_told_of_a_reset_when_its_observation_is_there(mode: Any) -> None:
    diary = Diary()
    run(GymnasiumEnv(CountingVectorEnv([[2], [3]], mode=mode)), 4, recorder=diary)
    resets = [entry for entry in diary.entries if entry[0] == "reset"]
    assert [(row, obs) for _, row, _, obs in resets] == [
        (row, [row, number, 0]) for _, row, number, _ in
        [("", row, episode // 2, "") for row, episode in [(r[1], r[2]) for r in resets]]
    ]  # fmt: skip


class Once(GymnasiumEnv):
    """Succeeds in the middle of the episode and not at its end."""

    def step(self, actions: Any) -> Any:
        step = super().step(actions)
        step.success[:] = np.where(step.valid, step.reward == 2, -1)
        return step


@pytest.mark.parametrize(("when", "outcome"), [("once", Outcome.SUCCESS), ("at_end", Outcome.FAILURE)])
def test_success_once_and_at_end_differ(when: str, outcome: Outcome) -> None:
    env = Once(CountingVectorEnv([[4]], [[False]]))
    (episode,), _, _ = run(env, 1, when=when)
    assert (episode.success_once, episode.success_at_end) == (True, False)
    assert episode.time_to_success == 2
    assert episode.outcome == outcome


def test_success_that_nobody_measures_is_unknown() -> None:
    class Silent(GymnasiumEnv):
        def step(self, actions: Any) -> Any:
            step = super().step(actions)
            step.success[:] = -1
            return step

    (episode,), _, _ = run(Silent(CountingVectorEnv([[4]])), 1)
    assert episode.outcome == Outcome.UNKNOWN
    assert episode.success_once is None
    assert episode.success_at_end is None


class Peak(Metric):
    """The largest t an episode reached, as a metric that watches steps."""

    name = "peak"
    reduction = "max"
    watches_steps = True

    def start(self, env: SimEnv, job: Any) -> None:
        self.peak = np.zeros(env.num_envs)
        self.begun: list[int] = []

    def reset(self, rows: Any, observation: Any) -> None:
        self.peak[rows] = 0
        self.begun += observation[rows, 2].tolist()

    def step(self, transition: Transition) -> None:
        rows = transition.reached_rows
        self.peak[rows] = np.maximum(self.peak[rows], transition.reached[rows, 2])

    def end(self, row: int, episode: Episode) -> float:
        return float(self.peak[row])


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_a_step_metric_sees_the_terminal_observation(mode: Any) -> None:
    found, _, _ = run(GymnasiumEnv(CountingVectorEnv([[3], [5]], mode=mode)), 6, metrics=[Peak()])
    assert [e.metrics["peak"] for e in found] == [3.0, 5.0] * 3


def test_an_exception_leaves_finished_episodes_and_names_the_running_ones() -> None:
    vec = SyncVectorEnv(
        [
            lambda: ScriptedEnv(
                {episode_seeds(0, 0, i)[0]: (2 if i == 0 else 50, True) for i in range(4)}, fail_at=5
            )
        ]
        * 2,
        autoreset_mode=AutoresetMode.DISABLED,
    )
    env = GymnasiumEnv(vec)
    job = make_job()
    schedule = fixed_schedule(range(4), make_job().environment, rebuild=0, num_envs=2, seeded=True)
    context = RolloutContext(job, "job", 1, Path("."), Path("."), env)
    loop = Loop(context, Still(env), schedule, Observers([], []))
    with pytest.raises(RuntimeError) as caught:
        loop.run(Deadline(None))
    assert [e.episode for e in loop.episodes] == [0]
    abandoned = loop.abandon(caught.value)
    assert sorted(e.episode for e in abandoned) == [1, 2]
    assert all(e.outcome == Outcome.ERROR and "broke at step 5" in e.error for e in abandoned)


def test_episode_start_is_fixed_before_the_first_step() -> None:
    schedule = fixed_schedule(range(3), Environment(id="any", seed=4), rebuild=1, num_envs=8, seeded=True)
    starts = [schedule.next_for(row) for row in (5, 2, 2, 0)]
    assert starts == [*(EpisodeStart(i, 1, *episode_seeds(4, 1, i)) for i in range(3)), None]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_the_initial_state_is_that_of_the_reset_observation(mode: Any) -> None:
    """Rows of a `CountingVectorEnv` begin with [row, episode of the row, 0]."""
    found, _, _ = run(GymnasiumEnv(CountingVectorEnv([[2, 3], [4]], mode=mode)), 6)
    begun = np.array([[e.env_idx, e.episode // 2, 0] for e in found], np.float64)
    assert [e.initial_state for e in found] == initial_states(begun, np.arange(6))


def test_an_episode_begins_alike_whatever_its_row() -> None:
    one, _, _ = run(scripted(1, [3] * 6), 6)
    many, _, _ = run(scripted(4, [3] * 6), 6)
    assert [e.initial_state for e in one] == [e.initial_state for e in many]
    assert len({e.initial_state for e in one}) == 6


class Tells(SimEnv):
    """One row; each step says of its success what it is told to say, the last one ends the episode."""

    num_envs, step_dt, max_episode_steps, device = 1, 0.0, None, "cpu"
    single_observation_space, single_action_space = BOX, ACTIONS
    capabilities = Capabilities("manual", True, True, True, True, True)

    def __init__(self, told: list[int], metrics: Any = ()) -> None:
        self.told, self.metrics_of_episode, self.t = told, {} if metrics == () else metrics, 0

    def reset(self, env_ids: Any = None, seeds: Any = None) -> Reset:
        self.t = 0
        return Reset(np.zeros((1, 3)), np.array([-1], np.int8))

    def step(self, actions: Any) -> Step:
        told, over = self.told[self.t], np.array([self.t + 1 == len(self.told)])
        self.t += 1
        return Step(
            observation=np.zeros((1, 3)),
            reward=np.ones(1),
            terminated=over,
            truncated=np.zeros(1, bool),
            valid=np.ones(1, bool),
            success=np.array([told], np.int8),
            ends=(EpisodeEnd(0, "over", metrics=self.metrics_of_episode),) if over[0] else (),
        )


@pytest.mark.parametrize("given", [None, [0.5], {1: 0.5}, {"speed": "fast"}, {"speed": 10**400}])
def test_metrics_of_an_episode_that_are_no_numbers(given: Any) -> None:
    with pytest.raises(EvaluationError, match="of the episode that ended in row 0"):
        run(Tells([0, 1], given), 1)


@pytest.mark.parametrize(
    ("told", "once", "at_end"),
    [
        ([0, 0, 0], False, False),
        ([-1, -1, 0], False, False),
        ([0, 0, -1], None, None),
        ([-1, -1, -1], None, None),
        ([0, 1, -1], True, None),
        ([1, 0, 0], True, False),
        ([-1, -1, 1], True, True),
    ],
)
@pytest.mark.parametrize("when", ["once", "at_end"])
def test_an_episode_whose_last_step_nobody_measured_is_no_failure(
    told: list[int], once: bool | None, at_end: bool | None, when: str
) -> None:
    (episode,), _, _ = run(Tells(told), 1, when=when)
    assert (episode.success_once, episode.success_at_end) == (once, at_end)
    known = {True: Outcome.SUCCESS, False: Outcome.FAILURE, None: Outcome.UNKNOWN}
    assert episode.outcome == known[once if when == "once" else at_end]


class Spoilt(Still):
    """Gives something else in its third step."""

    given: Any = None

    def act(self, observation: Any) -> Any:
        self.steps = getattr(self, "steps", 0) + 1
        return self.given if self.steps == 3 else super().act(observation)


def test_wrong_actions_are_the_policys_error_and_never_reach_the_environment() -> None:
    env = Tells([0] * 5)
    context = RolloutContext(make_job(), "job", 1, Path("."), Path("."), env)
    schedule = fixed_schedule([0], make_job().environment, rebuild=0, num_envs=1, seeded=True)
    loop = Loop(context, Spoilt(env), schedule, Observers([], []))
    with pytest.raises(EvaluationError, match=rf"^policy {__name__}:Spoilt: expected actions"):
        loop.run(Deadline(None))
    assert loop.acting, "whoever asks whose error it is"
    assert (loop.vector_steps, env.t, loop.actions.actions) == (2, 2, 2)
    (episode,) = loop.abandon(ValueError("x"))
    assert episode.outcome == Outcome.ERROR


def test_what_an_environment_gives_is_checked() -> None:
    class Half(Tells):
        def step(self, actions: Any) -> Step:
            return dataclasses.replace(super().step(actions), reward=np.ones((1, 1)))

    with pytest.raises(EvaluationError, match=r"^Half.step\(\) gave as reward an array of shape \(1, 1\)"):
        run(Half([0]), 1)

"""The gate in the real loop: biased arrivals, any number of rows, and what is left when it stops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from pytest_arena import (
    Episode,
    EvaluationError,
    Job,
    JobRecord,
    Outcome,
    Policy,
    Recorded,
    Recorder,
    RolloutContext,
    RunDirectory,
    SimEnv,
    Verdict,
    read_episodes,
)
from pytest_arena.evaluation.run_job import Evaluation
from pytest_arena.gate.job_gate import JobGate
from pytest_arena.gate.recheck import recheck
from pytest_arena.guards.deadline import Deadline
from pytest_arena.records.attempt import Attempt
from pytest_arena.rollout.loop import Loop, Observers
from pytest_arena.rollout.schedule import fixed_schedule
from pytest_arena.simulators.gymnasium.simulator import GymnasiumEnv
from tests.fakes import CountingVectorEnv, LongFailures, ScriptedEnv
from tests.jobs import make_job

RUNS = 250


class Still(Policy):
    reproducible = True

    def __init__(self, env: SimEnv) -> None:
        self.actions = np.zeros((env.num_envs, 2), np.float32)

    def act(self, observation: Any) -> Any:
        return self.actions


def gated(seed: int = 0, num_envs: int = 1, **gate: Any) -> Job:
    return make_job(
        environment={"id": "x", "seed": seed, "num_envs": num_envs},
        thresholds={"success_rate": ">= 0.8"},
        gate={"episodes_max": 100, **gate},
    )


def played(job: Job, env: SimEnv) -> tuple[JobGate, list[Episode]]:
    """Run the loop until the gate stops it; returns the episodes in the order in which they ended."""
    gate = JobGate.of(job)
    assert gate is not None
    schedule = fixed_schedule(
        job.wanted_episodes, job.environment, rebuild=0, num_envs=env.num_envs, seeded=True
    )
    context = RolloutContext(job, "job", 1, Path("."), Path("."), env)
    loop = Loop(context, Still(env), schedule, Observers([], [], stop=gate))
    loop.run(Deadline(None))
    return gate, loop.episodes


def verdict_on_arrival(job: Job, episodes: list[Episode]) -> Verdict:
    """What the same test says if it takes the episodes as they end."""
    gate = JobGate.of(job)
    assert gate is not None
    for index, episode in enumerate(episodes):
        episode.episode = index
        gate.add(episode)
    return gate.record.tests[0].verdict


@pytest.mark.statistics
@pytest.mark.parametrize(("rate", "most"), [(0.70, 0.01), (0.80, 0.05 + 3 * (0.05 * 0.95 / RUNS) ** 0.5)])
def test_failures_that_take_longer_do_not_make_it_pass(rate: float, most: float) -> None:
    """50 rows, true rates at and below the threshold: read on arrival, (nearly) every run would pass."""
    verdicts, arrivals = [], []
    for seed in range(RUNS):
        job = gated(seed, 50)
        gate, episodes = played(job, LongFailures(50, rate))
        verdicts.append(gate.record.tests[0].verdict)
        arrivals.append(verdict_on_arrival(job, episodes))
    assert verdicts.count(Verdict.PASS) / RUNS <= most
    assert arrivals.count(Verdict.PASS) / RUNS > 0.9


def run(
    tmp_path: Path, job: Job, env: SimEnv, recorder: Recorder | None = None, **more: Any
) -> tuple[JobRecord, list[Episode]]:
    """Evaluate *job* as a test does; returns its record and the episodes on disk."""
    directory = RunDirectory.create(tmp_path)
    attempt = Attempt.begin(job, directory, job.name, earlier=more.pop("earlier", ()))
    recorders = [recorder] if recorder is not None else []
    Evaluation(job, attempt, lambda rebuild: env, Still(env), recorders, **more).run()
    return attempt.record, read_episodes(attempt.directory.episodes)


def comparable(record: JobRecord) -> dict[str, Any]:
    data = record.to_json()
    keys = ("metrics", "intervals", "thresholds", "gate", "verdict", "status", "reproducible")
    return {**{key: data[key] for key in keys}, "measured": record.episodes["measured"]}


@pytest.mark.parametrize("rate", [0.97, 0.85, 0.6])
def test_the_same_record_whatever_num_envs(tmp_path: Path, rate: float) -> None:
    found = []
    for num_envs in (1, 3, 50, 200):
        record, episodes = run(tmp_path, gated(4, num_envs), LongFailures(num_envs, rate))
        found.append(comparable(record))
        assert recheck(record, episodes) == []
        assert record.gate is not None
        assert record.episodes["measured"] == record.gate.counted == len(record.boundaries)
        assert len(episodes) == record.episodes["measured"] + record.episodes["beyond"]
    assert found[0] == found[1] == found[2] == found[3]


class Diary(Recorder):
    """Reads the record while the rollout runs, and notes what began and ended."""

    def __init__(self) -> None:
        self.record, self.begun, self.ended = "", set(), set()

    def on_reset(self, rows: Any, starts: Any, observation: Any) -> None:
        self.begun |= {start.episode for start in starts}

    def start(self, context: RolloutContext) -> None:
        self.path = context.directory / "record.json"

    def on_end(self, row: int, episode: Episode) -> None:
        self.record = self.record or self.path.read_text()
        self.ended.add(episode.episode)

    def close(self) -> Recorded:
        return Recorded()


def test_what_is_left_when_it_stops(tmp_path: Path) -> None:
    """The rule was on disk before; what finished is kept; what still ran is no error and no episode."""
    diary = Diary()
    record, episodes = run(tmp_path, gated(4, 20), LongFailures(20, 0.95), diary)
    told = JobRecord.from_json(json.loads(diary.record))
    assert told.gate is not None
    assert record.gate is not None
    assert told.gate.tests[0].pass_at == record.gate.tests[0].pass_at
    assert told.gate.tests[0].path == []
    assert record.verdict is Verdict.PASS
    assert {e.episode for e in episodes} == diary.ended
    assert diary.begun > diary.ended
    assert all(e.outcome is not Outcome.ERROR for e in episodes)
    assert record.episodes["errors"] == 0
    assert {b["episode"] for b in record.boundaries} == set(range(record.gate.counted or 0))


def test_going_on_with_any_part_of_the_episodes(tmp_path: Path) -> None:
    """As after a kill: whatever had finished, holes and all, the verdict and the numbers are the same."""
    whole, episodes = run(tmp_path, gated(4, 10), LongFailures(10, 0.9))
    for kept in (episodes[:1], episodes[3:17], episodes[::3], episodes):
        record, again = run(tmp_path, gated(4, 10), LongFailures(10, 0.9), earlier=kept)
        record.reproducible = whole.reproducible  # a test takes it over from the record that it goes on with
        assert comparable(record) == comparable(whole)
        assert not {e.episode for e in again} & {e.episode for e in kept}
    assert again == []


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_in_every_autoreset_mode(tmp_path: Path, mode: Any) -> None:
    env = GymnasiumEnv(CountingVectorEnv([[2], [5], [3]], [[True], [True], [True]], mode))
    record, episodes = run(tmp_path, gated(num_envs=3), env)
    assert (record.verdict, record.gate.counted if record.gate else 0) == (Verdict.PASS, 30)
    assert {e.episode for e in episodes} >= set(range(30))
    assert all(e.length == (2, 5, 3)[e.env_idx] for e in episodes)


def test_the_next_job_of_the_environment_is_not_disturbed(tmp_path: Path) -> None:
    """Rows that were left in the middle of an episode go on, uncounted, where the next job does not need them."""

    def made() -> GymnasiumEnv:
        vec = SyncVectorEnv([ScriptedEnv] * 6, autoreset_mode=AutoresetMode.DISABLED)
        return GymnasiumEnv(vec)

    def told(env: SimEnv) -> list[Any]:
        _, episodes = run(tmp_path, make_job("after", rollout={"episodes": 3}), env)
        return [(e.episode, e.seed, e.length, e.outcome, e.return_) for e in episodes]

    shared = made()
    run(tmp_path, gated(num_envs=6, episodes_max=20), shared)
    assert told(shared) == told(made())


def test_a_decided_job_is_not_built_anew(tmp_path: Path) -> None:
    """Of three builds, 40 episodes each, the first decides."""
    job = gated(4, 4, episodes_max=120)
    job = Job.model_validate({**job.config(), "rollout": {"episodes": 120, "rebuilds": 3}})
    builds: list[int] = []

    def make(rebuild: int) -> SimEnv:
        builds.append(rebuild)
        return LongFailures(4, 1.0)

    directory = RunDirectory.create(tmp_path)
    attempt = Attempt.begin(job, directory, "job")
    record = attempt.record
    Evaluation(job, attempt, make, Still(LongFailures(4, 1.0))).run()
    assert builds == [0]
    assert record.verdict is Verdict.PASS


def test_success_that_nobody_measures_is_an_error_after_the_first_look(tmp_path: Path) -> None:
    class Silent(LongFailures):
        def step(self, actions: Any) -> Any:
            step = super().step(actions)
            step.success[:] = -1
            return step

    with pytest.raises(
        EvaluationError, match=r"success_rate >= 0\.8 cannot be judged: not measured in any of 10"
    ):
        run(tmp_path, gated(), Silent(1, 1.0))

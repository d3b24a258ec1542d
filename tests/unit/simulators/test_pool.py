from __future__ import annotations

import signal
from typing import Any

import pytest

from pytest_arena import EvaluationError, RolloutTimeoutError, Simulator
from pytest_arena.simulators import pool as module
from pytest_arena.simulators.devices import assigned_device
from pytest_arena.simulators.pool import EnvironmentPool
from tests.fakes import LongFailures
from tests.jobs import make_job


class Env(LongFailures):
    def __init__(self, log: list[str], name: str) -> None:
        super().__init__(num_envs=1, rate=1.0)
        self.log, self.name = log, name

    def close(self) -> None:
        self.log.append(f"close {self.name}")


class App(Simulator):
    name = "app"

    def __init__(self) -> None:
        self.log: list[str] = []
        self.mask = "?"

    def launch_key(self, job: Any) -> Any:
        return job.environment.device

    def launch(self, job: Any) -> None:
        import os

        self.mask = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        self.log.append("launch")

    def make(self, job: Any) -> Any:
        self.log.append(f"make {job.name}")
        return Env(self.log, job.name)

    def shutdown(self, exit_code: int) -> None:
        self.log.append(f"shutdown {exit_code}")


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> App:
    made = App()
    monkeypatch.setattr(module, "find_simulator", lambda job: made)
    return made


def job(name: str, **environment: Any) -> Any:
    return make_job(name, environment={"id": "x", **environment})


def test_one_environment_for_jobs_that_can_share_it(app: App) -> None:
    pool = EnvironmentPool()
    first = pool.get(job("a", seed=1))
    assert pool.get(job("b", seed=2)) is first
    assert pool.get(job("c", num_envs=2)) is not first
    pool.shutdown(1)
    assert app.log[0] == "launch"
    assert [entry for entry in app.log if entry != "launch"] == ["make a", "close a", "make c", "close c"]


def test_what_is_no_environment_is_closed_and_not_kept(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    class Half:
        def close(self) -> None:
            app.log.append("close half")

    pool = EnvironmentPool()
    monkeypatch.setattr(app, "make", lambda job: Half())
    for _ in range(2):
        with pytest.raises(EvaluationError, match="the environment Half lacks num_envs, capabilities, "):
            pool.get(job("a"))
    monkeypatch.undo()
    assert app.log.count("close half") == 2


def test_an_app_is_launched_once_and_shut_down_with_the_exit_status(app: App) -> None:
    pool = EnvironmentPool()
    pool.get(job("a", device="cuda:0"))
    pool.get(job("b", device="cuda:0", num_envs=2))
    pool.shutdown(3)
    assert app.log.count("launch") == 1
    assert app.log[-1] == "shutdown 3"


def test_a_second_app_is_refused_with_advice(app: App) -> None:
    pool = EnvironmentPool()
    pool.get(job("a", device="cuda:0"))
    with pytest.raises(EvaluationError, match="run such jobs with -n"):
        pool.get(job("b", device="cuda:1"))


def test_a_spent_environment_is_not_used_again(app: App) -> None:
    pool = EnvironmentPool()
    pool.get(job("a")).spent = True  # type: ignore[misc]
    pool.get(job("a"))
    assert [entry for entry in app.log if entry != "launch"] == ["make a", "close a", "make a"]


def test_the_app_is_started_for_the_job_that_needs_most_of_it(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "launch_key", lambda job: len(job.environment.cameras))
    monkeypatch.setattr(app, "serves", lambda launched, wanted: launched >= wanted)
    few, many = job("few"), job("many", cameras={"a": {}, "b": {}})
    pool = EnvironmentPool()
    pool.expected = [few, many]
    pool.get(few)
    pool.get(many)
    assert app.log.count("launch") == 1
    unexpected = job("unexpected", cameras={"a": {}, "b": {}, "c": {}})
    with pytest.raises(EvaluationError, match="run such jobs with -n"):
        pool.get(unexpected)


@pytest.mark.parametrize(
    ("masked", "before", "seen"), [(True, "3,5", "5"), (False, "3,5", "3,5"), (False, "", "")]
)
def test_a_mask_is_lifted_for_a_simulator_that_it_does_not_pin(
    app: App, monkeypatch: pytest.MonkeyPatch, masked: bool, before: str, seen: str
) -> None:
    monkeypatch.setattr(App, "device_mask", masked)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    monkeypatch.setenv("PYTEST_ARENA_UNMASKED", before)
    monkeypatch.setenv("PYTEST_ARENA_GPU", "1")
    EnvironmentPool().get(job("a"))
    assert app.mask == seen
    assert assigned_device() == "cuda:1"


@pytest.mark.parametrize("error", [RuntimeError("stuck"), SystemExit(0), pytest.skip.Exception("stuck")])
def test_a_close_that_fails_is_a_note_of_who_had_the_environment_last(
    app: App, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(env: Env) -> None:
        raise error

    monkeypatch.setattr(Env, "close", fail)
    pool, notes = EnvironmentPool(), dict[str, list[str]](first=[], last=[], other=[])
    pool.get(job("first"), note=notes["first"].append)
    pool.get(job("last"), note=notes["last"].append)
    pool.get(job("other", num_envs=2), note=notes["other"].append)
    assert notes["first"] == notes["other"] == []
    (note,) = notes["last"]
    assert note.startswith("the environment could not be closed: ")
    pool.shutdown(0)
    assert len(notes["other"]) == 1


def test_building_has_the_jobs_time(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(App, "make", lambda self, job: signal.pause())
    with pytest.raises(
        RolloutTimeoutError, match=r"timed out after 0\.05 s .* while the environment was built"
    ):
        EnvironmentPool().get(make_job("slow", rollout={"episodes": 1, "timeout": 0.05}))

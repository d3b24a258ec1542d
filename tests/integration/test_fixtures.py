"""A user overrides the smallest piece."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Suite


def run(suite: Suite, code: str) -> None:
    suite.jobs({"job": {}})
    suite.test(f"import pytest\npytestmark = pytest.mark.arena('jobs.yaml')\n{code}")
    result = suite.run()
    assert result.ret == 0, result.stdout.str()


def test_environment_options(suite: Suite) -> None:
    run(
        suite,
        """
@pytest.fixture
def arena_env_options(arena_env_options):
    return {**arena_env_options, "make": {"script": {}}, "autoreset": "same_step"}

def test_it(arena_env, arena_rollout):
    assert arena_env.capabilities.autoreset == "same_step"
    arena_rollout()
""",
    )


def test_wrong_environment_options_are_refused(suite: Suite) -> None:
    suite.jobs({"job": {}})
    suite.test(
        """
import pytest

@pytest.fixture
def arena_env_options(arena_env_options):
    return {"vectorisation": "sync"}

@pytest.mark.arena("jobs.yaml")
def test_it(arena_rollout): ...
"""
    )
    result = suite.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*environment.options.vectorisation*did you mean 'vectorization'*"])
    assert suite.record("job")["status"] == "error"


def test_policy(suite: Suite) -> None:
    run(
        suite,
        """
@pytest.fixture
def arena_policy(arena_env):
    from pytest_arena import Policy
    import numpy as np

    class Ones(Policy):
        def act(self, observation):
            return np.ones((arena_env.num_envs, 2))

    return Ones()

def test_it(arena_rollout):
    result = arena_rollout()
    assert all(e.return_ > e.length * 2 for e in result.episodes)
""",
    )


@pytest.mark.parametrize(
    ("fixture", "given", "words"),
    [
        ("arena_env_options", None, "arena_env_options: expected a dict, got None"),
        ("arena_env_options", [1], "arena_env_options: expected a dict, got a list of 1"),
        ("arena_recorders", None, "recorders: expected a list, got None"),
        ("arena_recorders", [1], "recorders: expected objects of a subclass of Recorder, got an int"),
        (
            "arena_recorders",
            [int],
            "recorders: expected objects of a subclass of Recorder, got the class int",
        ),
    ],
)
def test_a_fixture_that_gives_something_else_is_told_in_a_line(
    suite: Suite, fixture: str, given: object, words: str
) -> None:
    suite.jobs({"job": {}})
    value = "[int]" if given == [int] else repr(given)
    suite.test(
        f"""
import pytest

@pytest.fixture
def {fixture}():
    return {value}

@pytest.mark.arena("jobs.yaml")
def test_it(arena_rollout):
    arena_rollout()
"""
    )
    result = suite.run()
    assert result.ret == 1
    assert suite.record("job")["error"]["message"] == words
    assert "/pytest_arena/" not in result.stdout.str()


def test_recorders(suite: Suite) -> None:
    run(
        suite,
        """
@pytest.fixture
def arena_recorders(arena_recorders):
    from pytest_arena import Recorder

    class Counter(Recorder):
        watches_steps = True
        steps = 0

        def on_step(self, rows, actions, step):
            self.steps += len(rows)

    return [*arena_recorders, Counter()]

def test_it(arena_rollout, arena_recorders):
    result = arena_rollout()
    assert arena_recorders[-1].steps == sum(e.length for e in result.episodes)
""",
    )


def test_metrics_of_a_conftest_can_be_thresholds(suite: Suite) -> None:
    suite.pytester.makeconftest(
        """
from pytest_arena import Metric

class LastReward(Metric):
    name, unit, reduction, watches_steps = "last_reward", "points", "max", True

    def start(self, env, job):
        self.last = [0.0] * env.num_envs

    def step(self, transition):
        for row in transition.rows:
            self.last[row] = float(transition.step.reward[row])

    def end(self, row, episode):
        return self.last[row]

def pytest_arena_metrics(job):
    return [LastReward()] if job.name != "other" else None
"""
    )
    suite.jobs(
        {"good": {"thresholds": {"last_reward": "<= 50"}}, "bad": {"thresholds": {"last_reward": "< 1"}}}
    )
    suite.test()
    suite.run().assert_outcomes(passed=1, failed=1)
    episodes = suite.episodes("good")
    assert [e["metrics"]["last_reward"] for e in episodes] == [float(e["length"]) for e in episodes]
    suite.jobs({"other": {"thresholds": {"last_reward": "<= 50"}}})
    assert suite.run().ret == 4


def test_running_a_job_twice_is_refused(suite: Suite) -> None:
    suite.jobs({"job": {}})
    suite.test(
        """
import pytest

@pytest.mark.arena("jobs.yaml")
def test_it(arena_rollout):
    arena_rollout()
    arena_rollout()
"""
    )
    result = suite.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*has been run by this test already*"])


def test_a_fixture_without_a_job_says_what_to_do(suite: Suite) -> None:
    suite.jobs({"job": {}})
    suite.test(
        """
import pytest

@pytest.mark.arena("jobs.yaml")
def test_it(arena_rollout):
    arena_rollout()

def test_other(arena_job): ...
"""
    )
    result = suite.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*mark the test with @pytest.mark.arena*"])

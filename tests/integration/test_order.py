"""The order of jobs, and what ran before in the same environment, changes nothing."""

from __future__ import annotations

from itertools import pairwise

from tests.integration.conftest import Suite

SHAPE_DEPENDENT = ("env_idx", "start_step", "end_step", "started_at", "wall_time_seconds", "videos")
JOBS = {
    "a": {"environment": {"seed": 1}, "policy": {"type": "random"}},
    "b": {"environment": {"seed": 2, "num_envs": 3}},
    "c": {
        "environment": {"seed": 1, "num_envs": 3},
        "policy": {"type": "random"},
        "rollout": {"episodes": 7},
    },
}


def test_jobs_in_another_order_give_identical_episodes(suite: Suite) -> None:
    suite.test()
    told = []
    for names in ("abc", "cba", "bca"):
        suite.jobs({name: JOBS[name] for name in names})
        assert suite.run().ret == 0
        told.append(
            {
                name: [{k: v for k, v in e.items() if k not in SHAPE_DEPENDENT} for e in suite.episodes(name)]
                for name in "abc"
            }
        )
    assert told[0] == told[1] == told[2]


def test_num_envs_changes_nothing(suite: Suite) -> None:
    suite.test()
    told = []
    for num_envs in (1, 3, 8):
        environment = {"num_envs": num_envs}
        suite.jobs(
            {"job": {"environment": environment, "policy": {"type": "random"}, "rollout": {"episodes": 10}}}
        )
        assert suite.run().ret == 0
        assert suite.arena("job")["reproducible"] is True
        told.append([{k: v for k, v in e.items() if k not in SHAPE_DEPENDENT} for e in suite.episodes("job")])
    assert told[0] == told[1] == told[2]


def test_a_job_may_have_the_name_of_a_file_of_the_run(suite: Suite) -> None:
    suite.jobs({"run.json": {}, "metrics.json": {}, "report.json": {}})
    suite.test()
    assert suite.run().ret == 0
    assert suite.arena("metrics.json-test_it")["episodes"]["measured"] == 4


SHUFFLING = """
import random
import numpy
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    random.Random(5).shuffle(items)

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    random.seed(5)
    numpy.random.seed(5)
"""


def test_a_plugin_that_shuffles_and_reseeds_changes_no_number(suite: Suite) -> None:
    """As pytest-randomly does it: jobs that share an environment still run one after the other."""
    suite.test()
    suite.jobs({f"{name}{i}": JOBS[name] for i in range(3) for name in "abc"})
    told = []
    for conftest in ("", SHUFFLING):
        suite.pytester.makeconftest(conftest)
        assert suite.run().ret == 0
        order = list(suite.outcomes())
        names = [f"{name}{i}" for name in "abc" for i in range(3)]
        told.append(
            {
                n: [{k: v for k, v in e.items() if k not in SHAPE_DEPENDENT} for e in suite.episodes(n)]
                for n in names
            }
        )
    assert told[0] == told[1]
    assert order != sorted(order)
    environments = [JOBS[name[0]]["environment"].get("num_envs", 1) for name in order]
    assert sum(one != two for one, two in pairwise(environments)) == 1

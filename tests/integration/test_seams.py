"""What environments and policies give, through a whole run: one line that names it, or a true number."""

from __future__ import annotations

import json

from tests.integration.conftest import Suite

BASE = """
import gymnasium, numpy as np

class Base(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-9, 9, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2, np.float32), {}
"""
CODE = f"""{BASE}
class Told(Base):
    def __init__(self, told):
        self.told = told

    def step(self, action):
        self.t += 1
        over = self.t == 3
        told = {{"none": None, "text": "False", "late": over or None, "early": None if over else False,
                "nan": float("nan"), "yes": over}}[self.told]
        return np.zeros(2, np.float32), float(np.sum(action)), False, over, {{"success": told}}

gymnasium.register("told/Told-v0", entry_point=Told)

class Gives:
    def __init__(self, what):
        self.what = what

    def act(self, observation):
        good = np.zeros((len(observation), 2), np.float32)
        return {{"good": good, "far": good + 5, "nan": good * np.nan, "pair": (good, None)}}[self.what]
"""
GATE = {"gate": {"episodes_max": 20}, "thresholds": {"success_rate": ">= 0.5"}}


def job(told: str = "yes", gives: str = "good", **more: object) -> dict[str, object]:
    environment = {"id": "told_here:told/Told-v0", "num_envs": 2, "options": {"make": {"told": told}}}
    return {"environment": environment, "policy": {"type": "told_here:Gives", "what": gives}, **more}


def test_one_line_for_a_mistake_and_no_rate_of_what_nobody_measured(suite: Suite) -> None:
    (suite.path / "told_here.py").write_text(CODE)
    rate = {"thresholds": {"success_rate": "<= 0.5"}}
    jobs = {
        "yes": job(thresholds={"success_rate": ">= 0.9"}),
        "late": job("late", thresholds={"success_rate": ">= 0.9"}),
        "none": job("none"),
        "early": job("early"),
        "none_judged": job("none", **rate),
        "early_judged": job("early", **rate),
        "nan_gated": job("nan", **GATE, rollout={}),
        "text": job("text", **rate),
        "misspelt": job(success={"info_key": "sucess"}),
        "pair": job(gives="pair"),
        "nan": job(gives="nan"),
        "far": job(gives="far"),
    }
    suite.jobs(jobs, rollout={"episodes": 4})
    suite.test()
    result = suite.run()
    passed = ("yes", "late", "none", "early", "far")
    assert {name for name, outcome in suite.outcomes().items() if outcome == "passed"} == {*passed}
    for name in passed:
        assert suite.record(name)["status"] == "completed"
    for name in ("none", "early"):
        assert suite.record(name)["metrics"]["success_rate"] is None
        assert {episode["outcome"] for episode in suite.episodes(name)} == {"unknown"}
    words = {
        "none_judged": "threshold success_rate <= 0.5 cannot be judged: not measured in any of 4 episodes",
        "early_judged": "threshold success_rate <= 0.5 cannot be judged: not measured in any of 4 episodes",
        "nan_gated": "cannot be judged: not measured in any of",
        "text": "info['success'] is the text 'False' in row 0, expected a boolean or a number",
        "misspelt": "never had 'sucess' (did you mean 'success'?); it had success",
        "pair": "policy told_here:Gives: expected actions as an array or tensor of floats of shape (2, 2), got a",
        "nan": "policy told_here:Gives: the actions of rows 0, 1 are not finite",
    }
    for name, expected in words.items():
        error = suite.record(name)["error"]
        assert expected in error["message"], name
        assert error["type"] == "EvaluationError"
        assert error["traceback"] == ""
    assert "sync_vector_env.py" not in result.stdout.str(), "whose code found it says nothing"
    (note,) = [note for note in suite.record("far")["notes"] if "actions" in note]
    assert note.startswith("12 of 12 actions were outside the action space Box(-1.0, 1.0, (2,), float32)")
    json.loads((suite.run_dir / "report.json").read_text())


def test_own_classes_from_fixtures(suite: Suite) -> None:
    (suite.path / "told_here.py").write_text(CODE)
    suite.jobs({"job": job()}, rollout={"episodes": 4})
    suite.test(
        """
import numpy as np
import pytest
from pytest_arena import SimEnv

pytestmark = pytest.mark.arena("jobs.yaml")

class Act:
    def act(self, observation):
        return np.ones((len(observation), 2), np.float32)

class Acts:
    @pytest.fixture
    def arena_policy(self):
        return Act()

class TestPlain(Acts):
    def test_it(self, arena_rollout):
        assert arena_rollout().metrics["return"] == 6.0

class TestNoAct:
    @pytest.fixture
    def arena_policy(self):
        return object()

    def test_it(self, arena_rollout):
        arena_rollout()

class Half(SimEnv):
    def reset(self, env_ids=None, seeds=None): ...
    def step(self, actions): ...

class TestHalf:
    @pytest.fixture
    def arena_env(self):
        return Half()

    def test_it(self, arena_rollout):
        arena_rollout()

class TestHalfWithAct(Acts):
    @pytest.fixture
    def arena_env(self):
        return Half()

    def test_it(self, arena_rollout):
        arena_rollout()
"""
    )
    result = suite.run()
    result.assert_outcomes(passed=1, failed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*EvaluationError: the environment Half lacks num_envs, capabilities, single_action_space*",
            "*EvaluationError: expected a policy with act(observation), object has no method act",
            "*EvaluationError: the environment Half lacks num_envs, capabilities, single_action_space*",
        ]
    )
    for line in ("AttributeError", "loop.py", "evaluation.py"):
        assert line not in result.stdout.str()


ROWS = f"""{BASE}
import os, signal, sys
import pytest

class Diverged(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.simulator = lambda: None

class Row(Base):
    def __init__(self, does):
        self.does = does

    def step(self, action):
        self.t += 1
        if self.does == "diverge":
            raise Diverged("blew up")
        if self.does == "skip":
            pytest.skip("no gpu")
        if self.does == "exit":
            sys.exit(0)
        if self.does == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return np.zeros(2, np.float32), 0.0, self.t == 3, False, {{"success": True}}

    def close(self):
        if self.does == "close":
            raise RuntimeError("close boom")

gymnasium.register("rows/Row-v0", entry_point=Row, disable_env_checker=True)
"""


def test_rows_in_processes_fail_as_rows_of_this_process_do(suite: Suite) -> None:
    (suite.path / "rows_here.py").write_text(ROWS)
    environment = {"id": "rows_here:rows/Row-v0", "num_envs": 2, "max_episode_steps": 9}
    words = {
        "diverge": "raised Diverged: blew up",
        "skip": "raised Skipped: no gpu",
        "exit": "raised SystemExit: 0",
        "die": "ended (exit code -9)",
    }
    suite.jobs(
        {
            does: {
                "environment": {**environment, "options": {"vectorization": "async", "make": {"does": does}}}
            }
            for does in (*words, "close", "go")
        },
        rollout={"episodes": 4},
    )
    suite.test()
    suite.run()
    passed = {name for name, outcome in suite.outcomes().items() if outcome == "passed"}
    assert passed == {"close", "go"}
    for name, expected in words.items():
        assert expected in suite.record(name)["error"]["message"]
    notes = {name: suite.record(name)["notes"] for name in passed}
    assert "the environment could not be closed: RuntimeError: close boom" in notes["close"]
    assert not [note for every in notes.values() for note in every if "step limit" in note]


SCRIPTED = {"id": "tests.registered:arena/Scripted-v0"}
MINIMAL = """
import gymnasium
import numpy as np
import pytest
from pytest_arena import Capabilities, EpisodeEnd, Reset, SimEnv, Step

class Minimal(SimEnv):
    num_envs = 2
    capabilities = Capabilities("manual")
    single_observation_space = gymnasium.spaces.Box(-9, 9, (1,))
    single_action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def reset(self, env_ids=None, seeds=None):
        self.t = getattr(self, "t", np.zeros(2, int))
        self.t[slice(None) if env_ids is None else env_ids] = 0
        return Reset(self.t[:, None].astype(float), np.zeros(2, np.int8))

    def step(self, actions):
        valid = self.t < 3
        self.t += valid
        over = valid & (self.t == 3)
        ends = tuple(EpisodeEnd(int(row), "time_out") for row in np.flatnonzero(over))
        no = np.zeros(2, bool)
        return Step(self.t[:, None].astype(float), np.ones(2), no, over, valid, np.zeros(2, np.int8), ends)

class Act:
    def act(self, observation):
        return np.zeros((len(observation), 1))

class Made:
    without = None

    @pytest.fixture
    def arena_env(self):
        attributes = {"num_envs", "capabilities", "single_observation_space", "single_action_space"}
        kept = {name: getattr(Minimal, name) for name in attributes - {self.without}}
        return type("Mine", (SimEnv,), {**kept, "reset": Minimal.reset, "step": Minimal.step})()

    @pytest.fixture
    def arena_policy(self):
        return Act()

    @pytest.mark.arena("jobs.yaml")
    def test_it(self, arena_rollout):
        assert arena_rollout().metrics["return"] == 3.0

class TestWhole(Made):
    pass

class TestCounts(Made):
    without = "num_envs"

class TestCan(Made):
    without = "capabilities"

class TestSees(Made):
    without = "single_observation_space"

class TestActs(Made):
    without = "single_action_space"
"""


def test_a_minimal_environment_has_four_attributes_and_what_lacks_is_one_line(suite: Suite) -> None:
    suite.jobs({"job": {}}, rollout={"episodes": 5}, environment={**SCRIPTED, "num_envs": 2})
    suite.test(MINIMAL)
    result = suite.run()
    result.assert_outcomes(passed=1, failed=4)
    printed = result.stdout.str()
    for name in ("num_envs", "capabilities", "single_observation_space", "single_action_space"):
        line = f"EvaluationError: the environment Mine lacks {name}: set them in its constructor"
        assert line in printed
    assert "AttributeError" not in printed
    assert "loop.py" not in printed

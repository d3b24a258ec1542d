"""What rows in processes of their own raise, and how they end, is told as rows of this process tell it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import unittest
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from pytest_arena import EvaluationError, SimEnv
from pytest_arena.simulators.gymnasium.simulator import GymnasiumSimulator
from tests.jobs import make_job

pytestmark = pytest.mark.process


def in_row() -> bool:
    """Whether this is the process of a row."""
    return multiprocessing.parent_process() is not None


class DivergedError(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.simulator = lambda: None  # cannot be pickled


class TwoError(Exception):
    def __init__(self, a: str, b: str) -> None:
        super().__init__(f"{a} and {b}")  # pickled, it would be built of one argument


class NoTextError(Exception):
    def __str__(self) -> str:
        raise ValueError("has no text")


class OddError(Exception):
    def __reduce__(self) -> Any:
        return str, ("no exception",)


def throw(error: BaseException) -> None:
    raise error


def fork(error: BaseException | None = None) -> None:
    if os.fork() == 0 and error is not None:
        raise error


DEEDS: dict[str, Callable[[], Any]] = {
    "diverged": lambda: throw(DivergedError("blew up")),
    "two": lambda: throw(TwoError("a", "b")),
    "no text": lambda: throw(NoTextError()),
    "odd": lambda: throw(OddError("odd")),
    "long": lambda: throw(ValueError("x" * 300_000)),
    "key": lambda: throw(KeyError("k")),
    "file": lambda: throw(FileNotFoundError(2, "No such file", "f.txt")),
    "own end": lambda: throw(EOFError("of a log")),
    "boom": lambda: throw(RuntimeError("boom")),
    "skip": lambda: pytest.skip("no gpu"),
    "xfail": lambda: pytest.xfail("later"),
    "SkipTest": lambda: throw(unittest.SkipTest("no gpu")),
    "exit": lambda: sys.exit(0),
    "base": lambda: throw(BaseException("based")),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "end": lambda: os._exit(0),
    "fork": fork,
    "fork and exit": lambda: fork(SystemExit(0)),
    "fork and raise": lambda: fork(RuntimeError("of a child")),
    "hang": lambda: time.sleep(1000),
}


class Deed(gymnasium.Env[Any, Any]):
    """Does *deed* in the call named *at* of its process; episodes last two steps."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = action_space = spaces.Box(-9, 9, (2,), np.float32)

    def __init__(
        self, deed: str, at: str, here: bool = False, space: Any = None, render_mode: str | None = None
    ) -> None:
        self.deed, self.at, self.here, self.render_mode = deed, at, here, render_mode
        self.observation_space = space or self.observation_space
        self.do("init")

    def do(self, at: str) -> None:
        if at in self.at.split() and (self.here or in_row()):
            DEEDS[self.deed]()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        self.do("reset")
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        self.do("step")
        return self.observation_space.sample(), 0.0, self.t == 2, False, {"success": True}

    def render(self) -> Any:
        self.do("render")
        return np.zeros((4, 4, 3), np.uint8)

    def close(self) -> None:
        self.do("close")


gymnasium.register("process/Deed-v0", entry_point=Deed, disable_env_checker=True)


def make(
    deed: str, at: str, vector: dict[str, Any] | None = None, timeout: float = 30, **more: Any
) -> SimEnv:
    """Two rows in processes of their own."""
    arguments = {"deed": deed, "at": at, **more, **({"vector_kwargs": vector} if vector else {})}
    environment = {"id": "process/Deed-v0", "num_envs": 2, "cameras": {"render": {}}}
    options = {"vectorization": "async", "make": arguments}
    job = make_job(
        environment={**environment, "options": options}, rollout={"episodes": 2, "timeout": timeout}
    )
    return GymnasiumSimulator().make(job)


def use(env: SimEnv) -> None:
    """Reset, step and film; close in any case."""
    try:
        env.reset(None, [0, 1])
        env.step(np.zeros((2, 2), np.float32))
        env.cameras.frames(np.arange(2))
    finally:
        env.close()


RAISED = {
    "diverged": (EvaluationError, r"^row \d raised DivergedError: blew up$"),
    "two": (EvaluationError, r"^row \d raised TwoError: a and b$"),
    "no text": (EvaluationError, r"^row \d raised NoTextError$"),
    "odd": (EvaluationError, r"^row \d raised OddError: odd$"),
    "long": (ValueError, "^x{300000}$"),
    "key": (KeyError, "^'k'$"),
    "file": (FileNotFoundError, r"^\[Errno 2\] No such file: 'f.txt'$"),
    "own end": (EOFError, "^of a log$"),
    "skip": (EvaluationError, r"^row \d raised Skipped: no gpu$"),
    "xfail": (BaseException, "^later$"),
    "SkipTest": (unittest.SkipTest, "^no gpu$"),
    "exit": (SystemExit, "^0$"),
    "base": (BaseException, "^based$"),
    "kill": (EvaluationError, r"the process of row \d ended \(exit code -9\).*memory"),
    "end": (EvaluationError, r"the process of row \d ended \(exit code 0\)$"),
}


@pytest.mark.parametrize("deed", RAISED)
def test_what_a_row_raises_in_a_step_is_raised_here(deed: str) -> None:
    error, words = RAISED[deed]
    with pytest.raises(error, match=words):
        use(make(deed, "step"))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("at", ["step", "init"])
def test_also_where_the_warnings_of_gymnasium_are_errors(at: str) -> None:
    with pytest.raises(RuntimeError, match=r"^boom$"):
        use(make("boom", at))


@pytest.mark.parametrize("at", ["reset", "init"])
@pytest.mark.parametrize("deed", ["diverged", "two", "skip", "exit", "kill", "end"])
def test_and_so_is_what_it_raises_elsewhere(deed: str, at: str) -> None:
    error, words = RAISED[deed]
    with pytest.raises(error, match=words):
        use(make(deed, at))


@pytest.mark.parametrize("vector", [{"context": "forkserver"}, {"shared_memory": False}], ids=str)
@pytest.mark.parametrize(("deed", "at"), [("diverged", "step"), ("two", "init"), ("kill", "reset")])
def test_however_processes_are_started_and_observations_sent(deed: str, at: str, vector: Any) -> None:
    error, words = RAISED[deed]
    with pytest.raises(error, match=words):
        use(make(deed, at, vector, here=True) if at != "init" else make(deed, at, vector))


def test_the_traceback_of_the_rows_process_is_kept() -> None:
    with pytest.raises(RuntimeError, match="boom") as raised:
        use(make("boom", "step"))
    assert 'self.do("step")' in str(raised.value.__cause__)


@pytest.mark.parametrize(
    ("deed", "error", "words"),
    [
        ("diverged", RuntimeError, "^DivergedError: blew up$"),
        ("kill", EvaluationError, r"row \d ended \(exit code -9\)"),
        ("exit", SystemExit, "^0$"),
    ],
)
def test_an_image_that_fails(deed: str, error: type[BaseException], words: str) -> None:
    with pytest.raises(error, match=words):
        use(make(deed, "render"))


@pytest.mark.parametrize("at", ["init", "reset", "step", "close"])
@pytest.mark.parametrize("deed", ["fork", "fork and exit", "fork and raise"])
def test_a_process_that_a_row_forks_says_nothing(deed: str, at: str) -> None:
    use(make(deed, at))


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize(
    ("deed", "error", "words"),
    [
        ("boom", RuntimeError, "^boom$"),
        ("diverged", EvaluationError, "raised DivergedError: blew up"),
    ],
)
def test_a_close_that_raises_costs_no_build_and_is_told_at_the_end(
    deed: str, error: type[Exception], words: str, here: bool
) -> None:
    """Gymnasium closes the one environment that it builds in this process before it starts the others."""
    env = make(deed, "close", here=here)
    env.reset(None, [0, 1])
    with pytest.raises(error, match=words):
        env.close()
    env.close()


def test_a_close_that_ends_the_process_is_told() -> None:
    with pytest.raises(EvaluationError, match=r"the process of row \d ended \(exit code -9\)"):
        use(make("kill", "close"))


def test_a_close_that_raises_after_an_error_is_told_too() -> None:
    env = make("boom", "step close")
    env.reset(None, [0, 1])
    with pytest.raises(RuntimeError, match=r"^boom$"):
        env.step(np.zeros((2, 2), np.float32))
    with pytest.raises(
        EvaluationError, match=r"^the process of row 0 ended \(exit code 1\), the process of row 1"
    ):
        env.close()


@pytest.mark.parametrize("deed", ["diverged", "boom"])
def test_what_was_raised_before_a_close_that_ends_the_process_is_not_lost(
    deed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Deed, "close", lambda self: os._exit(1) if in_row() else None)
    env = make(deed, "step")
    env.reset(None, [0, 1])
    with pytest.raises((EvaluationError, RuntimeError), match=r"blew up|boom"):
        env.step(np.zeros((2, 2), np.float32))
    with pytest.raises(EvaluationError, match=r"^the process of row 0 ended \(exit code 1\)"):
        env.close()


def test_a_close_that_hangs_costs_no_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Deed, "close", lambda self: None if in_row() else DEEDS["hang"]())
    env = make("boom", "never", timeout=0.6)
    env.reset(None, [0, 1])
    with pytest.raises(
        EvaluationError, match=r"timed out after 0.3 s \(half of rollout.timeout\), while the env"
    ):
        env.close()


def test_a_process_that_ends_is_named_where_observations_are_not_shared_either() -> None:
    with pytest.raises(EvaluationError, match=r"the process of row \d ended \(exit code -9\)"):
        make("kill", "init", space=spaces.Text(5))


def test_an_error_of_this_process_is_not_taken_for_one_of_a_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make("boom", "never")
    monkeypatch.setattr(env.unwrapped, "step", lambda actions: throw(ConnectionResetError("of a server")))
    env.reset(None, [0, 1])
    monkeypatch.setattr("pytest_arena.simulators.gymnasium.process.TERMINATION_SECONDS", 0.01)
    with pytest.raises(ConnectionResetError, match="of a server"):
        env.step(np.zeros((2, 2), np.float32))
    env.close()


def test_it_costs_none_where_the_first_try_at_shared_memory_is_given_up() -> None:
    env = make("boom", "close", here=True, space=spaces.Text(5))
    env.reset(None, [0, 1])
    with pytest.raises(RuntimeError, match="boom"):
        env.close()


@pytest.mark.parametrize(
    ("given", "limit"),
    [({}, None), ({"max_episode_steps": 50}, 50), ({"options": {"make": {"max_episode_steps": 9}}}, 9)],
    ids=str,
)
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_the_step_limit_of_rows(vectorization: str, given: dict[str, Any], limit: int | None) -> None:
    options = given.get("options", {"make": {}})
    arguments = {**options["make"], "deed": "boom", "at": "never"}
    environment = {"id": "process/Deed-v0", "num_envs": 2, **given}
    environment["options"] = {"vectorization": vectorization, "make": arguments}
    env = GymnasiumSimulator().make(make_job(environment=environment))
    env.close()
    assert env.max_episode_steps == limit


@pytest.mark.parametrize("vectorization", ["sync", "async", "vector_entry_point"])
@pytest.mark.parametrize(("asked", "limit"), [(None, 500), (12, 12), (-1, None)])
def test_the_step_limit_is_the_registrations_unless_the_job_says_another(
    vectorization: str, asked: int | None, limit: int | None
) -> None:
    arguments = {} if asked is None else {"max_episode_steps": asked}
    options = {"vectorization": vectorization, "make": arguments}
    job = make_job(environment={"id": "CartPole-v1", "num_envs": 2, "options": options})
    env = GymnasiumSimulator().make(job)
    env.close()
    assert env.max_episode_steps == limit

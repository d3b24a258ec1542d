"""How far workers are, as the controller shows it."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import time

import pytest

from tests.integration.conftest import Suite

OFTEN = """
import gymnasium
import time
import pytest_arena.parallel.worker_progress as progress
from tests.fakes import ScriptedEnv

progress.INTERVAL, progress.PERIOD = 0.05, 0.2

class Slow(ScriptedEnv):
    def step(self, action):
        time.sleep(0.02)
        return super().step(action)

gymnasium.register("Slow-v0", Slow, max_episode_steps=50, disable_env_checker=True)
"""
END = r"\[gw\d\] slow\d  12/12 episodes  success [\d.]+%  completed  \d:\d\d"
LINE = r"\[gw\d\] *slow\d  episode \d+/12  (success [\d.]+%  )?\d+ steps/s  \d:\d\d(  \d:\d\d left)?"


@pytest.fixture
def slow(suite: Suite) -> Suite:
    suite.pytester.makeconftest(OFTEN)
    suite.jobs({"slow0": {}, "slow1": {}}, environment={"id": "conftest:Slow-v0"}, rollout={"episodes": 12})
    suite.test()
    return suite


def test_lines_now_and_then_without_a_terminal(slow: Suite) -> None:
    result = slow.run("-n", "2")
    assert result.ret == 0
    found = [line for line in result.outlines if re.fullmatch(LINE, line)]
    assert {line[:5] for line in found} == {"[gw0]", "[gw1]"}
    assert any("success" in line and "left" in line for line in found)
    assert len(found) == len(set(found)), "a line that says nothing new"
    ends = [line for line in result.outlines if re.fullmatch(END, line)]
    assert {line.split()[1] for line in ends} == {"slow0", "slow1"}
    assert len(ends) == 2
    assert not list(slow.run_dir.glob(".progress-*"))


def test_lines_of_this_process_without_a_terminal(slow: Suite) -> None:
    result = slow.run()
    assert result.ret == 0
    starts = ["slow0  building environment", "slow1  begins"]
    ends = [rf"slow{n}  12/12 episodes  success [\d.]+%  completed  \d:\d\d" for n in (0, 1)]
    found = [line for line in result.outlines if re.match(r"slow\d  (building|begins|.*episodes)", line)]
    assert found[::2] == starts
    assert all(re.fullmatch(end, line) for end, line in zip(ends, found[1::2], strict=True))


def test_no_lines_when_quiet(slow: Suite) -> None:
    result = slow.run("-n", "2", "-q")
    assert result.ret == 0
    assert "[gw0]" not in result.stdout.str()


def test_no_lines_in_a_session_without_jobs(slow: Suite) -> None:
    slow.test("def test_it(): import time; time.sleep(1)")
    result = slow.run("-n", "1")
    assert result.ret == 0
    assert "[gw0]" not in result.stdout.str()


def test_a_worker_that_died_is_forgotten(slow: Suite) -> None:
    slow.test(
        """
        import os, time, pytest

        class Deadly:
            def __init__(self, env):
                self.env, self.count = env, 0

            def act(self, observation):
                self.count += 1
                if self.count == 20:
                    os.kill(os.getpid(), 9)
                return self.env.action_space.sample() * 0

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout, arena_job):
            if arena_job.name == "slow1":
                os.kill(os.getpid(), 9)
            arena_rollout()
        """
    )
    result = slow.run("-n", "2")
    assert result.ret == 1
    assert not list(slow.run_dir.glob(".progress-*"))


def on_a_terminal(slow: Suite, *args: str) -> tuple[int, str]:
    """Run pytest on a terminal of its own; returns exit status and all that it wrote."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.chdir(slow.path)
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *args])
    output, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        output += data
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output.decode()


def test_a_line_a_worker_below_the_output_on_a_terminal(slow: Suite) -> None:
    status, output = on_a_terminal(slow, "-n", "2")
    assert status == 0
    blocks = re.findall("\x1b7(.*?)\x1b8", output, re.DOTALL)
    assert any("[gw0] slow" in block and "[gw1] slow" in block for block in blocks)
    after = output.rpartition("\x1b8")[2]
    assert after.startswith("\x1b[J"), "the last lines are taken away"
    assert "[gw" not in after
    assert "2 passed" in after

"""Workers that die: what is kept, what is said, and that no test is lost without a word."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import av
import pytest

from tests.integration.conftest import Suite

METRIC = """
import os
import pytest
from pytest_arena import Metric

class LastReward(Metric):
    name, reduction, watches_steps = "last_reward", "max", True

    def start(self, env, job):
        self.last = [0.0] * env.num_envs

    def step(self, transition):
        for row in transition.rows:
            self.last[row] = float(transition.step.reward[row])

    def end(self, row, episode):
        return self.last[row]

def pytest_arena_metrics(job):
    return [LastReward()] if "PYTEST_XDIST_WORKER" in os.environ else []
"""


def trap(kind: str, episode: int = 2, once: Path | None = None, **job: Any) -> dict[str, Any]:
    make = {"trap": kind, "episode": episode, **({} if once is None else {"once": str(once)})}
    return {"environment": {"id": "tests.registered:arena/Trap-v0", "options": {"make": make}}, **job}


def test_the_record_of_a_crashed_job(suite: Suite) -> None:
    """The controller reduces a metric that only the worker knows; no threshold holds for a part."""
    suite.pytester.makeconftest(METRIC)
    thresholds = {"episode_length": "> 0", "last_reward": ">= 0"}
    cameras = {"render": {}}
    job = trap("SIGKILL", rollout={"episodes": 5}, thresholds=thresholds, record={"video": "on"})
    job["environment"]["cameras"] = cameras
    suite.jobs({"cut": job})
    suite.test()
    result = suite.run("-n", "1", "--junitxml=junit.xml")
    assert result.ret == 1
    record, arena, episodes = suite.record("cut"), suite.arena("cut"), suite.episodes("cut")
    assert (record["status"], record["verdict"]) == ("crashed", "error")
    assert "killed by SIGKILL, after 2 finished episodes" in record["error"]["message"]
    assert record["episodes"] == {"requested": 5, "measured": 2, "errors": 0}
    assert record["metrics"]["last_reward"] == max(e["metrics"]["last_reward"] for e in episodes)
    assert record["intervals"]["success_rate"]
    assert [t["passed"] for t in record["thresholds"]] == [False, False]
    assert record["identity"]["environment"]
    assert record["reproducible"] is True
    assert [b["episode"] for b in record["boundaries"]] == [0, 1]
    assert {key: arena[key] for key in arena} == {key: record[key] for key in arena}
    films = {p.relative_to(suite.run_dir).as_posix() for p in suite.run_dir.glob("cut/videos/*")}
    assert films == set(record["videos"]) == {v for e in episodes for v in e["videos"].values()}
    assert not list(suite.run_dir.glob("cut/**/.*"))
    (test,) = suite.report()["tests"]
    assert test["outcome"] == test["call"]["outcome"] == "failed"
    assert "???" not in test
    result.stdout.fnmatch_lines(
        ["*worker 'gw0' was killed by SIGKILL*2 finished episodes", "cut *2/5*crashed*"]
    )


KILLED_MID_FILM = """
import os, signal, threading
from pathlib import Path
import gymnasium
import numpy as np
from tests.fakes import ScriptedEnv

class Long(ScriptedEnv):
    played = 0

    def reset(self, **kwargs):
        found = super().reset(**kwargs)
        self.length, self.played = (40, 200)[self.played > 0], self.played + 1
        return found

    def step(self, action):
        if self.t == 150 and not Path("killed").exists():  # of the second episode: its film has three fragments on disk before long
            while sum(map(fragments, Path("arena-results").glob("*/cut/videos/.episode-0001*.part"))) < 3:
                threading.Event().wait(0.01)
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)

    def render(self):
        return np.full((64, 64, 3), 10 + self.t, np.uint8)

def fragments(film):
    return film.read_bytes().count(b"moof")

gymnasium.register("arena/Long-v0", Long, max_episode_steps=1000, disable_env_checker=True)
"""


def test_the_film_of_the_episode_that_crashed_can_be_seen(suite: Suite) -> None:
    suite.pytester.makeconftest(KILLED_MID_FILM)
    environment = {"id": "arena/Long-v0", "cameras": {"render": {}}}
    suite.jobs({"cut": {"environment": environment, "record": {"video": "on"}}})
    suite.test()
    result = suite.run("-n", "1")
    assert result.ret == 1
    record, films = suite.arena("cut"), suite.run_dir / "cut/videos"
    name = "episode-0001-env0-render.partial.mp4"
    assert record["notes"] == [f"1 unfinished film, which plays as far as it goes: cut/videos/{name}"]
    result.stdout.fnmatch_lines([f"*1 unfinished film, which plays as far as it goes: cut/videos/{name}"])
    assert record["videos"] == ["cut/videos/episode-0000-env0-render.mp4"]
    assert sorted(p.name for p in films.iterdir()) == ["episode-0000-env0-render.mp4", name]
    with av.open(str(films / name)) as film:
        shown = [round(frame.to_ndarray(format="rgb24").mean() - 10) for frame in film.decode(video=0)]
    assert 60 <= len(shown) <= 150
    assert all(abs(seen - k) <= 2 for k, seen in enumerate(shown)), "frame k is the image after k steps"

    # A session that goes on with the run films the episode anew, and leaves what there was of it.
    partial = (films / name).read_bytes()
    assert suite.run("--arena-resume", str(suite.run_dir)).ret == 0
    resumed = suite.record("cut")
    assert (resumed["status"], resumed["notes"]) == ("completed", record["notes"])
    whole = [episode["videos"]["render"] for episode in suite.episodes("cut")]
    assert whole == resumed["videos"] == [f"cut/videos/episode-000{k}-env0-render.mp4" for k in range(4)]
    assert (films / name).read_bytes() == partial


def test_so_it_can_where_the_only_process_was_killed(suite: Suite) -> None:
    suite.pytester.makeconftest(KILLED_MID_FILM)
    environment = {"id": "arena/Long-v0", "cameras": {"render": {}}}
    suite.jobs({"cut": {"environment": environment, "record": {"video": "on"}}})
    suite.test()
    assert suite.run().ret == -signal.SIGKILL
    assert suite.run("--arena-resume", str(suite.run_dir)).ret == 0
    name = "episode-0001-env0-render.partial.mp4"
    assert suite.record("cut")["notes"] == [
        f"1 unfinished film, which plays as far as it goes: cut/videos/{name}"
    ]
    with av.open(str(suite.run_dir / "cut/videos" / name)) as film:
        assert 60 <= sum(1 for _ in film.decode(video=0)) <= 150


def test_a_simulator_that_ends_its_process_is_named(suite: Suite) -> None:
    suite.jobs({"cut": trap("exit")})
    suite.test()
    result = suite.run("-n", "1")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*ended its process with status 0*"])


def test_a_metric_of_the_simulator_dies_with_it(suite: Suite) -> None:
    suite.pytester.makeconftest(METRIC.replace('"last_reward", "max", True', '"sensor", "mean", False'))
    suite.jobs({"cut": trap("SIGKILL", episode=0, thresholds={"sensor": ">= 0"})})
    suite.test()
    assert suite.run("-n", "1").ret == 1
    record = suite.record("cut")
    assert record["metrics"]["sensor"] is None
    assert record["unmeasured"]["sensor"] == "no episode finished"
    assert record["thresholds"][0]["passed"] is False


@pytest.mark.parametrize("place", ["job", "env", "before"])
def test_a_crash_before_any_episode(suite: Suite, place: str) -> None:
    """In the environment's making, in the first episode, and before the job has a folder."""
    suite.jobs({"cut": {}, "other": {"environment": {"num_envs": 2}}})
    suite.test(
        f"""
        import os
        import pytest

        @pytest.fixture
        def arena_job(arena_job):
            if {place!r} == "before" and arena_job.name == "cut":
                os._exit(0)
            return arena_job

        @pytest.fixture
        def arena_env(arena_job, arena_env):
            if {place!r} == "env" and arena_job.name == "cut":
                os._exit(0)
            return arena_env

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_job, arena_rollout):
            if {place!r} == "job" and arena_job.name == "cut":
                os._exit(0)
            arena_rollout()
        """
    )
    result = suite.run("-n", "1")
    assert result.ret == 1
    assert suite.outcomes() == {"cut": "failed", "other": "passed"}
    record = suite.arena("cut")
    assert (record["status"], record["episodes"]["measured"]) == ("crashed", 0)
    assert record["metrics"]["success_rate"] is None
    assert suite.record("cut")["nodeid"].endswith("[cut]")


def test_a_crash_in_teardown_keeps_the_verdict_and_is_an_error(suite: Suite) -> None:
    suite.jobs({"cut": {}, "other": {"environment": {"num_envs": 2}}})
    suite.test(
        """
        import os
        import pytest

        @pytest.fixture
        def fragile(arena_job):
            yield
            if arena_job.name == "cut":
                os._exit(0)

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout, fragile):
            arena_rollout()
        """
    )
    result = suite.run("-n", "1")
    assert result.ret == 1
    assert suite.outcomes() == {"cut": "error", "other": "passed"}
    record = suite.record("cut")
    assert (record["status"], record["episodes"]["measured"]) == ("completed", 4)
    assert "after the rollout" in record["notes"][-1]
    (test, _) = suite.report()["tests"]
    assert (test["call"]["outcome"], test["teardown"]["outcome"]) == ("passed", "failed")


@pytest.mark.parametrize("times", [1, 2])
def test_a_crash_and_a_rerun(suite: Suite, times: int) -> None:
    """The second attempt has a folder of its own; a test that passes at last has passed."""
    once = suite.path / "sprung" if times == 1 else None
    suite.jobs({"cut": trap("SIGKILL", once=once), "other": {}})
    suite.test()
    result = suite.run("-n", "1", "--reruns", "1")
    assert suite.record("cut")["status"] == "crashed"
    assert len(suite.episodes("cut")) == 2
    assert suite.outcomes()["other"] == "passed"
    if times == 1:
        assert result.ret == 0
        assert suite.record("cut.2")["status"] == "completed"
        assert suite.outcomes()["cut"] == "passed"
        assert (suite.arena("cut")["attempt"], suite.arena("cut")["status"]) == (2, "completed")
        assert suite.report()["summary"]["passed"] == 2
    else:
        assert result.ret == 1
        assert suite.record("cut.2")["status"] == "crashed"
        assert suite.outcomes()["cut"] == "failed"


def test_a_second_attempt_that_dies_before_it_has_a_folder(suite: Suite) -> None:
    suite.jobs({"cut": {}})
    suite.test(
        """
        import os, pathlib
        import pytest

        @pytest.fixture
        def arena_job(arena_job):
            if pathlib.Path("tried").exists():
                os._exit(0)
            return arena_job

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout):
            pathlib.Path("tried").touch()
            arena_rollout()
            assert False
        """
    )
    assert suite.run("-n", "1", "--reruns", "1").ret == 1
    assert suite.record("cut")["status"] == "completed"
    assert suite.record("cut.2")["status"] == "crashed"
    assert suite.arena("cut")["status"] == "crashed"


def test_tests_that_never_ran_are_named_and_the_status_is_3(suite: Suite) -> None:
    jobs = {"cut": trap("SIGKILL", rollout={"episodes": 100})}
    suite.jobs({**jobs, "one": {"environment": {"num_envs": 2}}, "two": {"environment": {"num_envs": 3}}})
    suite.test()
    result = suite.run("-n", "1", "--max-worker-restart=0")
    assert result.ret == 3
    missing = [f"test_it.py::test_it[{job}]" for job in ("one", "two") if job not in suite.outcomes()]
    assert missing
    result.stdout.fnmatch_lines([f"{len(missing)} test* never ran to the end:"])
    assert suite.report()["arena_never_ran"] == missing
    assert suite.report()["exitcode"] == 3
    assert set(missing) <= {line.strip() for line in result.stdout.lines}


@pytest.mark.parametrize("args", [[], ["-n", "1"]])
def test_a_session_that_code_ends_early_is_not_green(suite: Suite, args: list[str]) -> None:
    """Without workers, `pytest.exit` with status 0 is the only way out that pytest calls a success."""
    suite.jobs({"one": {}, "two": {}, "three": {}})
    suite.test()
    suite.pytester.makeconftest(
        """
        import os
        import pytest

        def pytest_runtest_teardown(item):
            if "two" in item.name:
                pytest.exit("enough", returncode=0)
        """
    )
    result = suite.run(*args)
    assert result.ret != 0
    if not args:
        assert result.ret == 3
        result.stdout.fnmatch_lines(["2 tests never ran to the end:", "*[[]two]", "*[[]three]"])


@pytest.mark.parametrize("args", [["-x"], ["--maxfail=1"], ["--stepwise", "-p", "cacheprovider"]])
def test_a_stop_is_no_loss(suite: Suite, args: list[str]) -> None:
    suite.jobs({"bad": {"thresholds": {"success_rate": "> 0.99"}}, "other": {}})
    suite.test()
    result = suite.run(*args)
    assert result.ret == (2 if "--stepwise" in args else 1)
    result.stdout.no_fnmatch_line("*never ran*")


def test_a_crash_counts_for_x(suite: Suite) -> None:
    jobs = {f"later{i}": {"environment": {"num_envs": i + 2}} for i in range(6)}
    suite.jobs({"cut": trap("SIGKILL", rollout={"episodes": 1000}), **jobs})
    suite.test()
    result = suite.run("-n", "1", "-x")
    assert result.ret == 2
    assert suite.outcomes()["cut"] == "failed"
    assert len(suite.outcomes()) < 7
    result.stdout.no_fnmatch_line("*never ran*")


def test_an_internal_error_in_a_worker_is_not_green(suite: Suite) -> None:
    suite.jobs({"one": {}, "two": {"environment": {"num_envs": 2}}})
    suite.test()
    suite.pytester.makeconftest(
        """
        def pytest_runtest_logfinish(nodeid):
            import os
            if "two" in nodeid and "PYTEST_XDIST_WORKER" in os.environ:
                raise RuntimeError("a broken plugin")
        """
    )
    assert suite.run("-n", "1").ret == 3


@pytest.mark.parametrize("args", [[], ["-n", "1"]])
def test_an_interrupt_while_the_environment_is_made(suite: Suite, args: list[str]) -> None:
    suite.jobs({"cut": {}, "other": {}})
    suite.test(
        """
        import os, signal
        import pytest

        @pytest.fixture
        def arena_env(arena_env):
            os.kill(os.getpid(), signal.SIGINT)
            return arena_env

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout): ...
        """
    )
    assert suite.run(*args).ret == 2
    assert suite.record("cut")["status"] == "interrupted"


@pytest.mark.parametrize(("body", "outcome"), [("assert False", "failed"), ("pytest.skip('no')", "skipped")])
def test_a_test_that_ends_before_its_rollout(suite: Suite, body: str, outcome: str) -> None:
    """A record never stays at ``running``: a failure is an error, and a skipped job leaves no record."""
    suite.jobs({"job": {}})
    suite.test(
        f"""
        import pytest

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout):
            {body}
            arena_rollout()
        """
    )
    suite.run()
    assert suite.outcomes() == {"job": outcome}
    if outcome == "failed":
        assert suite.record("job")["status"] == "error"
    else:
        assert not (suite.run_dir / "job").exists()


ODD = {
    "text without an encoding": 'json_metadata["odd"] = "\\udcff"; record_property("odd", "\\udcff")',
    "a cycle": 'json_metadata["odd"] = json_metadata',
    "deep nesting": "for _ in range(3000): json_metadata['odd'] = {'odd': json_metadata.pop('odd', 0)}",
    "a class": 'json_metadata["odd"] = np.ndarray',
    "a mock": 'json_metadata["odd"] = mock.MagicMock()',
    "unprintable": 'json_metadata[Unprintable()] = record_property("odd", Unprintable())',
    "a huge number": 'json_metadata["odd"] = 10**5000',
    "a log record": 'logging.warning("\\udcff", extra={"odd": object()})',
    "a warning of a local class": 'warnings.warn(type("Local", (UserWarning,), {})("odd", object()))',
    "a warning without an encoding": 'warnings.warn("\\udcff")',
    "an attribute of the report": "request.node.odd = object()",
}


def test_nothing_that_a_test_reports_breaks_the_transport(suite: Suite) -> None:
    """Each job reports something odd; a transport that broke over one of them would fail that job."""
    suite.jobs({name.replace(" ", "_"): {} for name in ODD})
    suite.pytester.makeconftest(
        """
        import pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item):
            report = yield
            report.odd = getattr(item, "odd", None)
            return report
        """
    )
    branches = "\n".join(
        f"    if arena_job.name == {name.replace(' ', '_')!r}:\n        {code}" for name, code in ODD.items()
    )
    suite.test(
        f"""
import logging, warnings
from unittest import mock
import numpy as np
import pytest

class Unprintable:
    def __str__(self):
        raise RuntimeError("no text")

@pytest.mark.arena("jobs.yaml")
def test_it(arena_job, arena_rollout, json_metadata, record_property, request):
    arena_rollout()
{branches}
    record_property("came", "so far")
"""
    )
    result = suite.run("-n", "1")
    assert result.ret == 0, result.stdout.str()
    assert suite.outcomes() == {name.replace(" ", "_"): "passed" for name in ODD}
    for test in suite.report()["tests"]:
        assert test["metadata"]["arena"]["status"] == "completed"
        assert {"came": "so far"} in test["user_properties"]


@pytest.mark.parametrize("code", ['assert False, "\\udcff"', 'raise ValueError("\\udcff")'])
def test_a_failure_whose_text_has_no_encoding(suite: Suite, code: str) -> None:
    suite.jobs({"job": {}})
    suite.test(
        f"""
        import pytest

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout):
            arena_rollout()
            {code}
        """
    )
    assert suite.run("-n", "1").ret == 1
    assert suite.outcomes() == {"job": "failed"}

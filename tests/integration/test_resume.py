"""``--arena-resume``: only what an interrupted run lacks is run, and the records are those of a whole run."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from typing import Any

import pytest

from tests.integration.conftest import Suite

CHANGING = ("started_at", "wall_time_seconds", "job")


def trapped(suite: Suite, kind: str, episode: int, at: int = 1, **job: Any) -> dict[str, Any]:
    make = {"trap": kind, "episode": episode, "at": at, "once": str(suite.path / "sprung")}
    return {"environment": {"id": "tests.registered:arena/Trap-v0", "options": {"make": make}}, **job}


def play(suite: Suite, *args: str) -> int:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *args]
    return subprocess.run(command, cwd=suite.path, capture_output=True, timeout=120).returncode


def comparable(suite: Suite, job: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in e.items() if k not in CHANGING} for e in suite.episodes(job)]


@pytest.mark.parametrize("kind", ["SIGKILL", "raise", "SIGINT"])
@pytest.mark.parametrize(("episode", "at"), [(0, 1), (3, 2), (6, 1)])
def test_as_if_it_had_never_stopped(suite: Suite, kind: str, episode: int, at: int) -> None:
    rollout = {"episodes": 7, "rebuilds": 2 if episode == 3 else 1}
    suite.jobs(
        {
            "whole": {"rollout": rollout},
            "cut": trapped(suite, kind, episode, at, rollout=rollout, thresholds={"episode_length": "> 0"}),
            "after": {"environment": {"num_envs": 2}},
        }
    )
    suite.test()
    assert play(suite) != 0
    first = suite.run_dir
    result = suite.run("--arena-resume", str(first))
    assert result.ret == 0, result.stdout.str()
    assert suite.run_dir == first
    assert len(suite.run_dirs) == 1
    assert [e["episode"] for e in suite.episodes("cut")] == list(range(7))
    assert comparable(suite, "cut") == comparable(suite, "whole")
    cut, whole = suite.record("cut"), suite.record("whole")
    for key in ("metrics", "boundaries", "episodes", "status", "reproducible", "notes"):
        assert cut[key] == whole[key], key
    assert suite.outcomes() == {"whole": "passed", "cut": "passed", "after": "passed"}
    assert sorted(p.name for p in first.iterdir() if p.is_dir()) == ["after", "cut", "whole"]


def test_episodes_that_share_a_stream_are_begun_anew(suite: Suite) -> None:
    """Long ones are cut off more often: what had finished by then is no fair sample."""
    job = trapped(suite, "SIGKILL", 3, rollout={"episodes": 5})
    job["environment"]["options"]["autoreset"] = "next_step"
    suite.jobs({"cut": job})
    suite.test()
    play(suite)
    before = suite.episodes("cut")
    assert len(before) == 3
    assert suite.run("--arena-resume", str(suite.run_dir)).ret == 0
    assert suite.episodes("cut") == before
    assert [e["episode"] for e in suite.episodes("cut.2")] == list(range(5))
    assert any("begun anew: attempt 1 was interrupted" in note for note in suite.record("cut.2")["notes"])
    assert suite.arena("cut")["attempt"] == 2


def test_notes_and_what_films_are_missing_survive(suite: Suite) -> None:
    """The record is written anew; what it said of films, nobody finds out again."""
    environment = {
        "id": "tests.registered:arena/Endless-v0",
        "max_episode_steps": 3,
        "cameras": {"render": {}},
    }
    suite.jobs({"job": {"environment": environment, "rollout": {"episodes": 2}}})
    suite.test()
    play(suite)
    path = suite.run_dir / "job" / "record.json"
    record = json.loads(path.read_text())
    assert len(record["videos"]) == 2
    path.write_text(json.dumps({**record, "notes": ["no video of episode 7"], "live_films": [7]}))
    lines = [{**line, "videos": {}} for line in suite.episodes("job")]
    (path.parent / "episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    sorted((path.parent / "videos").iterdir())[0].unlink()
    suite.run("--arena-resume", str(suite.run_dir))
    again = suite.record("job")
    assert again["notes"] == [
        "no video of episode 7",
        "no video of 1 failed episode: the run was interrupted before they were filmed",
    ]
    assert again["live_films"] == [7]
    assert len(again["videos"]) == 1


def test_what_is_complete_is_not_run_again(suite: Suite) -> None:
    suite.jobs({"job": {"thresholds": {"success_rate": "> 0.99"}}})
    suite.test()
    assert suite.run().ret == 1
    before = suite.episodes("job")
    suite.pytester.makeconftest(
        """
        from pytest_arena.simulators.gymnasium import simulator

        def make(self, job):
            raise AssertionError("built again")

        simulator.GymnasiumSimulator.make = make
        """
    )
    assert suite.run("--arena-resume", str(suite.run_dir)).ret == 1
    assert suite.episodes("job") == before
    assert suite.arena("job")["verdict"] == "fail"


def test_films_that_were_kept_stay_on_the_record(suite: Suite) -> None:
    camera = {"cameras": {"render": {}}}
    job = trapped(suite, "SIGKILL", 3, 2, rollout={"episodes": 6}, record={"video": "on"})
    job["environment"].update(camera)
    suite.jobs({"cut": job})
    suite.test()
    play(suite)
    assert suite.run("--arena-resume", str(suite.run_dir)).ret == 0
    films = sorted(p.relative_to(suite.run_dir).as_posix() for p in suite.run_dir.glob("cut/videos/*"))
    assert suite.arena("cut")["videos"] == films
    assert len(films) >= 3
    assert sorted(p for e in suite.episodes("cut") for p in e["videos"].values()) == films

    path = suite.run_dir / "cut" / "record.json"  # a machine that stops may keep a film and lose the line
    path.write_text(json.dumps({**suite.record("cut"), "status": "interrupted", "notes": []}))
    lines = suite.episodes("cut")
    bare = sum(not line["videos"] for line in lines[:2])
    (path.parent / "episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[:2]))
    assert suite.run("--arena-resume", str(suite.run_dir)).ret == 0
    assert not any("FileExistsError" in note for note in suite.record("cut")["notes"])
    assert len(suite.record("cut")["videos"]) == 6 - bare


def test_another_configuration_is_refused(suite: Suite) -> None:
    suite.jobs({"job": {}})
    suite.test()
    suite.run()
    for args in ([], ["-n", "1"]):
        result = suite.run(
            "--arena-resume",
            str(suite.run_dir),
            "--arena-set",
            "environment.seed=5",
            "--arena-set",
            "rollout.episodes=9",
            *args,
        )
        assert result.ret != 0
        assert (
            "these keys differ: environment.seed, rollout.episodes"
            in result.stdout.str() + result.stderr.str()
        )


def test_what_is_no_run_directory(suite: Suite) -> None:
    suite.jobs({"job": {}})
    suite.test()
    result = suite.run("--arena-resume", "nowhere")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*--arena-resume nowhere: expected a run directory*"])


@pytest.mark.parametrize("args", [[], ["-n", "1"]], ids=["in-process", "n1"])
def test_what_was_no_part_of_the_run_is_refused(suite: Suite, args: list[str]) -> None:
    """Its shards would never be put together, and its thresholds never judged."""
    suite.jobs({"job": {"thresholds": {"success_rate": "> 0.99"}}})
    suite.test()
    suite.run()
    result = suite.run("--arena-resume", str(suite.run_dir), "--arena-set", "rollout.shards=2", *args)
    assert result.ret != 0
    assert (
        "'job-shard0of2' is no part of that run, which has job" in result.stdout.str() + result.stderr.str()
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_broken_manifest(suite: Suite, text: str) -> None:
    suite.jobs({"job": {}})
    suite.test()
    suite.run()
    (suite.run_dir / "run.json").write_text(text)
    result = suite.run("--arena-resume", str(suite.run_dir))
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*with a whole run.json*"])


def test_two_sessions_cannot_go_on_with_one_run(suite: Suite) -> None:
    suite.jobs({"job": {}})
    suite.test()
    suite.run()
    with (suite.run_dir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = suite.run("--arena-resume", str(suite.run_dir))
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*another session is going on with this run*"])


def test_with_workers(suite: Suite) -> None:
    jobs = {f"job{i}": {"environment": {"seed": i, "num_envs": 1 + i % 2}} for i in range(4)}
    suite.jobs({**jobs, "cut": trapped(suite, "SIGKILL", 2)})
    suite.test()
    assert suite.run("-n", "2").ret == 1
    first = suite.run_dir
    assert suite.run("-n", "2", "--arena-resume", str(first)).ret == 0
    assert suite.run_dir == first
    assert all(suite.record(job)["status"] == "completed" for job in (*jobs, "cut"))
    assert json.loads((first / "run.json").read_text())["exit_status"] == 0


OWN_POLICY = """
class Mine:
    def __init__(self, checkpoint):
        self.checkpoint = checkpoint

    def act(self, observation):
        return [0] * len(observation)
"""


def test_another_checkpoint_under_the_same_name_is_refused(suite: Suite) -> None:
    checkpoint = suite.path / "policy.pt"
    checkpoint.write_bytes(b"one")
    (suite.path / "mine_here.py").write_text(OWN_POLICY)
    own = {"type": "mine_here:Mine"}
    jobs = {
        "torch": {"type": "torch", "checkpoint": str(checkpoint)},
        "own": {**own, "checkpoint": str(checkpoint)},
        "many": {**own, "checkpoint": [{"left": str(checkpoint)}]},
    }
    suite.jobs({name: {"policy": policy} for name, policy in jobs.items()})
    suite.test()
    suite.run()
    checkpoint.write_bytes(b"two")
    result = suite.run("--arena-resume", str(suite.run_dir))
    assert result.ret == 4
    words = "these keys differ: the content of policy.checkpoint"
    result.stderr.fnmatch_lines([f"*'torch'*{words}", f"*'own'*{words}", f"*'many'*{words}[[]0].left"])


@pytest.mark.parametrize("args", [[], ["-n", "1"]], ids=["in-process", "n1"])
def test_a_record_that_leads_elsewhere_ends_the_session_before_anything_is_simulated(
    suite: Suite, args: list[str]
) -> None:
    suite.jobs({"job": {}})
    suite.test()
    suite.run()
    run, victim = suite.run_dir, suite.path / "victim"
    victim.mkdir()
    (victim / "record.json").write_text("{}")
    record = json.loads((run / "job" / "record.json").read_text())
    (run / "job" / "record.json").write_text(
        json.dumps({**record, "record_path": "../../victim/record.json"})
    )
    result = suite.run("--arena-resume", str(run), *args)
    assert result.ret == 4
    words = "job/record.json: record_path: expected 'job/record.json', got '../../victim/record.json'"
    assert f"ERROR: --arena-resume {run}: {words}" in result.stderr.lines
    assert (victim / "record.json").read_text() == "{}"


def test_a_resume_that_is_killed_while_it_builds_loses_nothing(suite: Suite) -> None:
    suite.jobs({"cut": trapped(suite, "SIGKILL", 3, rollout={"episodes": 5})})
    suite.test()
    play(suite)
    before = suite.episodes("cut")
    assert len(before) == 3
    suite.pytester.makeconftest(
        """
        import os
        from pytest_arena.simulators.gymnasium import simulator

        def make(self, job):
            os.kill(os.getpid(), 9)

        simulator.GymnasiumSimulator.make = make
        """
    )
    play(suite, "--arena-resume", str(suite.run_dir))
    assert suite.record("cut")["reproducible"]
    assert suite.record("cut")["status"] == "running"
    (suite.path / "conftest.py").unlink()
    assert suite.run("--arena-resume", str(suite.run_dir)).ret == 0
    assert suite.episodes("cut")[:3] == before
    assert not (suite.run_dir / "cut.2").exists()


def test_the_session_that_began_a_run_holds_it_and_so_do_its_workers(suite: Suite) -> None:
    suite.jobs({"job": {}})
    suite.test(
        """
        import fcntl
        import os
        from pathlib import Path

        import pytest

        @pytest.mark.arena("jobs.yaml")
        def test_it(arena_rollout, arena_run_dir):
            for name in (".lock", ".lock-workers") if "PYTEST_XDIST_WORKER" in os.environ else (".lock",):
                with (Path(arena_run_dir) / name).open("w") as lock, pytest.raises(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            arena_rollout()
        """
    )
    assert suite.run().ret == 0
    assert suite.run("-n", "1").ret == 0
    assert suite.run("--arena-resume", str(suite.run_dir)).ret == 0, "the locks went with the processes"

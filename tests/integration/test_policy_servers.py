"""Jobs whose policy is in a server: their episodes, what a server's faults cost, and when it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import WITHOUT, Suite

pytest.importorskip("websockets")
pytest.importorskip("zmq")

CHANGING = (
    "started_at",
    "wall_time_seconds",
    "job",
    "attempt",
    "env_idx",
    "start_step",
    "end_step",
    "videos",
)
OBSERVATIONS: dict[str, Any] = {
    "openpi": {"observation/state": {"from": "."}, "prompt": {"instruction": True}},
    "vla_eval": {"states": {"from": "."}},
    "gr00t": {"state.all": {"from": "."}},
}


@pytest.fixture(autouse=True)
def _servers_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def policy(kind: str, *values: str, per: str = "run", **settings: Any) -> dict[str, Any]:
    command = f"exec {sys.executable} -m tests.fake_servers {kind} {{port}} {' '.join(values)}"
    return {
        "type": kind,
        "serve": {"command": command, "per": per},
        "observation": OBSERVATIONS[kind],
        "execute": 2,
        "timeout": 60,
        "reproducible": True,
        **settings,
    }


def comparable(suite: Suite, job: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in e.items() if k not in CHANGING} for e in suite.episodes(job)]


def servers(suite: Suite) -> list[int]:
    """Return the process ids of all servers that a run has started; wait until they have ended."""
    found = [int(pid) for pid in (suite.path / "servers").read_text().split()]
    until = time.monotonic() + 60
    while any(runs(pid) for pid in found):
        assert time.monotonic() < until, f"a server of {found} still runs"
        time.sleep(0.05)
    return found


def runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize(
    ("kind", "values"), [("vla_eval", ()), ("openpi", ("stateless=1",)), ("gr00t", ("stateless=1",))]
)
def test_episodes_do_not_depend_on_rows_shards_or_films(
    suite: Suite, kind: str, values: tuple[str, ...]
) -> None:
    """The server's actions tell the inputs and, of vla-eval, the request's number in the episode."""
    joints = {"action": {"from": ["joints", "gripper"]}} if kind == "gr00t" else {}
    env = {"id": "tests.registered:arena/Scripted-v0"}
    suite.jobs(
        {
            "one": {"environment": {**env, "num_envs": 1}},
            "seven": {"environment": {**env, "num_envs": 7}},
            "fifty": {"environment": {**env, "num_envs": 50}},
            "shards": {"environment": {**env, "num_envs": 3}, "rollout": {"episodes": 24, "shards": 3}},
            "filmed": {
                "environment": {**env, "num_envs": 4, "cameras": {"render": {}}},
                "record": {"video": "on"},
            },
        },
        policy=policy(kind, *values, **joints),
        rollout={"episodes": 24},
        record={"video": "off"},
    )
    suite.test()
    result = suite.run("-n", "2")
    assert result.ret == 0, result.stdout.str()
    one = comparable(suite, "one")
    assert len({e["return_"] if "return_" in e else e["return"] for e in one}) > 12
    for job in ("seven", "fifty", "shards", "filmed"):
        assert comparable(suite, job) == one, job
    assert all(e["videos"] for e in suite.episodes("filmed"))
    record = suite.record("seven")
    assert record["reproducible"]
    assert record["identity"]["policy"]["serve"]["per"] == "run"
    assert len(servers(suite)) == 1  # for both workers and all jobs


def test_a_run_that_is_resumed_has_the_same_episodes(suite: Suite) -> None:
    trap = {"trap": "raise", "episode": 5, "once": "sprung"}
    env = {"id": "tests.registered:arena/Trap-v0", "options": {"make": trap}}
    suite.jobs(
        {"job": {"environment": env, "rollout": {"episodes": 12}}}, policy=policy("vla_eval", per="worker")
    )
    suite.test()
    assert suite.run().ret == 1
    finished = [e for e in suite.episodes("job") if e["outcome"] != "error"]
    assert len(finished) == 5
    assert suite.run("--arena-resume", str(suite.run_dir)).ret in (0, 1)
    resumed = comparable(suite, "job")
    assert [e["outcome"] for e in resumed].count("error") == 0
    suite.run()
    assert comparable(suite, "job") == resumed
    assert len(servers(suite)) == 3  # one a run


def test_a_servers_error_is_an_error_of_its_episode(suite: Suite) -> None:
    """The other episodes have their outcomes, the job is an error, and the next job runs."""
    env = {"id": "tests.registered:arena/Scripted-v0", "num_envs": 2}
    suite.jobs(
        {
            "broken": {
                "policy": policy("vla_eval", "fault=traceback", "at=3", "stream=1"),
                "environment": env,
            },
            "silent": {"policy": policy("openpi", "fault=silent", "at=3", timeout=2), "environment": env},
            "sound": {"policy": policy("openpi")},
        },
        rollout={"episodes": 6},
    )
    suite.test()
    result = suite.run()
    assert result.ret == 1
    assert suite.outcomes() == {"broken": "failed", "silent": "failed", "sound": "passed"}
    for job, words in (("broken", "CUDA error: the model broke"), ("silent", "no answer within 2 s")):
        record, episodes = suite.record(job), suite.episodes(job)
        assert record["status"] == "error"
        assert len(episodes) == 6
        errors = [e for e in episodes if e["outcome"] == "error"]
        assert errors
        assert all(words in e["error"] for e in errors)
        assert all(e["outcome"] in ("success", "failure") for e in episodes if e not in errors)
        assert words in str(record["error"])
    assert len(servers(suite)) == 3


def test_a_server_that_cannot_start_is_an_error_with_its_words(suite: Suite) -> None:
    command = f"{sys.executable} -c 'print(\"no GPU here\"); raise SystemExit(4)' {{port}}"
    broken = {**policy("openpi"), "serve": command}
    suite.jobs({"job": {"policy": broken}})
    suite.test()
    result = suite.run()
    assert result.ret == 1
    error = str(suite.record("job")["error"])
    assert "ended with the status 4" in error
    assert "no GPU here" in error
    assert "Traceback" not in result.stdout.str()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_server_ends_with_a_run_that_is_interrupted(suite: Suite, number: int) -> None:
    endless = {"id": "tests.registered:arena/Unlimited-v0"}
    suite.jobs({"job": {"environment": endless}}, policy=policy("vla_eval", "seconds=0.01", per="worker"))
    suite.test()
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", *WITHOUT],
        cwd=suite.path, env={**os.environ}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 60
    while (
        not list(suite.path.glob("arena-results/*/job/record.json")) or not (suite.path / "servers").exists()
    ):
        assert run.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    run.send_signal(number)
    run.wait(60)
    assert len(servers(suite)) == 1

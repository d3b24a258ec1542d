"""Experiment trackers: each job once, with the numbers of its record, and a tracker's error costs no result."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pytest_arena import read_episodes
from tests.integration.conftest import Suite

# At the top: `pytester` forgets what is imported in a test, and some modules load once a process.
if find_spec("tensorboard") is not None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray
if find_spec("wandb") is not None:
    from wandb.proto import wandb_internal_pb2

JOBS: dict[str, dict[str, Any]] = {
    "good": {"rollout": {"episodes": 5}},
    "unknown": {"environment": {"id": "CartPole-v1"}},
    "broken": {"policy": {"type": "tests.registered:Broken", "at": 12}},
    "sharded": {"rollout": {"episodes": 4, "shards": 2}},
}
CRASHED = {
    "environment": {
        "id": "tests.registered:arena/Trap-v0",
        "options": {"make": {"trap": "SIGKILL", "episode": 2}},
    }
}


def numbers(suite: Suite, job: str) -> dict[str, float]:
    """What trackers say of a job, from its record."""
    record = suite.record(job)
    found = {name: value for name, value in record["metrics"].items() if value is not None}
    for name, (low, high) in record["intervals"].items():
        found |= {f"{name}_low": low, f"{name}_high": high}
    return found


def curves(suite: Suite, job: str) -> dict[str, dict[int, float]]:
    """Name -> episode -> value, from the lines of a job."""
    found: dict[str, dict[int, float]] = {"episodes/return": {}, "episodes/length": {}}
    for episode in read_episodes(suite.run_dir / job / "episodes.jsonl"):
        if episode.outcome == "error":
            continue
        found["episodes/return"][episode.episode] = episode.return_
        found["episodes/length"][episode.episode] = episode.length
        if episode.outcome != "unknown":
            success = float(episode.outcome == "success")
            found.setdefault("episodes/success", {})[episode.episode] = success
    return found


def in_tensorboard(folder: Path) -> dict[str, dict[int, float]]:
    read = EventAccumulator(str(folder))
    read.Reload()
    return {
        tag: {event.step: float(make_ndarray(event.tensor_proto)) for event in read.Tensors(tag)}
        for tag in read.Tags()["tensors"]
    }


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_tensorboard(suite: Suite, workers: tuple[str, ...]) -> None:
    pytest.importorskip("tensorboard")
    crashed = {"crashed": CRASHED} if workers else {}
    suite.jobs({**JOBS, **crashed, "part": {"rollout": {"episodes": 5, "only": [3]}}})
    suite.run("--arena-jobs", "jobs.yaml", "-p", "pytest_arena.trackers.tensorboard", *workers)
    written = Counter(path.parents[1].name for path in suite.run_dir.glob("*/tensorboard/events*"))
    assert written == dict.fromkeys([*JOBS, *crashed], 1), (
        "shards are tracked as a whole, other parts are not"
    )
    for job in written:
        found = in_tensorboard(suite.run_dir / job / "tensorboard")
        for name, value in numbers(suite, job).items():
            assert found[name] == {0: pytest.approx(value)}, name
        episodes = {name: found.get(name, {}) for name in found if name.startswith("episodes/")}
        assert episodes == {
            name: pytest.approx(values) for name, values in curves(suite, job).items() if values
        }
        assert found["episodes_errors"] == {0: suite.record(job)["episodes"]["errors"]}


FAILING = """
import pytest_arena.trackers.tracking as tracking

def fail(job):
    with open("asked", "a") as file:
        file.write(job.record.job + "\\n")
    raise ConnectionError("nobody answers")

def pytest_configure(config):
    tracking.track(config, "mine", {package!r}, fail)
"""


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "workers"])
def test_a_tracker_that_fails_is_a_warning(suite: Suite, workers: tuple[str, ...]) -> None:
    suite.jobs({"a": {}, "b": {}})
    (suite.path / "failing.py").write_text(FAILING.format(package="json"))
    done = suite.run("--arena-jobs", "jobs.yaml", "-p", "failing", "-W", "error", *workers)
    assert done.ret == 0
    done.assert_outcomes(passed=2, warnings=1)
    done.stdout.fnmatch_lines(["*mine tracks no more jobs of this session: ConnectionError: nobody answers"])
    assert len((suite.path / "asked").read_text().splitlines()) == 1, "a second wait would be for nothing"
    assert {suite.record(job)["status"] for job in "ab"} == {"completed"}


def test_a_tracker_whose_package_is_missing_ends_the_session_at_its_start(suite: Suite) -> None:
    suite.jobs({"a": {}})
    (suite.path / "failing.py").write_text(FAILING.format(package="no_such_package"))
    done = suite.run("--arena-jobs", "jobs.yaml", "-p", "failing")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    expected = "needs no_such_package: pip install 'pytest-arena[[]mine[]]'"
    done.stderr.fnmatch_lines([f"ERROR: -p pytest_arena.trackers.mine {expected}"])
    assert not (suite.path / "arena-results").exists()


def test_the_hook_gets_the_run_directory_or_what_it_asks_for(suite: Suite) -> None:
    suite.jobs({"a": {}})
    told = (
        "def pytest_arena_record(record, run_dir): (run_dir / record.record_path).with_name('seen').touch()"
    )
    suite.pytester.makeconftest(told)
    older = "import pathlib\ndef pytest_arena_record(record): pathlib.Path('older-seen').touch()"
    (suite.path / "older.py").write_text(older)
    assert suite.run("--arena-jobs", "jobs.yaml", "-p", "older").ret == 0
    assert (suite.run_dir / "a" / "seen").exists()
    assert (suite.path / "older-seen").exists()


def test_mlflow(suite: Suite) -> None:
    pytest.importorskip("mlflow")
    suite.jobs(JOBS)
    suite.run("--arena-jobs", "jobs.yaml", "-p", "pytest_arena.trackers.mlflow")
    with sqlite3.connect(suite.path / "mlflow.db") as database:
        runs = {
            name: (uuid, status)
            for name, uuid, status in database.execute("SELECT name, run_uuid, status FROM runs")
        }
        assert {name: status for name, (_, status) in runs.items()} == {
            **dict.fromkeys(JOBS, "FINISHED"),
            "broken": "FAILED",
        }
        for job, (uuid, _) in runs.items():
            found: dict[str, dict[int, float]] = {}
            rows = database.execute("SELECT key, step, value FROM metrics WHERE run_uuid = ?", (uuid,))
            for key, step, value in rows:
                found.setdefault(key, {})[step] = value
            for name, value in numbers(suite, job).items():
                assert found[name] == {0: pytest.approx(value)}
            for name, values in curves(suite, job).items():
                assert found[name] == pytest.approx(values)
            params = dict(database.execute("SELECT key, value FROM params WHERE run_uuid = ?", (uuid,)))
            assert params["policy.type"] == suite.record(job)["policy"]


def test_wandb(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    suite.jobs(JOBS)
    # An address where nobody listens: offline, it is not even tried.
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    done = suite.run("--arena-jobs", "jobs.yaml", "-p", "pytest_arena.trackers.wandb")
    assert "tracks no more jobs" not in done.stdout.str()
    written = Counter(path.parents[2].name for path in suite.run_dir.glob("*/wandb/offline-run-*/*.wandb"))
    assert written == dict.fromkeys(JOBS, 1)
    for job in JOBS:
        (path,) = (suite.run_dir / job / "wandb").glob("offline-run-*/*.wandb")
        summary, history = in_wandb(path)
        for name, value in numbers(suite, job).items():
            assert summary[name] == pytest.approx(value)
        assert (summary["status"], summary["job"]) == (suite.record(job)["status"], job)
        for name, values in curves(suite, job).items():
            assert history.get(name, {}) == pytest.approx(values)


def in_wandb(path: Path) -> tuple[dict[str, Any], dict[str, dict[int, float]]]:
    """The summary and the curves in the file of an offline run."""
    summary: dict[str, Any] = {}
    history: dict[str, dict[int, float]] = {}
    for data in framed(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        for item in record.summary.update:
            summary[_key(item)] = json.loads(item.value_json)
        row = {_key(item): json.loads(item.value_json) for item in record.history.item}
        for name, value in row.items():
            if name.startswith("episodes/"):
                history.setdefault(name, {})[row.get("_step", record.history.step.num)] = value
    return summary, history


def _key(item: Any) -> str:
    return item.key or "/".join(item.nested_key)


def framed(data: bytes) -> Iterator[bytes]:
    """Yield the records of a file in the log format of LevelDB, as wandb writes it: blocks of 32 KiB."""
    at, block, part = 7, 32768, b""
    while at + 7 <= len(data):
        if block - at % block < 7:  # no room for a head: the rest of the block is padding
            at += block - at % block
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        part += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield part
            part = b""

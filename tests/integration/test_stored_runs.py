"""Run directories that released versions left can be read, gone on with, and compared with."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_arena import Outcome, RunDirectory, Status, Verdict, load_baseline, read_episodes
from pytest_arena.gate.recheck import recheck
from tests.integration.conftest import ROOT, Suite
from tests.stored_runs.store import FOLDER

VERSIONS = sorted(path.name for path in FOLDER.iterdir() if (path / "jobs.yaml").exists())
MEASURED = {
    "errored": 2,
    "filmed": 1,
    "gated": 20,
    "sharded-shard0of2": 2,
    "sharded-shard1of2": 2,
    "sharded": 4,
    "compared": 4,
    "recorded": 2,
    "interrupted": 2,
}
"""Job -> episodes on disk, of the interrupted run."""


@pytest.fixture(params=VERSIONS)
def stored(request: pytest.FixtureRequest) -> Path:
    """The folder of a version, which no test writes to."""
    return FOLDER / str(request.param)


@pytest.fixture
def copied(stored: Path, suite: Suite) -> Suite:
    """A suite in whose folder are the job file and both runs."""
    shutil.copytree(stored, suite.path, dirs_exist_ok=True)
    return suite


def command(suite: Suite, *args: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "pytest_arena", *args]
    return subprocess.run(whole, cwd=suite.path, capture_output=True, text=True, timeout=60)


def adds_keys_only(now: str, before: str) -> bool:
    """Whether each line has what it had: a later version may add keys."""
    lines = zip(now.splitlines(), before.splitlines(), strict=True)
    return all(json.loads(new).items() >= json.loads(old).items() for new, old in lines)


def test_it_is_read(stored: Path) -> None:
    run = RunDirectory(stored / "interrupted")
    records = {record.job: record for record in run.records()}
    assert records.keys() == MEASURED.keys()
    assert records == run.latest()
    expected = dict.fromkeys(records, Status.COMPLETED)
    expected |= {"errored": Status.ERROR, "interrupted": Status.RUNNING}
    assert {label: record.status for label, record in records.items()} == expected
    episodes = {
        label: read_episodes(run.path / str(record.episodes_path)) for label, record in records.items()
    }
    measured = {label: [e for e in found if e.outcome != Outcome.ERROR] for label, found in episodes.items()}
    assert {label: len(found) for label, found in measured.items()} == MEASURED
    assert records["gated"].verdict is Verdict.PASS
    assert records["compared"].comparison is not None
    assert records["errored"].error is not None
    for label, record in records.items():
        assert recheck(record, episodes[label]) == []


def test_it_is_gone_on_with(copied: Suite) -> None:
    run = copied.path / "interrupted"
    finished = {path: path.read_bytes() for path in run.glob("*/episodes.jsonl")}
    result = copied.run(
        *("--arena-jobs", "jobs.yaml", "--arena-resume", "interrupted", "--arena-baseline", "baseline"), "-v"
    )
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=10)
    for path, before in finished.items():
        if path.parent.name not in ("errored", "interrupted"):
            assert adds_keys_only(path.read_text(), before.decode()), f"{path.parent.name} is complete"
    for label, count in {**MEASURED, "errored": 4, "interrupted": 4, "not_begun": 2}.items():
        record = json.loads((run / label / "record.json").read_text())
        assert (record["status"], record["episodes"]["measured"]) == ("completed", count), label
    lines = (run / "interrupted" / "episodes.jsonl").read_text().splitlines()
    assert [json.loads(line)["episode"] for line in lines] == [0, 1, 2, 3]
    before = finished[run / "interrupted" / "episodes.jsonl"].decode().splitlines()
    assert adds_keys_only("\n".join(lines[:2]), "\n".join(before))
    assert (run / "interrupted" / "dataset.hdf5").exists()
    assert not (run / "interrupted" / "trajectories").exists()


def test_a_run_is_compared_with_it(copied: Suite) -> None:
    result = copied.run("--arena-jobs", "jobs.yaml", "--arena-baseline", "baseline", "-k", "compared")
    assert result.ret == 0, result.stdout.str()
    comparison: dict[str, Any] = copied.record("compared")["comparison"]
    assert (comparison["pairs"], comparison["matched"], comparison["lost"]) == (4, 4, [])
    assert not any("differs" in note for note in comparison["notes"]), (
        "keys that it did not know are no change"
    )
    assert set(load_baseline(copied.path / "interrupted").jobs) >= {"gated", "compared", "sharded"}


def test_the_command_compares_it(copied: Suite) -> None:
    compared = command(copied, "compare", "baseline", "interrupted")
    assert compared.returncode in (0, 2), compared.stderr
    assert "gated: " in compared.stdout
    assert "interrupted: only in B" in compared.stdout


def test_nothing_in_it_tells_of_the_machine(stored: Path) -> None:
    for path in stored.rglob("*"):
        if path.is_file():
            assert str(ROOT).encode() not in path.read_bytes(), path

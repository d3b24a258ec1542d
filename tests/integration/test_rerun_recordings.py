"""``record.rerun`` through deaths, resumes and shards: each file that is named is whole, and no other is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Suite
from tests.integration.test_reruns import COIN

# At the top: `pytester` forgets what is imported in a test, and some modules load once a process.
pytest.importorskip("rerun")
from rerun.chunk import RrdReader


def recordings(run: Path) -> set[str]:
    return {path.relative_to(run).as_posix() for path in run.glob("*/rerun/*")}


def actions_in(path: Path) -> int:
    """The number of actions in a recording, as Rerun's own reader counts them."""
    chunks = RrdReader(path).stream().to_chunks()
    return sum(chunk.num_rows for chunk in chunks if chunk.entity_path == "/action")


def test_a_killed_worker_a_resumed_run_and_shards(suite: Suite) -> None:
    make = {"trap": "SIGKILL", "episode": 2, "at": 2, "once": str(suite.path / "sprung")}
    environment = {"id": "tests.registered:arena/Trap-v0", "options": {"make": make}}
    job: dict[str, Any] = {"environment": environment, "rollout": {"episodes": 7, "shards": 2}}
    suite.jobs({"cut": {**job, "record": {"rerun": True, "video": "off"}}})
    suite.test()
    assert suite.run("-n", "1").ret == 1
    first, crashed = suite.run_dir, "cut-shard0of2"
    assert suite.record(crashed)["status"] == "crashed"
    finished = suite.episodes(crashed)
    assert len(finished) == 2
    named = {e["rerun"] for e in [*finished, *suite.episodes("cut-shard1of2")]}
    assert recordings(first) == named, "the file of the episode that was cut off is gone"

    stray = first / crashed / "rerun" / "episode-0002-env0.rrd"
    stray.write_bytes(b"of an episode whose line was never written")
    assert suite.run("--arena-resume", str(first)).ret == 0
    episodes = suite.episodes("cut")
    assert [e["episode"] for e in episodes] == list(range(7))
    assert recordings(first) == {e["rerun"] for e in episodes}
    for episode in episodes:
        assert actions_in(first / episode["rerun"]) == episode["length"]


def test_a_line_that_names_another_file_is_refused(suite: Suite) -> None:
    suite.jobs({"a": {"record": {"rerun": True}}})
    assert suite.run("--arena-jobs", "jobs.yaml").ret == 0
    path = suite.run_dir / "a" / "episodes.jsonl"
    first, *others = path.read_text().splitlines(keepends=True)
    for other, expected in (("../../x.rrd", "expected a file in a"), ("a/record.json", "expected …/rerun/")):
        path.write_text("".join([json.dumps({**json.loads(first), "rerun": other}) + "\n", *others]))
        refused = suite.run("--arena-jobs", "jobs.yaml", "--arena-resume", str(suite.run_dir))
        assert refused.ret == 4
        assert f"a/episodes.jsonl: line 1: rerun: {expected}" in refused.stderr.str() + refused.stdout.str()


def test_a_measurement_that_stands_in_another_run_leaves_its_recordings_there(suite: Suite) -> None:
    suite.jobs({"coin": {**COIN, "record": {"rerun": True}}})
    suite.test()
    assert suite.run().ret == 1
    assert None not in {e["rerun"] for e in suite.episodes("coin")}
    assert suite.run("--lf").ret == 1
    assert any("stands" in note for note in suite.record("coin")["notes"])
    assert {e["rerun"] for e in suite.episodes("coin")} == {None}

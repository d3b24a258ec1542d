"""``rollout.rebuilds``: in every kind of job, in a worker, and gone on with."""

from __future__ import annotations

import json

import pytest

from tests.integration.conftest import TEST_BODY, Folder, launch


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Three rebuilds in all ways that one session can have."""
    folder = Folder(tmp_path_factory.mktemp("rebuilt"))
    folder.jobs(
        {
            "plain": {},
            "sharded": {"rollout": {"episodes": 6, "rebuilds": 3, "shards": 2}},
            "gated": {
                "thresholds": {"success_rate": ">= 0.5"},
                "gate": {"episodes_max": 6, "confidence": 0.7, "inconclusive": "pass"},
            },
            "filmed": {
                "environment": {"id": "tests.registered:arena/Endless-v0", "cameras": {"render": {}}},
                "record": {"video": "retain-on-failure", "trajectory": True},
            },
        },
        rollout={"episodes": 6, "rebuilds": 3},
    )
    (folder.path / "test_it.py").write_text(TEST_BODY)
    status, output = launch(folder)
    assert status == 0, output
    return folder


@pytest.mark.parametrize("job", ["plain", "sharded", "gated", "filmed"])
def test_any_number_of_rebuilds(rebuilt: Folder, job: str) -> None:
    record, episodes = rebuilt.record(job), rebuilt.episodes(job)
    assert record["status"] == "completed"
    assert [(e["episode"], e["rebuild"]) for e in episodes] == [
        (0, 0),
        (1, 0),
        (2, 1),
        (3, 1),
        (4, 2),
        (5, 2),
    ]
    if job == "filmed":
        assert len(record["videos"]) == 6


def test_rebuilds_in_a_worker_and_resumed(rebuilt: Folder) -> None:
    """The third environment was under way when the first run was cut off."""
    folder = rebuilt.run_dir / "plain"
    lines = (folder / "episodes.jsonl").read_text().splitlines(keepends=True)
    (folder / "episodes.jsonl").write_text("".join(lines[:1]))
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({**record, "status": "running"}))
    status, output = launch(rebuilt, "--arena-resume", str(rebuilt.run_dir), "-n", "1")
    assert status == 0, output
    kept = ("episode", "rebuild", "seed", "return", "length")
    before = [{key: json.loads(line)[key] for key in kept} for line in lines]
    assert [{key: e[key] for key in kept} for e in rebuilt.episodes("plain")] == before

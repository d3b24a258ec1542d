"""What differs between runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_arena.comparison.differences import Difference, describe_differences, run_differences
from pytest_arena.comparison.named_runs import read_runs, shared_jobs
from pytest_arena.records.json_files import read_json
from tests.unit.commands.test_compare_command import make_run

HASHES = ("1f" * 32, "2a" * 32)


def differences(*texts: str) -> list[Difference]:
    runs = read_runs(texts)
    return run_differences(runs, shared_jobs(runs))


def change(path: Path, **facts: Any) -> None:
    """Change what a run's manifest says; ``job`` is of each of its jobs."""
    data = read_json(path / "run.json")
    for entry in data["jobs"].values():
        entry.update(facts.get("job", {}))
    (path / "run.json").write_text(json.dumps({**data, **{k: v for k, v in facts.items() if k != "job"}}))


def change_record(path: Path, **identity: Any) -> None:
    record = read_json(path / "record.json")
    (path / "record.json").write_text(json.dumps({**record, "identity": {**record["identity"], **identity}}))


def keys(found: Sequence[Difference]) -> list[str]:
    return [f"{one.part} {one.key}" for one in found]


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_run(Path("one"), {"reach": [1, 1], "push": [1, 1]})
    make_run(Path("two"), {"reach": [1, 0], "push": [1, 1]})
    return tmp_path


def test_equal_runs_differ_in_nothing(two: Path) -> None:
    assert differences("one", "two") == []
    assert [*describe_differences([])] == []


def test_the_order_and_the_words(two: Path) -> None:
    for name, sha in zip(("one", "two"), HASHES, strict=True):
        change(
            Path(name),
            job={"policy_files": {"checkpoint": sha}, "policy_source": "same"},
            versions={"torch": f"2.{len(name)}", name: "1.0", "numpy": "2.4"},
            revision={"commit": sha[:40], "dirty": name == "two"},
            machine={"node": name, "gpus": [] if name == "one" else ["H200, 1"]},
        )
        change_record(Path(name) / "reach", policy={"sha256": sha}, environment={"renderer": name})
    found = differences("one", "two")
    assert keys(found) == [
        "policy policy_files.checkpoint",
        "policy sha256",
        "environment renderer",
        "versions one",
        "versions two",
        "revision commit",
        "revision dirty",
        "machine node",
        "machine gpus",
    ]
    assert found[0] == Difference("policy", "policy_files.checkpoint", HASHES)
    assert found[1] == Difference("policy", "sha256", HASHES, ("reach",))
    lines = [*describe_differences(found, at_most=5)]
    assert lines == [
        "differs: policy policy_files.checkpoint: 1f1f1f1f1f1f | 2a2a2a2a2a2a",
        "differs: policy sha256: 1f1f1f1f1f1f | 2a2a2a2a2a2a (in reach)",
        "differs: environment renderer: one | two (in reach)",
        "differs: versions one: 1.0 | -",
        "differs: 5 more keys (all: --html FILE or --json)",
    ]
    assert len([*describe_differences(found[:8], at_most=8)]) == 8


def test_keys_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(Path("one"), {"reach": [1, 1], "push": [1, 1]}, tags=["a"])
    make_run(Path("two"), {"reach": [1, 1], "push": [1]}, policy={"type": "random"})
    make_run(Path("three"), {"reach": [1, 1]}, policy={"type": "random"})
    found = {(one.key, *one.jobs): one.values for one in differences("one", "two", "three")}
    assert found["policy.type", "reach"] == ("zero", "random", "random")
    assert found["policy.type", "push"] == ("zero", "random", None)
    assert found["rollout.episodes", "push"] == (2, 1, None)
    assert found["tags",] == (["a"], None, None)
    assert len(found) == 4


def test_two_jobs_of_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(Path("run"), {"good": [1, 1], "bad": [1, 1, 0]})
    found = differences("run:good", "run:bad")
    assert [(one.key, one.values, one.jobs) for one in found] == [("rollout.episodes", (2, 3), ())]


def test_files_that_say_nothing_differ_in_nothing(two: Path) -> None:
    Path("metrics.json").write_text('{"reach": {"success_rate": 1.0, "episodes_measured": 2}}')
    assert differences("one", "metrics.json") == []
    change(Path("one"), versions={"torch": "2.1"})
    change(Path("two"), versions={"torch": "2.2"})
    found = differences("metrics.json", "one", "two")
    assert [(one.key, one.values) for one in found] == [("torch", (None, "2.1", "2.2"))]


def test_a_manifest_may_hold_anything(two: Path) -> None:
    odd: Any = {"a": [{"b": None}], "": {"": 1}, "c": {}}
    change(Path("one"), versions=odd, machine="a machine", job={"policy_source": "x"})
    change_record(Path("one") / "reach", policy=[odd], environment="x")
    for one in differences("one", "two"):
        assert len(one.texts()) == 2
    change(Path("one"), machine="x" * 1000)
    change(Path("two"), machine="y")
    (long,) = [one for one in differences("one", "two") if one.part == "machine"]
    assert (long.texts(10), len(long.texts()[0])) == (["xxxxxxxxx…", "y"], 200)


def test_a_run_without_a_configuration_of_the_job_differs_in_none_of_its_keys(two: Path) -> None:
    """The job was an error before its first episode: what the manifest says of its policy is all there is."""
    make_run(Path("three"), {"reach": [1, 1], "push": [1, 1]})
    for name in ("one", "two", "three"):
        change(Path(name), job={"policy_source": "same"})
    record = read_json(Path("one", "reach", "record.json"))
    Path("one", "reach", "record.json").write_text(json.dumps({**record, "status": "error"}))
    assert differences("one", "two", "three") == []


def test_a_hash_is_told_by_its_first_digits_and_what_was_not_committed_by_its_name(two: Path) -> None:
    change(Path("one"), revision={"commit": "c0" * 20, "dirty": True, "changes": HASHES[0]})
    change(Path("two"), revision={"commit": "c0" * 20, "dirty": True, "changes": HASHES[1]})
    (found,) = differences("one", "two")
    assert (found.key, found.values) == ("uncommitted changes", HASHES)
    assert found.texts() == [digits[:12] for digits in HASHES]
    assert [*describe_differences([found])] == [
        "differs: revision uncommitted changes: 1f1f1f1f1f1f | 2a2a2a2a2a2a"
    ]

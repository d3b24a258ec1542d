"""Jobs against a baseline, through real rollouts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import tests.registered  # noqa: F401
from pytest_arena import Baseline, JobRecord, evaluate, load_baseline
from tests.jobs import make_job


def run(output: Path, level: float, baseline: Baseline | None = None, **changes: Any) -> JobRecord:
    """Evaluate a policy that succeeds in a share *level* of 40 episodes."""
    environment = {"id": "tests.registered:arena/Skilled-v0", **changes.pop("environment", {})}
    policy = {"type": "tests.registered:Skill", "level": level}
    job = {"environment": environment, "policy": policy, "rollout": {"episodes": 40}, "regression": {}}
    return evaluate(make_job(**{**job, **changes}), output=output, baseline=baseline)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    output = tmp_path_factory.mktemp("baseline")
    assert run(output, 0.9).comparison.verdict == "not judged"  # type: ignore[union-attr]
    return load_baseline(next(output.iterdir()))


@pytest.mark.parametrize(
    ("level", "verdict", "overall"), [(0.3, "regression", "fail"), (1.0, "improved", "pass")]
)
def test_the_same_comparison_on_any_number_of_rows(
    tmp_path: Path, baseline: Baseline, level: float, verdict: str, overall: str
) -> None:
    found = [run(tmp_path / str(n), level, baseline, environment={"num_envs": n}) for n in (1, 7)]
    one, many = (record.comparison for record in found)
    assert one is not None
    assert many is not None
    assert dataclasses.asdict(one) == dataclasses.asdict(many)
    assert (one.verdict, one.paired, one.pairs) == (verdict, True, 40)
    assert {record.verdict for record in found} == {overall}


def test_a_gate_that_stops_leaves_a_prefix_to_compare(tmp_path: Path, baseline: Baseline) -> None:
    gate = {"episodes_max": 40, "look_every": 5}
    record = run(tmp_path, 0.2, baseline, gate=gate, thresholds={"success_rate": ">= 0.8"})
    assert record.gate is not None
    assert record.gate.counted is not None
    assert record.comparison is not None
    assert record.comparison.pairs == record.gate.counted < 40
    assert (record.comparison.paired, record.comparison.mcnemar_p) == (True, None)
    assert record.comparison.worse is not None
    assert record.comparison.worse.test == "sign test"
    stopped = load_baseline(next(tmp_path.iterdir()))
    again = run(tmp_path / "again", 0.9, stopped)
    assert again.comparison is not None
    assert again.comparison.pairs == record.gate.counted
    unpaired = run(tmp_path / "other", 0.9, stopped, environment={"seed": 1})
    assert unpaired.comparison is not None
    assert (unpaired.comparison.paired, unpaired.comparison.reason) == (False, "the seeds differ")
    assert unpaired.comparison.worse is not None
    assert unpaired.comparison.worse.test == "sign test"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"environment": {"id": "tests.registered:arena/Scripted-v0"}}, "environment.id was 'tests"),
        ({"regression": {"metric": "return", "bounds": [0, 1]}}, "outside of its bounds 0 to 1"),
    ],
)
def test_what_is_not_comparable_fails(
    tmp_path: Path, baseline: Baseline, changes: dict[str, Any], words: str
) -> None:
    record = run(tmp_path, 0.5, baseline, **changes)
    assert record.comparison is not None
    assert words in str(record.comparison.reason)
    assert (record.comparison.verdict, record.comparison.failed, record.verdict) == (
        "not comparable",
        True,
        "fail",
    )


def test_a_change_that_moves_some_of_the_starts_is_judged_by_all_of_them(tmp_path: Path) -> None:
    """The policy fails wherever the start has moved; the episodes that still agree are as good as before."""
    settings: dict[str, Any] = {"id": "tests.registered:arena/Moved-v0"}
    moving = {**settings, "options": {"make": {"moved": 0.45}}}
    rollout = {"episodes": 100}
    run(tmp_path / "one", 0.97, environment=settings, rollout=rollout)
    before = load_baseline(next((tmp_path / "one").iterdir()))
    record = run(tmp_path / "two", 0.97, before, environment=moving, rollout=rollout)
    found = record.comparison
    assert found is not None
    assert (str(found.verdict), found.paired, found.pairs, record.verdict) == (
        "regression",
        True,
        100,
        "fail",
    )
    assert found.matched is not None
    assert 45 <= found.matched <= 65
    assert found.reason == f"the initial states agree in only {found.matched} of 100 episodes"
    assert found.value == record.metrics["success_rate"]

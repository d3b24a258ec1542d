"""No job is drawn again until it passes: the first measurement of episodes that cannot be played again stands."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from tests.integration.conftest import TEST_BODY, Suite

SKILLED = {"id": "tests.registered:arena/Skilled-v0", "num_envs": 2}
COIN: dict[str, Any] = {
    "environment": SKILLED,
    "policy": {"type": "tests.registered:Coin"},
    "thresholds": {"success_rate": "> 0.99"},
    "rollout": {"episodes": 20},
}


def outcomes(suite: Suite, folder: str) -> list[tuple[int, str, float, int]]:
    found = suite.episodes(folder)
    return [(e["episode"], e["outcome"], e["return"], e["length"]) for e in found]


def test_a_rerun_judges_the_first_measurement_again(suite: Suite) -> None:
    pytest.importorskip("pytest_rerunfailures")
    breaks = {"policy": {**COIN["policy"], "breaks": str(suite.path / "broken"), "level": 1.0}}
    steps = {"rollout": {"episodes": None, "steps": 60}}
    gated = {
        "gate": {"episodes_max": 40},
        "thresholds": {"success_rate": ">= 0.9"},
        "rollout": {"episodes": None},
    }
    films = {"environment": {**SKILLED, "cameras": {"render": {}}}, "record": {"trajectory": True}}
    jobs = {
        "coin": films,
        "steps": steps,
        "gated": {**gated, "policy": {**COIN["policy"], "level": 0.2}},
        "breaks": {**breaks, "thresholds": {"success_rate": ">= 0.01"}},
        "again": {"policy": {"type": "zero"}},
    }
    suite.jobs({name: {**COIN, **job} for name, job in jobs.items()})
    suite.test()
    result = suite.run("--reruns", "2")
    assert result.ret == 1
    assert suite.outcomes() == {**dict.fromkeys(jobs, "failed"), "breaks": "passed"}
    for job in ("coin", "steps", "gated", "again"):
        first = outcomes(suite, job)
        assert first == outcomes(suite, f"{job}.2") == outcomes(suite, f"{job}.3")
        assert suite.record(job)["metrics"] == suite.record(f"{job}.3")["metrics"]
    stands = "the measurement of attempt 1 stands"
    for job in ("coin", "steps", "gated"):
        assert not any(stands in note for note in suite.record(job)["notes"])
        assert "rollout_seconds" not in suite.record(f"{job}.2")["timings"]
        assert not suite.record(f"{job}.2")["reproducible"]
    assert any(stands in note for note in suite.record("coin.2")["notes"])
    assert suite.record("gated.2")["verdict"] == suite.record("gated")["verdict"] == "fail"
    assert suite.record("coin.2")["videos"] == suite.record("coin")["videos"] != []
    assert suite.record("coin.2")["hdf5_path"] == "coin/dataset.hdf5"
    assert {e["attempt"] for e in suite.episodes("coin.2")} == {2}
    assert suite.record("again.2")["notes"] == [], "the same seeds give the same numbers"
    (note,) = [note for note in suite.record("breaks.2")["notes"] if "attempt 1" in note]
    assert "ended as an error, and this one drew other episodes" in note
    result.stdout.fnmatch_lines([f"*{stands}*"])


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_what_failed_before_is_not_drawn_anew(suite: Suite, workers: tuple[str, ...]) -> None:
    whole, parts = {**COIN}, {**COIN, "rollout": {"episodes": 20, "shards": 2}}
    suite.jobs({"coin": whole, "parts": parts, "fine": {"thresholds": {"success_rate": ">= 0.01"}}})
    suite.test()
    assert suite.run(*workers).ret == 1
    first, run = {job: outcomes(suite, job) for job in ("coin", "parts")}, suite.run_dir
    result = suite.run("--lf", *workers)
    assert result.ret == 1
    assert suite.run_dir != run
    assert {job: outcomes(suite, job) for job in ("coin", "parts")} == first
    words = f"the measurement of the run {run.name} stands"
    assert any(words in note and "--lf" in note for note in suite.record("coin")["notes"])
    result.stdout.fnmatch_lines([f"*{words}*"])

    assert suite.run("--ff", *workers).ret == 1
    assert outcomes(suite, "coin") == first["coin"]
    if not workers:
        assert suite.run("--sw").ret != 0
        assert outcomes(suite, "coin") == first["coin"]
    changed = {**COIN, "policy": {**COIN["policy"], "level": 0.5001}}
    suite.jobs({"coin": changed, "parts": parts, "fine": {"thresholds": {"success_rate": ">= 0.01"}}})
    suite.run("--lf", "-k", "coin", *workers)
    assert outcomes(suite, "coin") != first["coin"], "another configuration is another job"
    suite.jobs({"coin": COIN, "parts": parts, "fine": {"thresholds": {"success_rate": ">= 0.01"}}})
    suite.run("-k", "coin", *workers)
    assert outcomes(suite, "coin") != first["coin"], "without --lf it is evaluated anew"


MINE = """
import numpy as np

class Mine:
    level = 0.0

    def __init__(self, env):
        self.env = env

    def act(self, observation):
        return np.full((self.env.num_envs, 2), self.level, np.float32)
"""


def test_a_policy_whose_code_was_mended_is_evaluated_anew(suite: Suite) -> None:
    mine = suite.path / "mine.py"
    mine.write_text(MINE)
    suite.jobs({"job": {**COIN, "policy": {"type": "mine:Mine"}}})
    suite.test()
    assert suite.run().ret == 1
    assert suite.run("--lf").ret == 1
    assert any("stands" in note for note in suite.record("job")["notes"])
    mine.write_text(MINE.replace("level = 0.0", "level = 1.0"))
    assert suite.run("--lf").ret == 0
    assert not any("stands" in note for note in suite.record("job")["notes"])


def test_what_failed_is_found_by_its_test(suite: Suite) -> None:
    """Its label, the folder of the results and the number of runs since then may be others."""
    for name, job in {"one": COIN, "two": {**COIN, "policy": {"type": "zero"}, "thresholds": {}}}.items():
        suite.jobs({"reach": job}, f"{name}.yaml")
        body = TEST_BODY.replace("jobs.yaml", f"{name}.yaml").replace("test_it", f"test_{name}")
        suite.pytester.makepyfile(**{f"test_{name}": body})

    def stands(label: str, *args: str) -> None:
        assert suite.run(*args).ret == 1
        assert outcomes(suite, label) == first
        assert any("stands" in note and args[0] in note for note in suite.record(label)["notes"])
        assert {e["job"] for e in suite.episodes(label)} == {label}

    assert suite.run().ret == 1
    first = outcomes(suite, "reach-test_one")
    stands("reach", "--lf")
    stands("reach-test_one", "--ff")
    assert suite.run("test_two.py").ret == 0
    assert (suite.run_dir / "reach").exists(), "another test's job has the label now"
    for i in range(11):
        shutil.copytree(suite.run_dir, suite.run_dir.with_name(f"{suite.run_dir.name}{i:02}"))
    stands("reach", "--lf", "test_one.py")

    elsewhere = suite.run("--lf", "--arena-output=other", "-rA")
    (run,) = (suite.path / "other").glob("2*")
    assert elsewhere.ret == 1
    record = json.loads((run / "reach" / "record.json").read_text())
    assert any(f"{suite.path}/arena-results/" in note for note in record["notes"])
    shutil.rmtree(suite.path / "other")
    stands("reach", "--lf")
    shutil.rmtree(suite.path / "arena-results")
    suite.run("--lf")
    assert any("cannot be read any more" in note for note in suite.record("reach")["notes"])
    assert outcomes(suite, "reach") != first


def test_reruns_do_not_raise_the_error_rate_of_a_gate(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The true rate is the threshold: at most 5 % of jobs may pass, however often they are run again."""
    pytest.importorskip("pytest_rerunfailures")
    monkeypatch.setenv("COIN_SEED", "2026")
    gated = {
        **COIN,
        "policy": {**COIN["policy"], "level": 0.8},
        "thresholds": {"success_rate": ">= 0.8"},
        "gate": {"episodes_max": 30},
        "rollout": {"episodes": None},
    }
    suite.jobs({f"job{i}": gated for i in range(60)})
    suite.test()
    suite.run("--reruns", "5", "-q", "--tb=no")
    first = {f"job{i}": suite.record(f"job{i}")["verdict"] for i in range(60)}
    assert suite.outcomes() == {job: "passed" if v == "pass" else "failed" for job, v in first.items()}
    assert sum(v == "pass" for v in first.values()) <= 6  # P(more of 60 at 5 %) is 3 %, and the seed is fixed
    assert sum((suite.run_dir / f"job{i}.6").exists() for i in range(60)) >= 54

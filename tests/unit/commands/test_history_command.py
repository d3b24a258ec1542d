"""``python -m pytest_arena history``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_arena.__main__ import USAGE_ERROR, main
from tests.made_up_runs import made_up_job, make_up_run


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two jobs in 25 runs; one of them was changed before the last run, and failed in it."""
    for day in range(1, 26):
        last = day == 25
        jobs = [
            made_up_job("push", 0.8),
            made_up_job("reach", 0.2 if last else 0.9, rollout={"episodes": 10 if last else 20}),
        ]
        make_up_run(tmp_path / "arena-results", f"202601{day:02}T000000Z-00{day:02}", jobs)
    return tmp_path / "arena-results"


def printed(capsys: pytest.CaptureFixture[str], *argv: object) -> list[str]:
    assert main(["history", *map(str, argv)]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_table_of_each_job_the_worst_first(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, results)
    assert lines[0] == f"{results}: 25 runs, 2026-01-01 to 2026-01-25"
    titles = [line for line in lines[1:] if line and not line.startswith(" ")]
    assert titles == [
        "reach: fail (the last 20 of 25 runs; --job reach prints all)",
        "push: pass (the last 20 of 25 runs; --job push prints all)",
    ]
    reach = lines[lines.index(titles[0]) + 1 : lines.index(titles[1]) - 1]
    assert reach[0].split() == [
        *("when", "success", "[interval]", "expected", "episodes", "verdict", "revision", "policy", "run"),
    ]
    assert reach[1].split() == [
        *("2026-01-06", "00:00", "90.0%", "[80.0%,", "100.0%]", ">=", "0.5", "20/20", "pass"),
        *("c0ffeec0f", "-", "20260106T000000Z-0006"),
    ]
    assert "configuration changed: rollout" in reach[-2]
    assert reach[-1].split()[:5] == ["2026-01-25", "00:00", "20.0%", "[10.0%,", "30.0%]"]
    assert len(reach) == 1 + 20 + 1


def test_one_job_is_printed_whole(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, results, "--job", "push")
    assert "push: pass" in lines
    assert len([line for line in lines if "20/20" in line]) == 25


def test_the_same_as_json(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads("\n".join(printed(capsys, results, "--json")))
    assert (data["runs"], data["notes"], list(data["jobs"])) == (25, [], ["reach", "push"])
    last = data["jobs"]["reach"][-1]
    assert len(data["jobs"]["reach"]) == 25
    assert (last["run"], last["folder"], last["verdict"]) == ("20260125T000000Z-0025", "reach", "fail")
    assert (last["success_rate"], last["reconfigured"]) == (0.2, ["rollout"])
    assert last["thresholds"] == [
        {"metric": "success_rate", "expression": ">= 0.5", "value": 0.2, "passed": False}
    ]
    assert last["revision"] == {"commit": "c0ffee" * 7, "dirty": False}
    alone = json.loads("\n".join(printed(capsys, results, "--json", "--job", "push")))
    assert list(alone["jobs"]) == ["push"]


def test_the_usual_folder_is_where_runs_go(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(results.parent)
    assert printed(capsys)[0].startswith("arena-results: 25 runs")


def test_a_run_that_cannot_be_read_is_named(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (results / "20260107T000000Z-0007" / "run.json").write_text("{")
    lines = printed(capsys, results)
    assert lines[0].startswith(f"{results}: 24 runs")
    assert lines[-1].startswith("20260107T000000Z-0007/run.json: expected JSON")


def test_mistakes_are_one_line(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = results / "20260107T000000Z-0007"
    for argv, words in {
        (results, "--job", "raech"): "did you mean 'reach'?",
        (results / "nowhere",): "expected a folder of runs",
        (run,): "this is one run",
        (run / "reach",): "there is no run in this folder",
    }.items():
        assert main(["history", *map(str, argv)]) == USAGE_ERROR
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1

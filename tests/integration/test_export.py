"""``python -m pytest_arena export``: the files of other tools, from a run that pytest left.

All tests look at the same run. The episodes of the scripted environment follow from their seeds.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_arena import load_baseline
from pytest_arena.__main__ import main
from pytest_arena.gate.intervals import wilson
from pytest_arena.rollout.metrics import standard_metrics
from tests.inner import inner_environment
from tests.integration.conftest import Folder, parse

CONFTEST = """
from pytest_arena import Metric

class Doubled(Metric):
    name, reduction = "doubled", "max"

    def end(self, row, episode):
        return 2.0 * episode.length

def pytest_arena_metrics(job):
    return [Doubled()] if job.name == "good" else []
"""
EPISODES = 5
TASK = "open the door"
JOBS: dict[str, dict[str, Any]] = {
    "good": {
        "environment": {"num_envs": 2, "cameras": {"render": {}}},
        "record": {"video": "on", "overview": False},
        "rollout": {"episodes": EPISODES, "rebuilds": 2},
        "language_instruction": TASK,
    },
    "unknown": {"environment": {"id": "CartPole-v1"}},
    "broken": {"policy": {"type": "tests.registered:Broken", "at": 12}},
    "gated": {"thresholds": {"success_rate": ">= 0.05"}, "gate": {"episodes_max": 60, "look_every": 1}},
    "sharded": {"rollout": {"episodes": 4, "shards": 2}},
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("exported"))
    (folder.path / "conftest.py").write_text(CONFTEST)
    folder.jobs(JOBS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--arena-jobs", "jobs.yaml"]
    done = subprocess.run(
        command, cwd=folder.path, env=inner_environment(), capture_output=True, text=True, timeout=120
    )
    assert folder.record("broken")["status"] == "error", done.stdout
    return folder


@pytest.fixture
def export(ran: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Export the run: returns the folder, and the lines about what the format cannot say."""

    def run(to: str) -> tuple[Path, list[str]]:
        output = tmp_path / to
        assert main(["export", str(ran.run_dir), "--to", to, "--output", str(output)]) == 0
        lines = capsys.readouterr().out.splitlines()
        told = {line.removeprefix("wrote ") for line in lines if line.startswith("wrote ")}
        assert told == {str(path) for path in output.rglob("*") if path.is_file()}
        return output, [line for line in lines if not line.startswith("wrote ")]

    return run


def scripted(seed: int) -> tuple[int, bool]:
    """How long the scripted environment's episode with this seed is, and whether it succeeds."""
    rng = np.random.default_rng(seed)
    return int(rng.integers(2, 9)), bool(rng.random() < 0.5)


def of(ran: Folder, job: str) -> list[tuple[int, bool]]:
    return [scripted(episode["seed"]) for episode in ran.episodes(job) if episode["outcome"] != "error"]


def test_lerobot(ran: Folder, export: Any) -> None:
    folder, notes = export("lerobot")
    data = parse((folder / "eval_info.json").read_text())
    assert list(data) == ["per_task", "per_group", "overall"]
    tasks = {task["task_group"]: task for task in data["per_task"]}
    assert list(tasks) == ["good", "unknown", "gated", "sharded"]
    good, script = tasks["good"], of(ran, "good")
    sums = [float(n * (n + 1) // 2) for n, _ in script]
    successes = [success for _, success in script]
    films = [str(ran.run_dir / path) for e in ran.episodes("good") for path in e["videos"].values()]
    assert len(films) == EPISODES
    rates = {
        "pc_success": 100 * sum(successes) / EPISODES,
        "n_success": sum(successes),
        "n_episodes": EPISODES,
        "pc_success_ci95": [100 * end for end in wilson(sum(successes), EPISODES)],
    }
    assert good == {
        "task_group": "good",
        "task_id": 0,
        "metrics": {
            "sum_rewards": sums,
            "max_rewards": [float(n) for n, _ in script],
            "successes": successes,
            "video_paths": films,
            "predicted_video_paths": [],
        },
        **rates,
    }
    assert data["per_group"]["good"] == {
        "avg_sum_reward": sum(sums) / EPISODES,
        "avg_max_reward": sum(n for n, _ in script) / EPISODES,
        **rates,
        "video_paths": films,
        "predicted_video_paths": [],
    }
    unknown = data["per_group"]["unknown"]
    assert tasks["unknown"]["metrics"]["successes"] == [None] * 4
    assert (unknown["pc_success"], unknown["n_success"], unknown["pc_success_ci95"]) == (None, None, None)
    assert (unknown["n_episodes"], unknown["avg_max_reward"]) == (4, 1.0)
    assert tasks["gated"]["n_episodes"] == ran.record("gated")["gate"]["counted"] < 60
    low, high = ran.record("gated")["intervals"]["success_rate"]
    assert tasks["gated"]["pc_success_ci95"] == [100 * low, 100 * high]
    assert data["overall"]["n_episodes"] == EPISODES + 4 + tasks["gated"]["n_episodes"] + 4
    assert data["overall"]["pc_success"] is None
    seconds = sum(ran.record(job)["timings"]["total_seconds"] for job in tasks if job != "sharded")
    assert data["overall"]["eval_s"] == pytest.approx(seconds + _total(ran, "sharded"))
    assert notes == [
        "unknown: success was not measured in 4 episodes: it is null there, and so is pc_success",
        "broken: left out, since its status is error, after 2 of 4 episodes and 1 error: eval_info.json "
        "cannot say so",
        "overall: no pc_success_ci95, since a gate decided how many episodes there are",
    ]


def _total(ran: Folder, job: str) -> float:
    return float(ran.record(job)["timings"]["total_seconds"])


def test_what_is_written_for_lerobot_is_a_baseline(ran: Folder, export: Any) -> None:
    folder, _ = export("lerobot")
    baseline, run = load_baseline(folder / "eval_info.json"), load_baseline(ran.run_dir)
    for metric in standard_metrics():
        if metric.name in ("success_rate", "return", "max_reward"):
            for label in ("good", "gated", "sharded"):
                written, own = baseline.find(label), run.find(label)
                assert written is not None
                assert own is not None
                assert list(written.sample(metric).values) == list(own.sample(metric).values)
    assert baseline.find("unknown") is not None


def test_vla_eval(ran: Folder, export: Any) -> None:
    folder, notes = export("vla-eval")
    data = parse((folder / "gymnasium_aggregate.json").read_text())
    tasks = {task["task"]: task for task in data["tasks"]}
    assert list(tasks) == sorted(JOBS)
    script, good = of(ran, "good"), tasks["good"]
    successes = [success for _, success in script]
    assert (good["num_episodes"], "num_errors" in good) == (EPISODES, False)
    assert good["mean_success"] == round(sum(successes) / EPISODES, 4)
    assert good["max_doubled"] == 2 * max(n for n, _ in script)
    assert good["avg_steps"] == sum(n for n, _ in script) / EPISODES
    assert [e["metrics"]["success"] for e in good["episodes"]] == successes
    seeds = [episode["seed"] for episode in ran.episodes("good")]
    assert [(e["episode_id"], e["seed"]) for e in good["episodes"]] == list(enumerate(seeds))
    *finished, cut_off = tasks["broken"]["episodes"]
    before = [e["metrics"]["success"] for e in finished]
    assert before == [success for _, success in of(ran, "broken")]
    assert (cut_off["metrics"], cut_off["failure_reason"]) == ({}, "exception")
    assert cut_off["failure_detail"] == ran.episodes("broken")[-1]["error"]
    assert tasks["broken"]["num_errors"] == data["num_errors"] == 1
    assert tasks["broken"]["mean_success"] == sum(before) / 2
    assert all("failure_reason" not in e for e in tasks["unknown"]["episodes"])
    assert "mean_success" not in tasks["unknown"]
    assert (data["seed"], data["partial"], data["mode"]) == (0, True, "sync")
    measured = [
        e["metrics"]["success"] for t in data["tasks"] for e in t["episodes"] if "success" in e["metrics"]
    ]
    assert data["mean_success"] == round(sum(measured) / len(measured), 4)
    assert notes == [
        "unknown: success was not measured in 4 episodes: their metrics have no success, and mean_success "
        "leaves them out",
        "broken: its status is error, so the aggregate is marked partial",
        "broken: 1 episode with an error: failure_reason and num_errors tell, and mean_success leaves them out",
    ]


def test_isaac_lab_arena(ran: Folder, export: Any) -> None:
    folder, notes = export("arena")
    whole = parse((folder / "arena_experiment_result.json").read_text())["runs"]
    assert list(whole) == list(JOBS)
    assert {name: run["status"] for name, run in whole.items()} == {
        **dict.fromkeys(JOBS, "completed"),
        "broken": "failed",
    }
    assert notes == ["broken: its status is error, in Arena's words failed"]
    files = [folder / "good" / f"episode_results_rebuild{rebuild}.jsonl" for rebuild in (0, 1)]
    lines = [[parse(line) for line in file.read_text().splitlines()] for file in files]
    assert [rebuild["episodes"] for rebuild in whole["good"]["rebuilds"]] == lines
    assert [len(found) for found in lines] == [3, 2]
    episodes = {e["episode"]: e for e in ran.episodes("good")}
    for rebuild, found in enumerate(lines):
        begun = {0: 0, 1: 0}
        for line in found:
            own = episodes[line["global_episode_index"]]
            assert (line["rebuild_idx"], line["env_id"]) == (rebuild, own["env_idx"])
            assert line["episode_in_env"] == begun[line["env_id"]]
            begun[line["env_id"]] += 1
            assert line["job_name"] == "good"
            assert line["seed"] == 0
            assert line["language_instruction"] == TASK
            assert line["episode_length"] == own["length"]
            assert line["success"] == (own["outcome"] == "success")
    *finished, cut_off = whole["broken"]["rebuilds"][0]["episodes"]
    assert [line["success"] for line in finished] == [success for _, success in of(ran, "broken")]
    assert (cut_off["success"], cut_off["outcome"]) == (None, "error")
    assert cut_off["error"]
    assert {line["success"] for line in whole["unknown"]["rebuilds"][0]["episodes"]} == {None}
    assert {line["outcome"] for line in whole["unknown"]["rebuilds"][0]["episodes"]} == {"unknown"}


def test_tables(ran: Folder, export: Any) -> None:
    folder, notes = export("csv")
    assert notes == []
    with (folder / "jobs.csv").open() as file:
        jobs = {row["job"]: row for row in csv.DictReader(file)}
    assert list(jobs) == list(JOBS)
    for name, row in jobs.items():
        record = ran.record(name)
        assert (row["status"], row["verdict"]) == (record["status"], record["verdict"])
        for metric, value in record["metrics"].items():
            assert row[f"metrics.{metric}"] == ("" if value is None else json.dumps(value))
    assert jobs["broken"]["error"] == "ValueError: the policy broke at action 12"
    assert "success_rate: not measured" in jobs["unknown"]["unmeasured"]
    with (folder / "episodes.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in JOBS:
        found = [row for row in rows if row["job"] == name]
        assert [(int(r["episode"]), r["outcome"], float(r["return"])) for r in found] == [
            (e["episode"], e["outcome"], e["return"]) for e in ran.episodes(name)
        ]
    assert {row["videos.render"] for row in rows if row["job"] == "gated"} >= {""}
    assert [row["metrics.doubled"] for row in rows if row["job"] == "good"] == [
        str(2.0 * e["length"]) for e in ran.episodes("good")
    ]


def test_an_export_is_replaced_and_goes_beside_by_default(
    ran: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["export", str(ran.run_dir), "--to", "csv"]) == 0
    (folder,) = tmp_path.iterdir()
    assert folder.name == f"{ran.run_dir.name}-csv"
    assert {path.name for path in folder.iterdir()} == {"jobs.csv", "episodes.csv"}


def spoil_record(run: Path) -> None:
    (run / "good" / "record.json").write_text("{")


def spoil_episodes(run: Path) -> None:
    path = run / "good" / "episodes.jsonl"
    path.write_text(path.read_text().replace('"length"', '"lengths"', 1))


def lose_episode(run: Path) -> None:
    path = run / "good" / "episodes.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))


def lose_manifest(run: Path) -> None:
    (run / "run.json").unlink()


def still_running(run: Path) -> None:
    path = run / "good" / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": "running"}))


@pytest.mark.parametrize("spoil", [spoil_record, spoil_episodes, lose_episode, lose_manifest, still_running])
def test_what_is_no_finished_run_is_refused_in_one_line(
    spoil: Any, ran: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "run"
    shutil.copytree(ran.run_dir, copied)
    spoil(copied)
    for to in ("lerobot", "vla-eval", "arena", "csv"):
        assert main(["export", str(copied), "--to", to, "--output", str(tmp_path / "out")]) == 4
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.count("\n") == 1
        assert str(copied) in told.err
    assert not (tmp_path / "out").exists()


def test_a_job_that_never_ran_is_told(
    ran: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "run"
    shutil.copytree(ran.run_dir, copied)
    shutil.rmtree(copied / "good")
    for to in ("lerobot", "vla-eval", "arena", "csv"):
        assert main(["export", str(copied), "--to", to, "--output", str(tmp_path / to)]) == 0
        assert "good: never ran, so it is left out" in capsys.readouterr().out.splitlines()


def test_nothing_is_written_elsewhere(ran: Folder, tmp_path: Path) -> None:
    copied, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    shutil.copytree(ran.run_dir, copied)
    for path in copied.glob("*/record.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "simulator": "../elsewhere/x"}))
    elsewhere.mkdir()
    for to in ("lerobot", "vla-eval", "arena", "csv"):
        assert main(["export", str(copied), "--to", to, "--output", str(tmp_path / "out")]) == 0
    assert not list(elsewhere.iterdir())
    assert (tmp_path / "out" / ".._elsewhere_x_aggregate.json").exists()


def test_a_run_of_an_earlier_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = Path(__file__).parents[1] / "stored_runs" / "v0.1.0"
    for to in ("lerobot", "vla-eval", "arena", "csv"):
        output = ["--output", str(tmp_path / to)]
        assert main(["export", str(stored / "baseline"), "--to", to, *output]) == 0
        assert main(["export", str(stored / "interrupted"), "--to", to, *output]) == 4
        assert "job 'interrupted' is running or was cut off" in capsys.readouterr().err
    data = json.loads((tmp_path / "lerobot" / "eval_info.json").read_text())
    assert {task["task_group"]: task["n_success"] for task in data["per_task"]} == {"gated": 8, "compared": 1}


def test_a_dataset_without_lerobot_is_one_line(
    ran: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "lerobot", None)
    asked = ["export", str(ran.run_dir), "--to", "lerobot-dataset", "--output", str(tmp_path / "out")]
    assert main(asked) == 4
    told = capsys.readouterr().err
    assert "lerobot-dataset needs LeRobot: pip install 'pytest-arena[lerobot]'" in told
    assert told.count("\n") == 1

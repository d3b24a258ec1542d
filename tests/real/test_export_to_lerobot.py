"""``eval_info.json`` beside what LeRobot's own code makes of the same episodes, where it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from pytest_arena.__main__ import main
from tests.real.exported_run import make_run

LATER = {"n_success", "pc_success_ci95"}
"""Keys that LeRobot has only since versions after 0.6."""


def test_lerobot_aggregates_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = pytest.importorskip("lerobot.scripts.lerobot_eval")
    assert main(["export", make_run(tmp_path / "run"), "--to", "lerobot", "--output", str(tmp_path)]) == 0
    written = json.loads((tmp_path / "eval_info.json").read_text())
    metrics = {task["task_group"]: task["metrics"] for task in written["per_task"]}
    assert list(metrics) == ["reach", "push"]

    def run_one(group: str, task: int, env: Any, **_: Any) -> Any:
        return group, task, metrics[group]

    monkeypatch.setattr(script, "run_one", run_one)
    envs = {group: {0: MagicMock()} for group in metrics}
    theirs = script.eval_policy_all(envs, MagicMock(), *[MagicMock()] * 4, n_episodes=3)
    for ours, own in zip(written["per_task"], theirs["per_task"], strict=True):
        assert {key: ours[key] for key in own} == own
    assert written["overall"].keys() - LATER == theirs["overall"].keys()
    for group, own in theirs["per_group"].items():
        ours = written["per_group"][group]
        assert ours.keys() - LATER == own.keys()
        if group == "push":  # an episode of it was not measured: theirs is a mean over the others
            assert (ours["pc_success"], own["pc_success"]) == (None, 100.0)
            own["pc_success"] = None
        assert {key: ours[key] for key in own} == own
    for key in ("avg_sum_reward", "avg_max_reward", "n_episodes", "video_paths"):
        assert written["overall"][key] == theirs["overall"][key]

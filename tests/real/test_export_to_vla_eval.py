"""The aggregate beside the one that vla-evaluation-harness makes of the same episodes, where it is installed.

It is asked in a process of its own, by the Python that `PYTHON` names, or in this one's environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pytest_arena.__main__ import main
from tests.real.exported_run import make_run

PYTHON = "PYTEST_ARENA_VLA_EVAL_PYTHON"

STORED = """
import json, sys
from pathlib import Path
from vla_eval.cli.smoke import _errored_episodes
from vla_eval.recording import RecordingStore
from vla_eval.results.export import export_db, print_export_summary

folder = Path(sys.argv[1])
ours = json.loads((folder / "gymnasium_aggregate.json").read_text())
store = RecordingStore(folder / "recording.sqlite")
about = {key: ours[key] for key in ("benchmark", "mode", "config", "harness_version", "metric_keys")}
store.upsert_eval_metadata(ours["eval_id"], "theirs", about)
store.set_shard_complete(ours["eval_id"], 0, 1, complete=not ours.get("partial"))
known = {"sid", "eid", "episode_id", "metrics", "steps", "elapsed_sec", "failure_reason", "failure_detail"}
for task in ours["tasks"]:
    for episode in task["episodes"]:
        store.upsert_episode_result(
            sid=episode["sid"],
            eid=episode["eid"],
            eval_id=ours["eval_id"],
            task_name=task["task"],
            episode_id=episode["episode_id"],
            status="error" if "failure_reason" in episode else "success",
            metrics=episode["metrics"],
            steps=episode["steps"],
            elapsed_sec=episode["elapsed_sec"],
            context={key: value for key, value in episode.items() if key not in known},
            jsonl_path="",
            failure_reason=episode.get("failure_reason"),
            failure_detail=episode.get("failure_detail"),
        )
store.close()
export_db(folder / "recording.sqlite", folder)
print_export_summary([ours])
print(json.dumps(_errored_episodes(ours)))
"""


def test_vla_eval_aggregates_the_same(tmp_path: Path) -> None:
    python = os.environ.get(PYTHON) or (sys.executable if find_spec("vla_eval") else None)
    if python is None:
        pytest.skip(f"needs vla-eval: {PYTHON} names a Python that has it")
    assert main(["export", make_run(tmp_path / "run"), "--to", "vla-eval", "--output", str(tmp_path)]) == 0
    asked = [python, "-c", STORED, str(tmp_path)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["lift: exception — RuntimeError: the simulator broke"]
    assert "1 errors" in done.stdout
    ours, theirs = (
        json.loads((tmp_path / f"{name}_aggregate.json").read_text()) for name in ("gymnasium", "theirs")
    )
    assert ours.pop("created_at") != theirs.pop("created_at")
    assert ours == theirs
    assert [*ours["tasks"][0]] == [*theirs["tasks"][0]]

"""``python -m pytest_arena compare`` over runs of pytest: two, three, and two jobs of one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.integration.conftest import Suite
from tests.integration.test_baselines import SKILLED

FILMED = {"environment": {**SKILLED["environment"], "cameras": {"render": {}}}, "record": {"video": "on"}}


def command(suite: Suite, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest_arena", "compare", *map(str, arguments)],
        cwd=suite.path,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_three_runs_with_films(suite: Suite) -> None:
    jobs = {
        "reach": {"rollout": {"episodes": 20}, **FILMED},
        "push": {},
        "bad": {"policy": {"type": "tests.registered:Skill", "level": 0.2}},
    }
    suite.jobs(jobs, **SKILLED)
    suite.test()
    runs = []
    for level in (0.95, 0.2, 0.9):
        skill = [f"--arena-set={job}:policy.level={level}" for job in ("reach", "push")]
        suite.run("-k", "reach or push or bad", *skill)
        runs.append(suite.run_dir.relative_to(suite.path))

    two = command(suite, *runs[:2], "--html", "arena-results/two.html")
    assert (two.returncode, two.stderr) == (1, "")
    assert "differs: policy.level: 0.95 | 0.2 (in reach, push)\n" in two.stdout
    page = Path(suite.path, "arena-results", "two.html")
    films = re.findall(r'<video [^>]*src="([^"]+)"', page.read_text())
    lost = json.loads(command(suite, *runs[:2], "--json").stdout)["comparisons"]["reach"]["lost"]
    assert len(films) == 2 * min(len(lost), 12) > 0
    assert all((page.parent / film).is_file() for film in films)
    assert f"{runs[0].name}/index.html" in page.read_text()

    three = command(suite, *runs, "--html", "arena-results/three.html", "--json")
    assert (three.returncode, three.stderr) == (0, "")
    told = json.loads(three.stdout)
    letters = {run["run"]: run["letters"] for run in told["rankings"]["push"]["runs"]}
    assert letters == {"A": ["a"], "B": ["b"], "C": ["a"]}
    assert {run["letters"][0] for run in told["rankings"]["bad"]["runs"]} == {"a"}
    assert told["differences"][0]["key"] == "policy.level"
    assert told["differences"][0]["values"] == {"A": 0.95, "B": 0.2, "C": 0.9}

    jobs_of_one = command(suite, f"{runs[0]}:push", f"{runs[0]}:bad")
    assert (jobs_of_one.returncode, jobs_of_one.stderr) == (1, "")
    assert "push vs bad: success_rate, regression; worse (" in jobs_of_one.stdout
    mistake = command(suite, f"{runs[0]}:psuh", runs[1])
    assert (mistake.returncode, mistake.stdout) == (4, "")
    assert "has no job 'psuh' (did you mean 'push'?)" in mistake.stderr
    assert mistake.stderr.count("\n") == 1

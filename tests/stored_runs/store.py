"""Store the runs of a released version, for tests of what later versions make of them.

``python -m tests.stored_runs.store VERSION`` runs ``jobs.yaml`` by the version that is checked out, twice: some
of its jobs as a baseline, and all of them in a process that is killed in the middle of one. Both run
directories are put into the folder VERSION beside this file, without what is large or tells of the machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.inner import inner_environment

FOLDER = Path(__file__).parent
FINISHED_BEFORE_THE_KILL = 3 + 1 + 20 + 4 + 4 + 2 + 2
"""Lines of episodes of all jobs, in their order: 2 of the one that is interrupted."""
SCRUBBED = {
    "node": "machine",
    "host": "machine",
    "system": "Linux",
    "processor": "x86_64",
    "cores": 2,
    "gpus": [],
    "revision": None,
}
"""Key of ``run.json`` or of a record, at any depth -> what is stored in its place."""


def run_pytest(folder: Path, *options: str, **variables: str) -> int:
    """Run the jobs in *folder*; returns the exit status, negative for a signal."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--arena-jobs", "jobs.yaml"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {**inner_environment(), **variables}
    return subprocess.run([*command, *options], cwd=folder, env=environment, **quiet).returncode  # type: ignore[call-overload, no-any-return]


def interrupt(folder: Path) -> Path:
    """Return a run directory whose job ``interrupted`` was killed after its second episode."""
    options = ("-p", "tests.killer", "--arena-output", "killed", "--arena-baseline", "baseline")
    status = run_pytest(folder, *options, KILL_AFTER=str(FINISHED_BEFORE_THE_KILL))
    assert status == -signal.SIGKILL, f"expected a process that was killed, got status {status}"
    (run,) = (folder / "killed").glob("2*")
    lines = (run / "interrupted" / "episodes.jsonl").read_text().splitlines()
    assert len(lines) == 2, f"expected 2 finished episodes of the interrupted job, got {len(lines)}"
    return run


def scrub(text: str, folder: Path, indent: int | None) -> str:
    """Return the JSON *text* without paths and names of this machine."""
    text = text.replace(str(folder), "/runs")
    packages = Path(pytest.__file__).parents[1]
    for prefix in (packages, FOLDER.parents[1], sys.prefix, sys.base_prefix):
        text = text.replace(str(prefix), "/python")
    data = json.loads(text)

    def inside(value: object) -> object:
        if isinstance(value, dict):
            return {key: SCRUBBED[key] if key in SCRUBBED else inside(item) for key, item in value.items()}
        return [inside(item) for item in value] if isinstance(value, list) else value

    return json.dumps(inside(data), indent=indent)


def store(run: Path, target: Path, folder: Path) -> None:
    """Copy *run* to *target*, scrubbed."""
    ignored = shutil.ignore_patterns(".lock*", "index.html", "report.json")
    shutil.copytree(run, target, ignore=ignored)
    for path in [*target.rglob("*.json"), *target.rglob("*.jsonl")]:
        whole = path.suffix == ".json"
        texts = [path.read_text()] if whole else path.read_text().splitlines()
        path.write_text("".join(scrub(text, folder, 2 if whole else None) + "\n" for text in texts))
    left = [
        path
        for path in target.rglob("*")
        if path.is_file() and re.search(rb"/tmp|/root|/home|/opt", path.read_bytes())
    ]
    assert not left, f"these name places of this machine: {left}"


def main(version: str) -> None:
    """Make both runs."""
    target = FOLDER / version
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(FOLDER / "jobs.yaml", folder)
        assert run_pytest(folder, "--arena-output", "whole", "-k", "gated or compared") in (0, 1)
        os.replace(next((folder / "whole").glob("2*")), folder / "baseline")
        store(folder / "baseline", target / "baseline", folder)
        store(interrupt(folder), target / "interrupted", folder)
        shutil.copy(FOLDER / "jobs.yaml", target)


if __name__ == "__main__":
    main(sys.argv[1])

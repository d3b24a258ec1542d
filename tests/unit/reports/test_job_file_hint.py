"""Which arguments are taken for job files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_arena.reports.job_file_hint import hints


def asked(folder: Path, *args: str, collected: tuple[Path, ...] = ()) -> list[str]:
    config: Any = SimpleNamespace(args=list(args), invocation_params=SimpleNamespace(dir=folder))
    return hints(config, collected)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("jobs.yaml", "# evals\ndefaults: {}\njobs:\n  a: {}\n"),
        ("jobs.YML", "shared: {}\nruns: []\n"),
        ("droid.json", '{"jobs": [{"name": "a"}]}'),
        ("droid.json", '{\n  "jobs": [\n'),
    ],
)
def test_job_files_are_named_with_the_option(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    line = f"{name} looks like a job file: pytest --arena-jobs {name} evaluates its jobs"
    assert asked(tmp_path, name, f"{name}::rollout[a]", "tests") == [line]
    assert asked(tmp_path, name, collected=(tmp_path / name,)) == []


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("test_api.tavern.yaml", b"test_name: get\nstages:\n  - name: jobs\n"),
        ("jobs.txt", b"jobs: {}\n"),
        ("binary.yaml", bytes(range(256))),
        ("empty.yaml", b""),
    ],
)
def test_other_files_are_none_of_ours(tmp_path: Path, name: str, raw: bytes) -> None:
    (tmp_path / name).write_bytes(raw)
    (tmp_path / "folder.yaml").mkdir()
    assert asked(tmp_path, name, "missing.yaml", "folder.yaml", "nul\0.yaml") == []

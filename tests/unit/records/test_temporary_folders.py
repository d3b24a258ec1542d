"""Scratch folders: those of processes that were killed go, those that are in use stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pytest_arena.records.temporary_folders import remove_scratch, scratch_folder

pytestmark = pytest.mark.process

HOLDS = """
from pytest_arena.records.temporary_folders import scratch_folder
print(scratch_folder(), flush=True)
input()
"""


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    foreign = tmp_path / "pytest-arena-foreign"
    foreign.mkdir()  # without our file in it
    mine = scratch_folder()
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        another = scratch_folder()
        assert sorted(tmp_path.iterdir()) == sorted([foreign, mine, theirs, another])
        process.send_signal(signal.SIGKILL)
    last = scratch_folder()
    assert sorted(tmp_path.iterdir()) == sorted([foreign, mine, another, last])
    for folder in (mine, another, last, last):
        remove_scratch(folder)
    assert list(tmp_path.iterdir()) == [foreign]

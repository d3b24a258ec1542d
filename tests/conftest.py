"""What all tests share."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.lacking import lacking

pytest_plugins = ["pytester"]

if find_spec("hypothesis") is not None:  # the environments of real simulators have none
    from hypothesis import settings

    # On a busy machine any example may take its time: speed belongs to benchmarks.
    settings.register_profile("no deadline", deadline=None)
    settings.load_profile("no deadline")


TIERS = {"fast", "process", "statistics", "stand_in", "real"}
TIER_OF = {"unit": "fast", "integration": "process", "real": "real"}
"""Folder below ``tests/`` -> the tier of its tests that have no marker of another one."""
HERE = Path(__file__).parent

_started: list[str] = []
"""What this process has started: forks, and processes of Python."""


def _note_started(event: str, args: tuple[Any, ...]) -> None:
    """An audit hook, which Python calls before each of these events. Small tools such as git may be run."""
    if event in ("os.fork", "os.posix_spawn") or (event == "subprocess.Popen" and args[0] == sys.executable):
        _started.append(event)


sys.addaudithook(_note_started)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test its tier. Refuse ids with an address in them: every worker must collect the same."""
    if moving := [item.nodeid for item in items if re.search(r"0x[0-9a-f]{4}", item.nodeid)]:
        raise pytest.UsageError("ids that differ from process to process", *moving)
    for item in items:
        if not item.path.is_relative_to(HERE):
            continue
        folder = item.path.relative_to(HERE).parts[0]
        tiers = TIERS & {mark.name for mark in item.iter_markers()} or {TIER_OF.get(folder, "")}
        if len(tiers) > 1 or "" in tiers:
            raise pytest.UsageError(f"{item.nodeid}: expected one tier, found {sorted(tiers)}")
        item.add_marker(tiers.pop())


@pytest.fixture(autouse=True)
def fast_tests_start_no_process(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests of the tier ``fast`` fail if they start a process of Python."""
    before = len(_started)
    yield
    if request.node.get_closest_marker("fast") and _started[before:]:
        pytest.fail(f"a process was started ({_started[-1]}): mark the test `process`", pytrace=False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2500 KiB: 1.4 MiB beside what is left to the results."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2500k", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if made.returncode:
        lacking(f"a small disk cannot be mounted: {made.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)

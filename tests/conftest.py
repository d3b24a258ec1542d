"""What all tests share."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.lacking import lacking

pytest_plugins = ["pytester"]

if find_spec("hypothesis") is not None:  # the environments of real simulators have none
    from hypothesis import settings

    # On a busy machine any example may take its time: speed belongs to benchmarks.
    settings.register_profile("no deadline", deadline=None)
    settings.load_profile("no deadline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse ids with an address in them: every worker must collect the same."""
    if moving := [item.nodeid for item in items if re.search(r"0x[0-9a-f]{4}", item.nodeid)]:
        raise pytest.UsageError("ids that differ from process to process", *moving)


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

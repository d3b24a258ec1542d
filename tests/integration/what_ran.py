"""What ran where, written down by the workers themselves, also if one dies of it."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.conftest import Folder

LOGGED = """
import json, os

NAMES = ("CUDA_VISIBLE_DEVICES", "PYTEST_ARENA_GPU", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
AT_IMPORT = {name: os.environ.get(name) for name in NAMES}

def pytest_runtest_protocol(item, nextitem):
    line = {"item": item.nodeid, "worker": os.environ.get("PYTEST_XDIST_WORKER"), "pid": os.getpid(), **AT_IMPORT}
    with open("ran.jsonl", "a") as file:
        file.write(json.dumps(line) + "\\n")
"""
"""A conftest.py."""


def ran(folder: Folder) -> list[dict[str, Any]]:
    """Return a line an item that was begun, in order."""
    return [json.loads(line) for line in (folder.path / "ran.jsonl").read_text().splitlines()]

"""Job files that were given like tests, which pytest does not collect, and how they are given."""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path

import pytest

_SUFFIXES = (".yaml", ".yml", ".json")
_READ = 65_536
"""Characters: the keys of a job file that tell it from other files stand at its beginning."""
_JOBS = re.compile(r"""^\s*\{?\s*["']?(jobs|runs|defaults|shared)["']?\s*:""", re.MULTILINE)


def hints(config: pytest.Config, collected: Container[Path]) -> list[str]:
    """Return a line for each job file among the arguments, other than those that were *collected*."""
    files = dict.fromkeys(str(arg).partition("::")[0] for arg in config.args)
    return [
        f"{file} looks like a job file: pytest --arena-jobs {file} evaluates its jobs"
        for file in files
        if _is_job_file(path := Path(config.invocation_params.dir, file)) and path.resolve() not in collected
    ]


def _is_job_file(path: Path) -> bool:
    if path.suffix.lower() not in _SUFFIXES:
        return False
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return _JOBS.search(file.read(_READ)) is not None
    except (OSError, ValueError):
        return False

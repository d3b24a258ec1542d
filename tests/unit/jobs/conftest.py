from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pytest_arena import Job, load_jobs
from pytest_arena.jobs.overrides import parse_override

Load = Callable[..., list[Job]]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Write a text to a file in the working directory and load it."""
    monkeypatch.chdir(tmp_path)

    def load_text(text: str, name: str = "jobs.yaml", overrides: Sequence[str] = ()) -> list[Job]:
        Path(name).write_text(text, encoding="utf-8")
        return load_jobs(Path(name), [parse_override(override) for override in overrides])

    return load_text

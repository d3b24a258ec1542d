"""The stand-in of IsaacLab-Arena in ``tests/stand_ins/arena``, imported in this process and forgotten again."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from pytest_arena import Job
from pytest_arena.simulators.isaaclab.app import App
from pytest_arena.simulators.isaaclab_arena import build, simulator
from tests.jobs import make_job

PATH = Path(__file__).parent / "stand_ins" / "arena"
GENERATIONS = ("0.2.0", "0.3.0", "0.3.1")
PACKAGES = ("isaaclab", "isaaclab_arena", "isaaclab_arena_environments", "omni")


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
        del sys.modules[name]


@contextmanager
def stand_in(generation: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give the stand-in's ``isaaclab``: its ``LOG`` has what was done to it. It needs torch."""
    pytest.importorskip("torch")
    monkeypatch.setenv("ARENA_STAND_IN", generation)
    monkeypatch.syspath_prepend(PATH)
    monkeypatch.setattr(simulator, "APP", App())
    monkeypatch.setattr(build, "_IMPORTED", set())
    monkeypatch.setattr(gc, "collect", lambda: 0)  # slow where torch is loaded; every environment does it
    registered = dict(gymnasium.registry)
    _forget()
    try:
        yield importlib.import_module("isaaclab")
    finally:
        _forget()
        gymnasium.registry.clear()
        gymnasium.registry.update(registered)


def arena_job(name: str = "job", /, args: Any = None, **changes: Any) -> Job:
    """Return a job in the environment that counts; *args* are its arguments, other *changes* are top-level keys."""
    environment = changes.pop("environment", {})
    options = {"args": args or {}, **environment.get("options", {})}
    data = {
        "simulator": "isaaclab_arena",
        "environment": {"id": "counting", "num_envs": 4, "device": "cpu", **environment, "options": options},
        "rollout": {"episodes": 8},
    }
    return make_job(name, **{**data, **changes})

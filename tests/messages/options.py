"""Options of the command line, and their ini twins, that must be refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

from pytest_arena.parallel import gpus


def refuse(ask: Callable[[Any], object], name: str, given: str) -> None:
    """Ask for an option with two devices visible, 4 and GPU-aa."""
    defaults = {"arena_gpus": "", "arena_workers_per_gpu": "1", "arena_launcher": ""}
    config = SimpleNamespace(
        getoption=lambda key, default=None: given if key == name else default,
        getini=lambda key: defaults[key],
    )
    with mock.patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": "4,GPU-aa"}):
        ask(config)


MISTAKES: dict[str, Callable[[], object]] = {
    "--arena-gpus 4,0": partial(refuse, gpus.devices_of, "arena_gpus", "4,0"),
    "--arena-gpus cuda:0": partial(refuse, gpus.devices_of, "arena_gpus", "cuda:0"),
    **{
        f"--arena-workers-per-gpu {text}": partial(
            refuse, gpus.workers_per_gpu, "arena_workers_per_gpu", text
        )
        for text in ("0", "-1", "two", "1.5")
    },
}

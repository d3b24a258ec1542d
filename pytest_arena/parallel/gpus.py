"""One of the caller's GPUs a worker, and a fair share of the cores.

All of it is set in the environment of the worker before anything is imported there. A replacement of a worker
that died is started with the same environment, so it has the same GPU. Used in every xdist session: imports
the standard library only.
"""

from __future__ import annotations

import fnmatch
import itertools
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_arena.options import launcher
from pytest_arena.reports.pytest_reporter import write_line
from pytest_arena.simulators.devices import MASK, POSITION, UNMASKED

if TYPE_CHECKING:
    from execnet import XSpec

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "LP_NUM_THREADS",  # llvmpipe: rendering without a GPU
    "PXR_WORK_THREAD_LIMIT",  # USD
)
_DEVICE = re.compile(r"\d+|GPU-[\w-]+|MIG-[\w/-]+", re.ASCII)
_MARKED = re.compile(rb"\bmark\.arena\b")
SEARCHED = 2000
"""Test files that are searched for the marker at most, and folders for test files."""


def pin(config: pytest.Config, specs: Sequence[XSpec]) -> None:
    """Give each worker that is about to start a device and its share of the cores, in an arena session."""
    if not asks_for_evaluations(config):
        return
    here = [spec for spec in specs if spec.popen and not spec.via]
    if launcher(config) is None:
        share = str(max(1, _cores() // max(1, len(specs))))
        for spec in here:
            spec.env.update({name: share for name in THREADS if name not in os.environ | spec.env})
    devices = devices_of(config)
    if not devices:
        return
    own = [str(spec.env[MASK]) if MASK in spec.env else None for spec in here]
    for spec, device in zip(here, assign(devices, own), strict=True):
        spec.env[MASK] = device
        if launcher(config) is None:  # behind one, this machine's mask is not the workers'
            spec.env[UNMASKED] = os.environ.get(MASK, "")
        if device in devices:
            spec.env.setdefault(POSITION, str(devices.index(device)))
    _warn_of_crowding(config, devices, Counter(str(spec.env[MASK]) for spec in here))


def auto_workers(config: pytest.Config) -> int | None:
    """Return how many workers ``-n auto`` starts; None leaves it to xdist."""
    if config.option.numprocesses != "auto" or os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None
    if not asks_for_evaluations(config):
        return None
    return len(devices_of(config)) * workers_per_gpu(config) or None


def devices_of(config: pytest.Config) -> list[str]:
    """Return the devices to share out, named as the caller names them; empty if there are none.

    Behind a launcher only those that were asked for: this machine's are not the workers'.
    """
    asked = _asked_for(config)
    if launcher(config) is not None:
        return asked or []
    visible = visible_devices(os.environ)
    if asked is None:
        return visible if visible is not None else _all_devices()
    hidden = [device for device in asked if visible is not None and device not in visible]
    if hidden:
        raise pytest.UsageError(
            f"--arena-gpus {','.join(asked)}: {MASK}={os.environ[MASK]!r} does not make {hidden[0]} visible; "
            "name devices as it does"
        )
    return asked


def visible_devices(environ: Mapping[str, str]) -> list[str] | None:
    """Return the devices of ``CUDA_VISIBLE_DEVICES``; None if it is not set.

    As in CUDA, what is not a device ends the list: ``-1`` and an empty text mean none.
    """
    if MASK not in environ:
        return None
    names = (name.strip() for name in environ[MASK].split(","))
    return list(dict.fromkeys(itertools.takewhile(_DEVICE.fullmatch, names)))


def assign(devices: Sequence[str], own: Sequence[str | None]) -> list[str]:
    """Return a device a worker: its *own* if it brings one, else the one that the fewest have, in turn."""
    taken = Counter(device for device in own if device is not None)
    assigned = []
    for device in own:
        if device is None:
            device = min(devices, key=lambda name: taken[name])
            taken[device] += 1
        assigned.append(device)
    return assigned


def workers_per_gpu(config: pytest.Config) -> int:
    """Return how many workers may share a device."""
    given = config.getoption("arena_workers_per_gpu")
    text = str(given if given is not None else config.getini("arena_workers_per_gpu"))
    if not text.isdecimal() or int(text) < 1:
        raise pytest.UsageError(f"--arena-workers-per-gpu: expected a number of at least 1, got {text!r}")
    return int(text)


def asks_for_evaluations(config: pytest.Config) -> bool:
    """Whether arena options were given, or a test file below the arguments has the marker.

    The controller does not collect, and workers need their devices before they do: so files are searched.
    """
    options = ("arena_jobs", "arena_resume", "arena_gpus", "arena_workers_per_gpu")
    if any(config.getoption(name, None) is not None for name in options) or config.getini("arena_jobs"):
        return True
    return any(_has_marker(path) for path in itertools.islice(_test_files(config), SEARCHED))


def _asked_for(config: pytest.Config) -> list[str] | None:
    """Return the devices of ``--arena-gpus``; None if it was not given."""
    given: str | None = config.getoption("arena_gpus")
    if given is None:
        given = config.getini("arena_gpus") or None
    if given is None:
        return None
    names = list(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))
    for name in names:
        if not _DEVICE.fullmatch(name):
            raise pytest.UsageError(
                f"--arena-gpus: expected indices, GPU-… or MIG-… names with commas between, got {name!r}"
            )
    return names


def _all_devices() -> list[str]:
    """Return the indices of this machine's devices; nothing is imported that could occupy one."""
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip().isdecimal()]


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def _warn_of_crowding(config: pytest.Config, devices: Sequence[str], taken: Counter[str]) -> None:
    most, allowed = max((taken[device] for device in devices), default=0), workers_per_gpu(config)
    if most > allowed:
        write_line(
            config,
            f"arena: more workers than GPUs: {most} share one, --arena-workers-per-gpu is {allowed} "
            f"(GPUs: {', '.join(devices)})",
            yellow=True,
        )


def _test_files(config: pytest.Config) -> Iterator[Path]:
    """Yield the files below pytest's arguments that pytest would take for test files."""
    patterns = config.getini("python_files")
    skipped = config.getini("norecursedirs")
    for argument in config.args:
        start = Path(config.invocation_params.dir, argument.partition("::")[0])
        if start.is_file():
            yield start
        for folder, folders, files in itertools.islice(os.walk(start), SEARCHED):
            folders[:] = sorted(
                name
                for name in folders
                if not any(fnmatch.fnmatch(name, pattern) for pattern in skipped)
                and not Path(folder, name, "pyvenv.cfg").exists()
            )
            for name in sorted(files):
                if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                    yield Path(folder, name)


def _has_marker(path: Path) -> bool:
    try:
        return _MARKED.search(path.read_bytes()) is not None
    except OSError:
        return False

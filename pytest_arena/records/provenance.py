"""Where numbers came from: versions, source revision, machine. Nothing is imported to find out."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "pytest-arena",
    "pytest",
    "numpy",
    "gymnasium",
    "metaworld",
    "mujoco",
    "torch",
    "isaacsim",
    "isaaclab",
    "isaaclab_tasks",
    "isaaclab_newton",
    "isaaclab_physx",
    "isaaclab_ov",
    "isaaclab_arena",
    "newton",
    "warp-lang",
    "mujoco-warp",
    "mjlab",
    "lerobot",
    "av",
)


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that bear on results."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def host() -> str:
    """Return the name of the machine that this process runs on; Slurm's name of it on a cluster."""
    return os.environ.get("SLURMD_NODENAME") or platform.node()


def machine() -> dict[str, Any]:
    """Return the machine's name, system, processor, cores and GPUs."""
    return {
        "node": platform.node(),
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "gpus": _lines("nvidia-smi", "--query-gpu=name,uuid,memory.total", "--format=csv,noheader"),
    }


def source_revision(folder: Path) -> dict[str, Any] | None:
    """Return the git commit of *folder* and the SHA-256 of what differs from it; None outside a repository.

    ``dirty`` tells whether anything differs, ``changes`` one difference from another.
    """
    commit = _lines("git", "-C", str(folder), "rev-parse", "HEAD")
    if not commit:
        return None
    changes = _lines("git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no")
    found: dict[str, Any] = {"commit": commit[0], "dirty": bool(changes)}
    if changes:
        difference = _lines("git", "-C", str(folder), "diff", "--no-ext-diff", "--no-textconv", "HEAD")
        found["changes"] = sha256("\n".join(difference).encode()).hexdigest()
    return found


def _lines(*command: str) -> list[str]:
    """Return the output lines of *command*; none where it is missing, slow or fails."""
    if shutil.which(command[0]) is None:
        return []
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=10, check=True
        )
    except (subprocess.SubprocessError, OSError):
        return []
    return [line for line in done.stdout.splitlines() if line.strip()]

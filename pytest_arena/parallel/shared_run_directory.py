"""One run directory for the controller and all its workers.

The controller cannot know whether there are arena jobs until a worker has collected, so this module is used
in every xdist session: it imports the standard library only.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pytest_arena.options import asked_by, is_worker, settings
from pytest_arena.records.lock import hold_as_session, hold_as_worker, remove_unused_locks
from pytest_arena.records.run_directory import RunDirectory

UNWRITABLE = int(pytest.ExitCode.INTERNAL_ERROR)
"""The exit status where results cannot be written."""
_RESERVED = pytest.StashKey[RunDirectory]()


def share_with_worker(node: Any) -> None:
    """Give a worker that is about to start the run's directory and the command that the user typed."""
    config: pytest.Config = node.config
    if _RESERVED not in config.stash:
        config.stash[_RESERVED] = run_directory(config)
    if settings(config).launcher is not None:
        from pytest_arena.parallel.launch.launcher import require_shared

        require_shared(node, config.stash[_RESERVED])
    node.workerinput["arena_run_dir"] = str(config.stash[_RESERVED].path)
    if settings(config).job_files:
        node.workerinput["arena_args"] = list(config.args)
    # Resolved once: `latest` leads to this run as soon as the first worker has begun it.
    for key in ("resume", "baseline"):
        path = getattr(settings(config), key)
        node.workerinput[f"arena_{key}"] = None if path is None else str(path)
    node.workerinput["arena_command"] = command(config)
    node.workerinput["arena_typed"] = arguments(config)


def run_directory(config: pytest.Config) -> RunDirectory:
    """Return a new run directory, or the one to go on with."""
    resumed, output = settings(config).resume, settings(config).output
    if resumed is not None:  # it is held since it was checked
        return RunDirectory(resumed)
    asked = asked_by(config, "arena_output")
    try:
        directory = RunDirectory.create(output)
    except OSError as error:
        reason = str(error.strerror)
        if isinstance(error, FileExistsError):
            reason = f"this is {'a link that leads nowhere' if output.is_symlink() else 'a file'}"
        raise pytest.UsageError(f"{asked} {output}: cannot make a run directory there: {reason}") from None
    try:
        directory.require_writable()
    except OSError as error:
        directory.path.rmdir()
        # As for results that cannot be written at the end; nothing is simulated only to be lost.
        pytest.exit(f"{asked} {output}: results could not be written: {error.strerror}", UNWRITABLE)
    with contextlib.suppress(OSError):  # a full disk: what follows says so
        hold(config, directory.path)
    return directory


def hold(config: pytest.Config, run: Path) -> None:
    """Be the one session that works in the directory *run*, to its end; raises `RunInUseError`, OSError."""
    config.add_cleanup(hold_as_session(run).release)


def hold_in_worker(config: pytest.Config, directory: RunDirectory) -> None:
    """Hold the run's directory: if the controller dies, a session that resumes the run sees this worker."""
    with contextlib.suppress(OSError):
        config.add_cleanup(hold_as_worker(directory.path).release)


def shared_directory(config: pytest.Config) -> RunDirectory | None:
    """Return the directory that controller and workers share; None without xdist."""
    if is_worker(config):
        return RunDirectory(Path(config.workerinput["arena_run_dir"]))  # type: ignore[attr-defined]
    return config.stash.get(_RESERVED, None)


def command(config: pytest.Config) -> list[str]:
    """Return what the user typed."""
    if is_worker(config):
        typed: list[str] = config.workerinput["arena_command"]  # type: ignore[attr-defined]
        return typed
    return [str(arg) for arg in sys.argv]


def arguments(config: pytest.Config) -> list[str]:
    """Return what pytest was given beside paths: its options and their values."""
    if is_worker(config):
        typed: list[str] = config.workerinput["arena_typed"]  # type: ignore[attr-defined]
        return typed
    paths = Counter(map(str, config.getoption("file_or_dir") or ()))
    found = []
    for arg in map(str, config.invocation_params.args):
        if paths[arg]:
            paths[arg] -= 1
        elif arg != "--" and not arg.startswith("@"):  # a file of further arguments
            found.append(arg)
    return found


def directory_with_jobs(config: pytest.Config) -> RunDirectory | None:
    """Return the run's directory if a worker has found jobs, and so has written the manifest."""
    directory = config.stash.get(_RESERVED, None)
    return directory if directory is not None and directory.manifest_path.exists() else None


def drop_unused(config: pytest.Config) -> None:
    """Remove a directory that turned out not to be needed; anything in it stays."""
    directory = config.stash.get(_RESERVED, None)
    if directory is not None:
        with contextlib.suppress(OSError):  # not empty: a run used it
            remove_unused_locks(directory.path)
            directory.path.rmdir()
            directory.path.parent.rmdir()

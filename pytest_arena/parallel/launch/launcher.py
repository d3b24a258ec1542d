"""``--arena-launcher "CMD"``: each xdist worker is started through CMD, over its standard input and output.

xdist can only start interpreters, so it is given a command line in the place of one: `relay`, which runs CMD
with the same Python and `bootstrap` on the far side.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import sys
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_arena.options import is_worker, launcher
from pytest_arena.parallel.launch import bootstrap, relay
from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.records.temporary_folders import remove_scratch, scratch_folder

DEADLINE = 120.0
"""Seconds that a worker has to answer."""
DEADLINE_VARIABLE = "PYTEST_ARENA_LAUNCH_TIMEOUT"

FLAGS = {
    "srun": ("-u", "--unbuffered", "holds a worker's answer back"),
    "docker": ("-i", "--interactive", "closes a worker's standard input"),
    "podman": ("-i", "--interactive", "closes a worker's standard input"),
    "kubectl": ("-i", "--stdin", "closes a worker's standard input"),
}
"""Launcher -> the flag it cannot do without, its long form, and what happens else."""

_SEES = """
import os, socket, time
path, token, tries = channel.receive()
seen = False
for attempt in range(tries):
    try:
        with open(path) as file:
            seen = file.read() == token
    except OSError:
        pass
    if seen or attempt + 1 == tries:
        break
    time.sleep(0.5)  # a network file system may take a moment to show a new file
channel.send((seen, socket.gethostname()))
"""
TRIES = 10


def prepare(config: pytest.Config) -> None:
    """Let xdist start its workers through the launcher; called between its reading of ``-n`` and its start.

    A launcher on the command line needs ``-n``; one in an ini file waits for it.
    """
    if is_worker(config):
        _keep_temporary_files_here(config)
        return
    command = launcher(config) or ""
    words = _words(command)
    count = config.getoption("numprocesses", None)
    if count is None and config.option.arena_launcher is not None:
        raise pytest.UsageError(f"--arena-launcher {command!r}: say how many workers to start, e.g. -n 4")
    if not count:  # -n 0 asks for no workers
        return
    config.option.arena_launcher = command
    folder = scratch_folder()
    config.add_cleanup(lambda: remove_scratch(folder))
    launch_file = folder / "launch.json"
    launch_file.write_text(
        json.dumps(
            {
                "launcher": words,
                "worker": [sys.executable, "-u", bootstrap.__file__],
                "deadline": _deadline(),
                "directory": os.getcwd(),
                "ready": bootstrap.READY,
            }
        ),
        encoding="utf-8",
    )
    python = shlex.join([sys.executable, "-I", "-S", relay.__file__, str(launch_file)])
    config.option.tx = [f"popen//python={python} {number}" for number in range(len(config.option.tx))]
    config.pluginmanager.register(Launches(words, folder), "arena_launches")


class Launches:
    """Turns what xdist makes of a worker that does not start into an error for the user."""

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        self._words, self._folder = words, folder

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionstart(self) -> Generator[None]:
        """xdist starts its workers here."""
        yield from self._explained()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """xdist replaces dead workers here."""
        return (yield from self._explained())

    def _explained(self) -> Generator[None, Any, Any]:
        try:
            return (yield)
        except Exception as error:
            for path in sorted(self._folder.glob("failure-*.json")):
                failure = json.loads(path.read_text(encoding="utf-8"))
                raise pytest.UsageError(explanation(self._words, failure)) from error
            raise


def explanation(words: Sequence[str], failure: Mapping[str, Any]) -> str:
    """Return what went wrong with the launcher *words*, from the report that a relay left."""
    reason = failure["reason"]
    if reason == "not started":
        return f"--arena-launcher {shlex.join(words)!r} cannot be started: {failure['error']}"
    if reason == "timeout":
        what = f"no worker answered within {_deadline():g} s ({DEADLINE_VARIABLE}=SECONDS allows more)"
    elif failure.get("status") is None:
        what = "it closed its output before a worker answered"
    else:
        what = f"it ended with exit status {failure['status']} before a worker answered"
    lines = [f"--arena-launcher {shlex.join(words)!r}: {what}"]
    flag, long, harm = FLAGS.get(os.path.basename(words[0]), ("", "", ""))
    if flag and not _has_flag(words, flag, long):
        lines.append(f"{words[0]} {harm} without {flag}")
    for name, said in (("standard error", failure["stderr"]), ("standard output", failure["stdout"])):
        if said.strip():
            lines += [f"it printed on {name}:", *(f"  {line}" for line in said.strip().splitlines())]
    if len(lines) == 1:
        lines.append("it printed nothing; it must pass standard input and output on at once, unbuffered")
    return "\n".join(lines)


def require_shared(node: Any, directory: RunDirectory) -> None:
    """Refuse a launched worker that cannot see the run's *directory*: its results would be lost."""
    if not node.config.pluginmanager.hasplugin("arena_launches"):
        return
    mark, token = directory.path / f".shared-{node.gateway.id}", secrets.token_hex(8)
    mark.write_text(token)
    try:
        channel = node.gateway.remote_exec(_SEES)
        channel.send((str(mark), token, TRIES))
        seen, host = channel.receive()
        channel.waitclose()
    finally:
        mark.unlink(missing_ok=True)
    if not seen:
        raise pytest.UsageError(
            f"worker {node.gateway.id} on {host} does not see the run's directory {directory.path}: workers "
            "write their results there; give --arena-output a directory on a file system that all machines "
            "share, under the same path"
        )


def _keep_temporary_files_here(config: pytest.Config) -> None:
    """On another machine the controller's folder for ``tmp_path`` is missing: use this machine's own."""
    base = config.option.basetemp
    if base and not Path(base).parent.is_dir():
        config.option.basetemp = None


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise pytest.UsageError(f"--arena-launcher {command!r}: {error}") from None
    if not words:
        raise pytest.UsageError("--arena-launcher: expected a command, got none")
    if shutil.which(words[0]) is None:
        raise pytest.UsageError(f"--arena-launcher {command!r}: there is no executable {words[0]!r}")
    return words


def _deadline() -> float:
    given = os.environ.get(DEADLINE_VARIABLE)
    if not given:
        return DEADLINE
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise pytest.UsageError(f"{DEADLINE_VARIABLE}: expected seconds, got {given!r}")
    return seconds


def _has_flag(words: Sequence[str], short: str, long: str) -> bool:
    """Whether *words* hold a flag, also within joined short ones such as ``-it``."""
    letter = short[1]
    return any(
        word.split("=")[0] == long or (word[:1] == "-" and word[1:2] != "-" and letter in word[1:])
        for word in words[1:]
    )

"""The process that starts a policy server, and ends it as soon as no process of the run uses it any more.

It runs as a script and needs the standard library only. Locks say who uses the server: the kernel gives them
back when their process ends, also one that was killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

USERS, STATE, LOG = "users", "state.json", "server.log"
"""Files in the server's folder: what its users lock, what is known of it, and its output."""
POLL_SECONDS = 0.1
GRACE_SECONDS = 10.0
"""Between the request to end and the end by force."""
_LIBC = ctypes.CDLL(None)
_SET_CHILD_SUBREAPER, _SET_PARENT_DEATH_SIGNAL = 36, 1
"""Of Linux's ``prctl``."""


class Lock:
    """A lock on a file, which children that are forked do not hold."""

    def __init__(self, path: Path) -> None:
        """Open the file, and lock nothing yet."""
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def share(self) -> None:
        """Hold it with others."""
        fcntl.lockf(self._open(), fcntl.LOCK_SH)

    def wait(self) -> None:
        """Hold it alone, as soon as nobody else does."""
        fcntl.lockf(self._open(), fcntl.LOCK_EX)

    def take(self) -> bool:
        """Hold it alone, if nobody else does; returns whether it is so."""
        try:
            fcntl.lockf(self._open(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def leave(self) -> bool:
        """Give it back; returns whether nobody else held it."""
        if self._descriptor is None:
            return False
        alone = self.take()
        self.release()
        return alone

    def release(self) -> None:
        """Give it back; calling it twice is harmless."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _open(self) -> int:
        assert self._descriptor is not None, "it has not been released"
        return self._descriptor


def guard(folder: Path, command: str, grace: float) -> None:
    """Run a server until it ends or nobody uses it any more.

    Args:
        folder: Has the lock `USERS`; gets its output, `LOG`, and in `STATE` the status that it ended with.
        command: Of the shell.
        grace: Seconds between the request to end and the end by force.
    """
    users = Lock(folder / USERS)
    with (folder / LOG).open("wb") as log:
        server = subprocess.Popen(
            command,
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    while server.poll() is None and not users.take():
        time.sleep(POLL_SECONDS)
    _end(server, grace)
    state = json.loads((folder / STATE).read_text())
    draft = folder / f"{STATE}.tmp"
    draft.write_text(json.dumps({**state, "status": server.returncode}))
    draft.replace(folder / STATE)


def _end(server: subprocess.Popen[bytes], grace: float) -> None:
    """End the server and what it has started: first ask, then kill."""
    until = time.monotonic() + grace
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
        while _group_lives(server) and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def _group_lives(server: subprocess.Popen[bytes]) -> bool:
    """Whether a process of the server's group runs; a dead one counts until it is waited for."""
    if server.poll() is not None:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-server.pid, os.WNOHANG)[0]:
                pass
    try:
        os.killpg(server.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _adopt_orphans() -> None:
    """Become the parent of what the server leaves behind: nobody else may wait for it, as in a container."""
    _LIBC.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _die_with_parent() -> None:
    """Let the server be killed should this process be: then nobody is left to end it."""
    _LIBC.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        # Not ignored: what is ignored here the server would ignore, too.
        signal.signal(number, lambda *_: None)
    _adopt_orphans()
    guard(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))

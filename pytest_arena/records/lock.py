"""Who works in a run directory: one session, and the workers that it has started.

Locks are the kernel's: they go with the process that holds them, however it ends. This module is imported in
every xdist session: it needs the standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from pathlib import Path

SESSION, WORKERS = ".lock", ".lock-workers"
"""Files in a run directory: a session locks the first for itself, its workers share the second."""
SECONDS_TO_END = 20.0
"""How long the workers of a session that was killed may take until they have noticed it."""


class RunInUseError(Exception):
    """Another session, or a worker of one, works in the run directory."""


class RunLock:
    """Held by a process until it ends or calls `release`; its children do not hold it."""

    def __init__(self, run: Path, name: str) -> None:
        """Open the file *name* of the directory *run*; OSError where it cannot be made or is no file."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._descriptor: int | None = os.open(run / name, flags, 0o666)
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            self.release()
            raise OSError(errno.EINVAL, f"expected a file, {name} is none")
        os.register_at_fork(after_in_child=self.release)

    def take(self, *, shared: bool = False) -> bool:
        """Take the lock; returns whether it is ours.

        It is, too, where the file system knows no locks: nothing can be found out there.
        """
        assert self._descriptor is not None, "it has not been released"
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        for lock in (fcntl.flock, fcntl.lockf):  # some file systems know the one, some the other
            try:
                lock(self._descriptor, kind | fcntl.LOCK_NB)
                return True
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    return False
        return True

    def release(self) -> None:
        """Give the lock back; calling it twice is harmless."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def hold_as_session(run: Path) -> RunLock:
    """Become the session that works in *run*; raises `RunInUseError`, OSError.

    Workers of a session that was killed write for a moment more: they are waited for.
    """
    lock = RunLock(run, SESSION)
    if not lock.take():
        lock.release()
        raise RunInUseError("another session is going on with this run")
    workers, until = RunLock(run, WORKERS), time.monotonic() + SECONDS_TO_END
    try:
        while not workers.take():
            if time.monotonic() > until:
                lock.release()
                raise RunInUseError("a worker of another session still runs in this run")
            time.sleep(0.1)
    finally:
        workers.release()
    return lock


def hold_as_worker(run: Path) -> RunLock:
    """Tell sessions to come that this process writes in *run*; OSError where there can be no such file."""
    lock = RunLock(run, WORKERS)
    lock.take(shared=True)
    return lock


def remove_unused_locks(run: Path) -> None:
    """Remove the files from the directory *run*, if there is nothing else in it; OSError where that fails."""
    names = {path.name for path in run.iterdir()}
    for name in names if names <= {SESSION, WORKERS} else ():
        (run / name).unlink()

"""A server that is started with the run and ended with it: ``serve`` in a job file."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import http.client
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from pytest_arena.errors import EvaluationError
from pytest_arena.jobs.sections import StrictModel
from pytest_arena.policies.servers import serve_guard

POLL_SECONDS = 0.1
ANSWER_SECONDS = 5.0
"""How long the answer about a server's health may take."""
BYTES_READ = 8192
LINES_SHOWN = 20
"""Of a server's output in a message: the last ones."""
RUN_VARIABLE = "PYTEST_XDIST_TESTRUNUID"
"""What pytest-xdist gives to the workers of one run, and to them alone."""
PREFIX = "pytest-arena-serve-"
SECONDS_KEPT = 7 * 24 * 3600
"""How long a server's folder stays after its last output."""
ENDING_SECONDS = 2 * serve_guard.GRACE_SECONDS


class Serve(StrictModel):
    """How a server is started, and how it is known that it is ready."""

    command: str = Field(min_length=1, description="{port} in it becomes a free port")
    per: Literal["worker", "run"] = Field(
        default="worker", description="one server a worker, or one for all workers of a run on a machine"
    )
    health: str | None = Field(
        default=None,
        pattern="^/",
        description="path that answers once it is ready; default: the protocol's, else an open port will do",
    )
    ready_timeout: float = Field(default=600.0, gt=0, le=86400, description="seconds until it must be ready")


ServeSetting = Annotated[
    Serve, BeforeValidator(lambda value: {"command": value} if isinstance(value, str) else value)
]


class NotReadyError(EvaluationError):
    """A server was not ready in time: the run does not start it again, since each job would wait as long."""


class LocalServer:
    """A server on this machine that this process uses, alone or with other workers of the run.

    A process of its own starts the server and ends it as soon as nobody uses it any more: each user holds a
    lock, and locks go with the process that holds them, however it ends (`serve_guard`).
    """

    def __init__(self, serve: Serve, address: str | None, health: str | None) -> None:
        """Start the server, or join the other workers that use it, and wait until it is ready.

        Args:
            serve: The settings.
            address: Where it is to be reached, if that is set; default: on a free port.
            health: Path that the protocol's servers answer once they are ready.

        Raises:
            EvaluationError: It ended.
            NotReadyError: It was not ready in time, here or for another worker that shares it.
        """
        self.serve, self._health = serve, serve.health or health
        self._folder = _folder(serve)
        self._users = serve_guard.Lock(self._folder / serve_guard.USERS)
        self._guard: subprocess.Popen[bytes] | None = None
        starting = serve_guard.Lock(self._folder / "starting")
        starting.wait()
        try:
            self._users.share()
            if (said := self._state().get("not_ready")) is not None:
                raise NotReadyError(said)
            if not self.is_running:
                self._start(address)
            self.port = int(self._state()["port"])
            self._wait_until_ready()
        except BaseException:
            self.leave()
            raise
        finally:
            starting.release()

    @property
    def log(self) -> Path:
        """The file with its output."""
        return self._folder / serve_guard.LOG

    @property
    def identity(self) -> Mapping[str, Any]:
        """Its command, for whom it was started, and where its output is."""
        return {"command": self.serve.command, "per": self.serve.per, "log": str(self.log)}

    @property
    def is_running(self) -> bool:
        """Whether its guard says that it runs."""
        state, guarded = self._state(), self._guard is None or self._guard.poll() is None
        return guarded and bool(state) and "status" not in state

    def about(self) -> str:
        """Return what its process has come to and said last, for the end of a message."""
        state = self._state()
        ended = f"; the server has ended with the status {state['status']}" if "status" in state else ""
        with contextlib.suppress(OSError):
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - BYTES_READ))
                lines = file.read().decode("utf-8", "replace").splitlines()[-LINES_SHOWN:]
            if lines:
                return f"{ended}; its last output ({self.log}):\n" + "\n".join(lines) + "\n"
        return ended

    def leave(self) -> None:
        """Use it no more; the last one that leaves waits until it has ended."""
        alone = self._users.leave()
        until = time.monotonic() + ENDING_SECONDS
        while alone and self.is_running and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        if self._guard is not None and alone:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._guard.wait(ENDING_SECONDS)

    def _state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads((self._folder / serve_guard.STATE).read_text())
        except (OSError, ValueError):
            return {}
        return state

    def _start(self, address: str | None) -> None:
        port = (None if address is None else urlsplit(address.replace("{port}", "0")).port) or _free_port()
        command = self.serve.command.replace("{port}", str(port))
        (self._folder / serve_guard.STATE).write_text(json.dumps({"port": port}))
        guard = [
            sys.executable,
            "-I",
            serve_guard.__file__,
            str(self._folder),
            command,
            str(serve_guard.GRACE_SECONDS),
        ]
        # A session of its own: an interrupt from the terminal reaches the run, and the run's end this.
        self._guard = subprocess.Popen(
            guard, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + self.serve.ready_timeout
        while not self._is_ready():
            if not self.is_running:
                raise EvaluationError(f"policy.serve: {self.serve.command!r} ended{self.about()}")
            if time.monotonic() > until:
                said = (
                    f"policy.serve: {self.serve.command!r} is not ready after {self.serve.ready_timeout:g} s "
                    f"(policy.serve.ready_timeout){self.about()}"
                )
                (self._folder / serve_guard.STATE).write_text(
                    json.dumps({**self._state(), "not_ready": said})
                )
                raise NotReadyError(said)
            time.sleep(POLL_SECONDS)

    def _is_ready(self) -> bool:
        if self._health is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return True
            return False
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", self._health)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        # A server that has no such path, and so says nothing of its health, answers nevertheless.
        return status == http.HTTPStatus.OK or (self.serve.health is None and status < 500)


def local_server(serve: Serve, address: str | None, health: str | None) -> LocalServer:
    """Return the server that *serve* describes: the one that runs already, or a new one.

    A process uses one at a time: another command ends the one before, whose model fills a GPU.

    Args:
        serve: The settings.
        address: Where it is to be reached, if that is set; default: on a free port.
        health: Path that the protocol's servers answer once they are ready.

    Returns:
        The server, which is ready.

    Raises:
        EvaluationError: It ended.
        NotReadyError: It was not ready in time, now or before.
    """
    global _used
    wanted = (serve, address, health)
    if wanted in _not_ready:
        raise NotReadyError(_not_ready[wanted])
    if _used is not None:
        before, server = _used
        if before == wanted and server.is_running:
            return server
        leave_server()
    try:
        _used = (wanted, LocalServer(serve, address, health))
    except NotReadyError as error:
        _not_ready[wanted] = str(error)
        raise
    return _used[1]


def leave_server() -> None:
    """Use no server any more; called at the end of the process, too."""
    global _used
    if _used is not None:
        _, server = _used
        _used = None
        server.leave()


_Wanted = tuple[Serve, str | None, str | None]
_used: tuple[_Wanted, LocalServer] | None = None
_not_ready: dict[_Wanted, str] = {}
atexit.register(leave_server)


def _folder(serve: Serve) -> Path:
    """Return a folder for the server's files: one for all workers of a run where they share it."""
    _remove_old_folders(Path(tempfile.gettempdir()))
    run = os.environ.get(RUN_VARIABLE)
    if serve.per == "worker" or run is None:
        return Path(tempfile.mkdtemp(prefix=PREFIX))
    name = hashlib.sha256(f"{run} {serve.command}".encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir(), f"{PREFIX}{os.getuid()}-{name}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        raise EvaluationError(f"policy.serve: expected a folder of your own, {folder} is another user's")
    return folder


def _remove_old_folders(parent: Path) -> None:
    """Remove what servers have left that ended long ago: records name their output, so it stays some time."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):  # another process has just removed it
            found = folder.lstat()
            if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
                continue
            if time.time() - (folder / serve_guard.LOG).stat().st_mtime < SECONDS_KEPT:
                continue
            if "status" in json.loads((folder / serve_guard.STATE).read_text()):
                shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])

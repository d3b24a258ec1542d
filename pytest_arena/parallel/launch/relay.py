"""Stands between xdist and a launcher: reports a worker that does not start, with what was printed.

xdist waits for a new worker without a limit and sees nothing of the launcher's output. It therefore starts
this script in place of a Python: the relay runs the launcher, waits for the worker's answer until a deadline,
and passes bytes on from then on. Runs isolated, once a worker, on the controller's machine: standard library
only.

usage: relay.py LAUNCH_FILE NUMBER [what execnet adds, which is not used]
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn

TAIL = 4000
"""Bytes of the launcher's output that a failure keeps."""
CHUNK = 1 << 16
PATIENCE = 2.0
"""Seconds for a process to end after SIGTERM, and for its last output."""
PR_SET_PDEATHSIG = 1


class Relay:
    """One launcher and the worker behind it."""

    def __init__(self, launch_file: Path, number: str) -> None:
        self._folder = launch_file.parent
        self._launch: dict[str, Any] = json.loads(launch_file.read_text(encoding="utf-8"))
        launcher = [word.replace("{worker}", number) for word in self._launch["launcher"]]
        self._command = [*launcher, *self._launch["worker"]]
        self._ready = str(self._launch["ready"]).encode()
        self._printed, self._complained = b"", b""
        self._answered = self._controller_gone = False
        self._complaining = threading.Lock()

    def run(self) -> NoReturn:
        """Start the launcher, wait for the worker, pass bytes on until one side ends."""
        self._process = self._start()
        self._input, self._output = _piped(self._process.stdin), _piped(self._process.stdout)
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, self._pass_signal)
        self._errors = threading.Thread(target=self._pass_errors, daemon=True)
        self._errors.start()
        threading.Thread(target=self._pass_input, daemon=True).start()
        rest = self._await_worker()
        try:
            _write(1, rest)
            while data := os.read(self._output.fileno(), CHUNK):
                _write(1, data)
        except OSError:  # the controller is gone
            self._stop()
        _end_like(self._process.wait())

    def _start(self) -> subprocess.Popen[bytes]:
        libc = ctypes.CDLL(None)
        try:
            # A group of its own can be ended as a whole: a launcher may be a script with children.
            return subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                process_group=0,
                # xdist kills a worker that hangs, which is this process: the launcher must not outlive it.
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM),
            )
        except OSError as error:
            self._report("not started", error=str(error))

    def _await_worker(self) -> bytes:
        """Return what followed the worker's answer. Before it, launchers may print what they like."""
        end = time.monotonic() + self._launch["deadline"]
        while not self._controller_gone:
            left = end - time.monotonic()
            if left <= 0:
                self._stop()
                self._report("timeout")
            if not select.select([self._output], [], [], min(left, 0.5))[0]:
                continue
            data = os.read(self._output.fileno(), CHUNK)
            if not data:
                status = self._status()
                self._errors.join(PATIENCE)  # the last words come a moment later
                self._stop()
                self._report("ended", status=status)
            before, found, after = (self._printed + data).partition(self._ready)
            if found:
                with self._complaining:
                    _write(2, before + self._complained)
                    self._answered = True
                return after
            self._printed = before[-TAIL:]
        self._stop()
        os._exit(1)

    def _pass_input(self) -> None:
        with contextlib.suppress(OSError):  # the launcher has ended
            header = json.dumps({"directory": self._launch["directory"]}) + "\n"
            _write(self._input.fileno(), header.encode())
            while data := os.read(0, CHUNK):
                _write(self._input.fileno(), data)
            self._controller_gone = True
        self._input.close()

    def _pass_errors(self) -> None:
        descriptor = _piped(self._process.stderr).fileno()
        while data := os.read(descriptor, CHUNK):
            with self._complaining:
                if self._answered:
                    _write(2, data)
                else:  # kept for the report, should there be one
                    self._complained = (self._complained + data)[-TAIL:]

    def _pass_signal(self, signum: int, frame: FrameType | None) -> None:
        self._signal_group(signum)

    def _signal_group(self, signum: int) -> None:
        with contextlib.suppress(OSError):  # it has ended
            os.killpg(self._process.pid, signum)

    def _status(self) -> int | None:
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return None

    def _stop(self) -> None:
        self._signal_group(signal.SIGTERM)
        self._status()
        self._signal_group(signal.SIGKILL)

    def _report(self, reason: str, **facts: Any) -> NoReturn:
        """Leave a report for the controller, and end."""
        report = {
            "reason": reason,
            "stdout": self._printed.decode(errors="replace"),
            "stderr": self._complained.decode(errors="replace"),
            **facts,
        }
        draft = self._folder / f"{os.getpid()}.draft"
        draft.write_text(json.dumps(report), encoding="utf-8")
        draft.rename(self._folder / f"failure-{os.getpid()}.json")
        os._exit(1)


def _end_like(status: int) -> NoReturn:
    """End as the launcher did, by a signal or by itself: xdist's reader can tell a crash from an exit."""
    if status < 0:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(-status, signal.SIG_DFL)  # SIGKILL has no other way
        os.kill(os.getpid(), -status)
    os._exit(status)


def _piped(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


if __name__ == "__main__":
    Relay(Path(sys.argv[1]), sys.argv[2]).run()
